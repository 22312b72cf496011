// Gradient clipping.

import type { Value } from "../onnx/graph.ts";
import { add, div, min, mul, sqrt } from "../ops/elementwise.ts";
import { reduceSumSquare } from "../ops/reduce.ts";

/** √Σ g² over all tensors together, a scalar. */
export function globalNorm(gradients: readonly Value[]): Value {
  const squares = gradients.map((gradient) => reduceSumSquare(gradient));
  return sqrt(squares.reduce((sum, square) => add(sum, square)));
}

/**
 * Scales all gradients by min(1, maxNorm / (norm + 1e−6)), norm as of `globalNorm`: directions stay as they are.
 * The small addend keeps a norm of zero from dividing by zero. Pascanu, Mikolov & Bengio 2013, algorithm 1.
 */
export function clipByGlobalNorm(gradients: readonly Value[], maxNorm: number): { gradients: Value[]; norm: Value } {
  if (!(maxNorm > 0)) throw new RangeError(`maxNorm must be positive, got ${maxNorm}`);
  const norm = globalNorm(gradients);
  const scale = min(div(maxNorm, add(norm, 1e-6)), 1);
  return { gradients: gradients.map((gradient) => mul(gradient, scale)), norm };
}
