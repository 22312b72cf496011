// Builds a case as a graph and gives it numbers.

import type { TypedArray } from "../../../engine/onnx/dtype.ts";
import { Graph, type Shape, type Value } from "../../../engine/onnx/graph.ts";
import { type NdArray, ndArray } from "../../../engine/reference/array.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { countOf, type Tensor, tensor } from "../../../engine/runtime/tensor.ts";
import { type Case, type FloatType, type InputCase, sizes } from "./cases.ts";

export interface BuiltCase {
  readonly graph: Graph;
  readonly inputs: Value[];
  readonly results: Value[];
  readonly feeds: Record<string, Tensor>;
}

export function buildCase(testCase: Case, float: FloatType): BuiltCase {
  const graph = new Graph("case");
  const inputs = testCase.inputs.map((input, i) => {
    const dtype = input.dtype === undefined || input.dtype === "float" ? float : input.dtype;
    return graph.input(`x${i}`, dtype, input.shape);
  });
  const built = testCase.build(...inputs);
  const results = Array.isArray(built) ? built : [built];
  const feeds = Object.fromEntries(
    testCase.inputs.map((input, i) => [
      `x${i}`,
      tensor(inputs[i]!.dtype, numbersFor(input, `${testCase.title}/${i}`), concrete(input.shape)),
    ]),
  );
  return { graph, inputs, results, feeds };
}

export function concrete(shape: Shape): number[] {
  return shape.map((dim) => (typeof dim === "number" ? dim : sizes[dim]!));
}

function numbersFor(input: InputCase, seed: string): number[] {
  if (input.values) return [...input.values];
  const random = createRandom(seed);
  const [low, high] = input.range ?? [0.2, 1.5];
  return Array.from({ length: countOf(concrete(input.shape)) }, () => {
    if (input.dtype === "bool") return random.int(2);
    const sign = input.range === undefined && random.float() < 0.5 ? -1 : 1;
    return sign * (low + (high - low) * random.float());
  });
}

export async function runOnce(
  graph: Graph,
  feeds: Record<string, Tensor>,
  threads = 2,
): Promise<Record<string, Tensor>> {
  const session = await openSession(graph, { threads });
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

export function toNdArrays(tensors: Record<string, Tensor>): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, ndArray(t.shape, toNumbers(t.data))]));
}

export function toNumbers(data: TypedArray): number[] {
  return Array.from(data as Iterable<number | bigint>, Number);
}

/** max |actual − expected| / max(1, |expected|), and where; NaN and infinities must match exactly. */
export function worstError(actual: readonly number[], expected: readonly number[]): { error: number; at: number } {
  if (actual.length !== expected.length) return { error: Number.POSITIVE_INFINITY, at: -1 };
  let worst = { error: 0, at: 0 };
  expected.forEach((value, at) => {
    if (Object.is(actual[at], value)) return;
    const difference = Math.abs(actual[at]! - value) / Math.max(1, Math.abs(value));
    const error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
    if (error > worst.error) worst = { error, at };
  });
  return worst;
}

/** Rounding that a result of some dozen operations may carry; in float64 the runtime's fused norms hold ε as a float32. */
export const tolerances: Readonly<Record<FloatType, number>> = { float32: 2e-6, float64: 1e-12 };
