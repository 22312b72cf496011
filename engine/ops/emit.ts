// What every operator wrapper shares: where its node goes, and errors that name it.

import { type Attributes, type DType, Graph, type Shape, type Value } from "../onnx/graph.ts";
import { formatShape } from "../onnx/shape.ts";

/** One node with one output, in the graph being built now. */
export function emit(
  opType: string,
  inputs: readonly [Value, ...(Value | null)[]],
  result: { dtype: DType; shape: Shape },
  attributes: Attributes = {},
): Value {
  return inputs[0].graph.current.node(opType, inputs, [result], { attributes })[0]!;
}

/** Runs a shape computation; what it throws gets the name that the node would have had. */
export function checked<T>(opType: string, value: Value, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(`${value.graph.current.nextName(opType)}: ${error.message}`, { cause: error });
  }
}

export function illegalShape(opType: string, value: Value, expected: string, actual: Shape | string): RangeError {
  const found = typeof actual === "string" ? actual : formatShape(actual);
  return new RangeError(`${value.graph.current.nextName(opType)}: expected ${expected}, got ${found}`);
}

export function requireDType(opType: string, value: Value, allowed: readonly DType[]): void {
  if (allowed.includes(value.dtype)) return;
  throw new TypeError(
    `${value.graph.current.nextName(opType)}: ${value.name} must be ${allowed.join(" or ")}, got ${value.dtype}`,
  );
}

export const floats: readonly DType[] = ["float32", "float64", "float16", "bfloat16"];
export const indices: readonly DType[] = ["int64", "int32"];

/** An int64 vector constant: axes, sizes, starts. */
export function int64(value: Value | Graph, data: readonly number[]): Value {
  const graph = value instanceof Graph ? value : value.graph.current;
  return graph.constant(data, "int64", [data.length]);
}
