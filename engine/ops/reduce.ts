// Reductions over axes. Without axes: over all of them. `keepDims` leaves a size of 1 where an axis was.

import type { Attributes, DType, Value } from "../onnx/graph.ts";
import { resolveAxes, resolveAxis, type Shape } from "../onnx/shape.ts";
import { checked, emit, floats, indices, int64, requireDType } from "./emit.ts";

interface ReduceOptions {
  readonly keepDims?: boolean;
}

const reduction = (opType: string, allowed: readonly DType[] = [...floats, ...indices]) => {
  return (x: Value, axes: readonly number[] = x.shape.map((_, i) => i), options: ReduceOptions = {}): Value => {
    requireDType(opType, x, allowed);
    const resolved = checked(opType, x, () => resolveAxes(axes, x.shape.length));
    // An empty axes input would mean "all" to ONNX; here it means none.
    if (resolved.length === 0) return x;
    const keepDims = options.keepDims ?? false;
    const attributes: Attributes = { keepdims: { int: keepDims ? 1 : 0 } };
    return emit(
      opType,
      [x, int64(x, resolved)],
      { dtype: x.dtype, shape: reducedShape(x.shape, resolved, keepDims) },
      attributes,
    );
  };
};

export const reduceSum = reduction("ReduceSum");
export const reduceMean = reduction("ReduceMean");
export const reduceMax = reduction("ReduceMax");
export const reduceMin = reduction("ReduceMin");
/** Σ x² */
export const reduceSumSquare = reduction("ReduceSumSquare", floats);

/** Index (int64) of the largest element along the axis; the first one when several are equal. */
export function argMax(x: Value, axis: number, options: ReduceOptions = {}): Value {
  const resolved = checked("ArgMax", x, () => resolveAxis(axis, x.shape.length));
  const keepDims = options.keepDims ?? false;
  const shape = reducedShape(x.shape, [resolved], keepDims);
  return emit(
    "ArgMax",
    [x],
    { dtype: "int64", shape },
    { axis: { int: resolved }, keepdims: { int: keepDims ? 1 : 0 } },
  );
}

/** Running sum along the axis. */
export function cumSum(x: Value, axis: number, options: { exclusive?: boolean; reverse?: boolean } = {}): Value {
  requireDType("CumSum", x, [...floats, ...indices]);
  const resolved = checked("CumSum", x, () => resolveAxis(axis, x.shape.length));
  const attributes: Attributes = {
    exclusive: { int: options.exclusive ? 1 : 0 },
    reverse: { int: options.reverse ? 1 : 0 },
  };
  return emit("CumSum", [x, x.graph.current.constant(resolved, "int64", [])], x, attributes);
}

export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return keepDims ? shape.map((dim, i) => (axes.includes(i) ? 1 : dim)) : shape.filter((_, i) => !axes.includes(i));
}
