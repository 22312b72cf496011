// The dense feed-forward of a block.

import type { Value } from "../onnx/graph.ts";
import { mul, silu } from "../ops/elementwise.ts";
import { type Linear, linear } from "./linear.ts";

export interface DenseWeights {
  readonly kind: "dense";
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

/** down(silu(gate x) · up x); x [S·T, D], already normed. */
export function denseFeedForward(x: Value, weights: DenseWeights): Value {
  return linear(mul(silu(linear(x, weights.gate)), linear(x, weights.up)), weights.down);
}
