// One decoder block, described once: the inference graph and the training graph differ only in how queries meet keys.

import type { Dim, Graph, Shape, Value } from "../onnx/graph.ts";
import { add, mul, silu, sub } from "../ops/elementwise.ts";
import { split } from "../ops/indexing.ts";
import { gemm } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import { concat, reshape, sizes, transpose } from "../ops/shape.ts";
import type { DecoderConfig } from "./config.ts";
import type { BlockWeights, Linear } from "./parameters.ts";

/** What a block needs besides its weights: sizes, rotary factors, and the attention between positions. */
export interface BlockContext {
  readonly sequences: Dim;
  readonly positions: Dim;
  /** cos and sin of position · θ^(−2i/headDim), shaped to broadcast over [S, heads, T, headDim/2]. */
  readonly cos: Value;
  readonly sin: Value;
  /** Reshape whose target is computed once per graph when sizes are symbolic. */
  readonly reshape: (x: Value, shape: Shape) => Value;
  /**
   * Mixes values over positions. query [S, kvHeads, group·T, headDim], already scaled by 1/√headDim, rows group-major;
   * key and value [S, kvHeads, T, headDim]; result like query.
   */
  readonly attend: (query: Value, key: Value, value: Value) => Value;
}

/**
 * h + attention(norm(h)), then + mlp(norm(·)): the pre-norm block of Llama, Qwen2 and Qwen3.
 * h is [S·T, D] and so is the result, the residual stream after the block.
 */
export function decoderBlock(h: Value, weights: BlockWeights, config: DecoderConfig, context: BlockContext): Value {
  const attended = h.graph.root.scope("attention", () => attention(h, weights, config, context));
  const between = add(h, attended);
  const transformed = h.graph.root.scope("mlp", () => mlp(between, weights, config));
  return add(between, transformed);
}

function attention(h: Value, weights: BlockWeights, config: DecoderConfig, context: BlockContext): Value {
  const { heads, kvHeads, headDim } = config;
  const { sequences: S, positions: T } = context;
  const x = rmsNorm(h, weights.inputNorm, config.rmsEpsilon);
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
  const joined = context.reshape(headFirst(mixed), [h.shape[0]!, heads * headDim]);
  return linear(joined, weights.output);
}

/** x₁ cos − x₂ sin and x₂ cos + x₁ sin, where x₁ and x₂ are the halves of each head. Su et al. 2021, in Llama's order. */
function rotate(x: Value, { cos, sin }: BlockContext): Value {
  const half = (x.shape.at(-1) as number) / 2;
  const [first, second] = split(x, [half, half], -1) as [Value, Value];
  return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], -1);
}

/** down(silu(gate x) · up x) */
function mlp(h: Value, weights: BlockWeights, config: DecoderConfig): Value {
  const x = rmsNorm(h, weights.mlpNorm, config.rmsEpsilon);
  return linear(mul(silu(linear(x, weights.gate)), linear(x, weights.up)), weights.down);
}

/** x Wᵀ + b on rows; W lies as in the checkpoint, [out, in]. */
export function linear(x: Value, { weight, bias }: Linear): Value {
  return gemm(x, weight, bias ? { transposeB: true, bias } : { transposeB: true });
}

function productOf(factor: number, dim: Dim): Dim {
  return typeof dim === "number" ? factor * dim : factor === 1 ? dim : `${factor}*${dim}`;
}

/** θ^(−2i/headDim) for i = 0 … headDim/2 − 1, computed as the checkpoints' own code does: in float32. */
export function inverseFrequencies({ headDim, ropeTheta }: DecoderConfig): Float32Array {
  return Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / Math.fround(ropeTheta ** Math.fround((2 * i) / headDim)),
  );
}

/**
 * A reshape for graphs with symbolic sizes: the target vectors are computed once, in `graph` itself, so that the blocks (which
 * may be bodies of an If) capture them instead of each computing its own.
 */
export function sharedReshape(graph: Graph): BlockContext["reshape"] {
  const targets = new Map<string, Value>();
  return (x, shape) => {
    const symbols = shape.filter((dim) => typeof dim === "string");
    if (symbols.length <= 1) return reshape(x, shape);
    const key = shape.join(",");
    let target = targets.get(key);
    if (!target) {
      target = graph.within(() => sizes(graph, shape));
      targets.set(key, target);
    }
    // Without allowzero a size of 0 (an empty cache) would mean "as in the input".
    return x.graph.current.node("Reshape", [x, target], [{ dtype: x.dtype, shape }], {
      attributes: { allowzero: { int: 1 } },
    })[0]!;
  };
}
