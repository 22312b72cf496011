// The dense feed-forward of a block.

import type { Value } from "../onnx/graph.ts";
import { mul, silu } from "../ops/elementwise.ts";
import { linear } from "./linear.ts";
import type { DenseWeights } from "./parameters.ts";

/** down(silu(gate x) · up x); x [S·T, D], already normed. */
export function denseFeedForward(x: Value, weights: DenseWeights): Value {
  return linear(mul(silu(linear(x, weights.gate)), linear(x, weights.up)), weights.down);
}
