// Full attention as a mixer: projections, head norms and rotation; how queries meet keys is the graph's own affair.

import type { Dim, Value } from "../onnx/graph.ts";
import { add, mul, sub } from "../ops/elementwise.ts";
import { split } from "../ops/indexing.ts";
import { rmsNorm } from "../ops/norm.ts";
import { concat, transpose } from "../ops/shape.ts";
import type { BlockContext } from "./block.ts";
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

  const query = rotate(headFirst(normed(byHead(linear(x, weights.query), heads), weights.queryNorm)), context);
  const key = rotate(headFirst(normed(byHead(linear(x, weights.key), kvHeads), weights.keyNorm)), context);
  const value = headFirst(byHead(linear(x, weights.value), kvHeads));

  // The query heads that share a key head become rows of one product: keys and values are never repeated.
  const rows = productOf(heads / kvHeads, T);
  const grouped = context.reshape(mul(query, 1 / Math.sqrt(headDim)), [S, kvHeads, rows, headDim]);
  const mixed = context.reshape(context.attend(grouped, key, value), [S, heads, T, headDim]);
  const joined = context.reshape(headFirst(mixed), [x.shape[0]!, heads * headDim]);
  return linear(joined, weights.output);
}

/** x₁ cos − x₂ sin and x₂ cos + x₁ sin, where x₁ and x₂ are the halves of each head. Su et al. 2021, in Llama's order. */
function rotate(x: Value, { cos, sin }: BlockContext): Value {
  const half = (x.shape.at(-1) as number) / 2;
  const [first, second] = split(x, [half, half], -1) as [Value, Value];
  return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], -1);
}

function productOf(factor: number, dim: Dim): Dim {
  return typeof dim === "number" ? factor * dim : factor === 1 ? dim : `${factor}*${dim}`;
}
