// Full attention as a mixer: projections, head norms and rotation; how queries meet keys is the graph's own affair.

import type { Dim, Value } from "../onnx/graph.ts";
import { add, mul, sigmoid, sub } from "../ops/elementwise.ts";
import { split } from "../ops/indexing.ts";
import { rmsNorm } from "../ops/norm.ts";
import { concat, transpose } from "../ops/shape.ts";
import type { BlockContext } from "./block-context.ts";
import type { DecoderConfig } from "./config.ts";
import { linear } from "./linear.ts";
import type { AttentionWeights } from "./parameters.ts";

/** x [S·T, D], already normed; the result is what the layer adds to the residual stream. */
export function attention(x: Value, weights: AttentionWeights, config: DecoderConfig, context: BlockContext): Value {
  const { heads, kvHeads, headDim } = config;
  const { sequences: S, positions: T } = context;
  const byHead = (projected: Value, count: number) => context.reshape(projected, [S, T, count, headDim]);
  const headFirst = (value: Value) => transpose(value, [0, 2, 1, 3]);
  const normed = (value: Value, weight: Value | null) => (weight ? rmsNorm(value, weight, config.rmsEpsilon) : value);

  const { queries, gate } = gatedQueries(linear(x, weights.query), config, context);
  const query = rotate(headFirst(normed(queries, weights.queryNorm)), context);
  const key = rotate(headFirst(normed(byHead(linear(x, weights.key), kvHeads), weights.keyNorm)), context);
  const value = headFirst(byHead(linear(x, weights.value), kvHeads));

  // The query heads that share a key head become rows of one product: keys and values are never repeated.
  const rows = productOf(heads / kvHeads, T);
  const grouped = context.reshape(mul(query, 1 / Math.sqrt(headDim)), [S, kvHeads, rows, headDim]);
  const mixed = context.reshape(context.attend!(grouped, key, value), [S, heads, T, headDim]);
  const joined = context.reshape(headFirst(mixed), [x.shape[0]!, heads * headDim]);
  return linear(gate ? mul(joined, gate) : joined, weights.output);
}

/** Queries [S, T, heads, headDim], and what multiplies the heads' output, [S·T, heads · headDim], in families that gate it. */
function gatedQueries(
  projected: Value,
  { heads, headDim, outputGate }: DecoderConfig,
  { sequences: S, positions: T, reshape }: BlockContext,
): { queries: Value; gate: Value | null } {
  if (!outputGate) return { queries: reshape(projected, [S, T, heads, headDim]), gate: null };
  const both = reshape(projected, [S, T, heads, 2 * headDim]);
  const [queries, gate] = split(both, [headDim, headDim], -1) as [Value, Value];
  return { queries, gate: sigmoid(reshape(gate, [projected.shape[0]!, heads * headDim])) };
}

/**
 * x₁ cos − x₂ sin and x₂ cos + x₁ sin, where x₁ and x₂ are the halves of each head's rotated dimensions, which come first; the
 * others pass. Su et al. 2021, in Llama's order.
 */
function rotate(x: Value, { cos, sin }: BlockContext): Value {
  const half = cos.shape.at(-1) as number;
  const passing = (x.shape.at(-1) as number) - 2 * half;
  const [first, second, ...rest] = split(x, [half, half, ...(passing > 0 ? [passing] : [])], -1) as [Value, Value];
  return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin)), ...rest], -1);
}

function productOf(factor: number, dim: Dim): Dim {
  return typeof dim === "number" ? factor * dim : factor === 1 ? dim : `${factor}*${dim}`;
}
