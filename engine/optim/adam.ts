// Adam with decoupled weight decay.

import type { Value } from "../onnx/graph.ts";
import { add, cast, div, mul, pow, sqrt, square, sub } from "../ops/elementwise.ts";

export interface AdamStep {
  readonly param: Value;
  readonly grad: Value;
  /** Running means of the gradient and of its square; both start at zero. */
  readonly m: Value;
  readonly v: Value;
  /** Learning rate: a number, or a scalar of the parameter's dtype. */
  readonly lr: number | Value;
  /** How many updates are done after this one: 1 at the first. A scalar of any dtype. */
  readonly step: Value;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Shrinks the parameter by lr · weightDecay before the update, outside the moments (AdamW). Default 0: plain Adam. */
  readonly weightDecay?: number;
}

/**
 * One update: m' = β₁ m + (1 − β₁) g, v' = β₂ v + (1 − β₂) g²,
 * param' = (1 − lr · weightDecay) · param − lr · m̂ / (√v̂ + ε), m̂ = m' / (1 − β₁ᵗ), v̂ = v' / (1 − β₂ᵗ).
 *
 * All tensors have the parameter's shape and dtype. Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
 */
export function adamUpdate(options: AdamStep): { param: Value; m: Value; v: Value } {
  const { param, grad, lr, step, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  const m = add(mul(options.m, beta1), mul(grad, 1 - beta1));
  const v = add(mul(options.v, beta2), mul(square(grad), 1 - beta2));
  // The corrections belong to the scalars: √v̂ = √v' / √(1 − β₂ᵗ), so two divisions per element become one.
  const rootCorrection = sqrt(biasCorrection(beta2, step, param));
  const rate = div(mul(rootCorrection, lr), biasCorrection(beta1, step, param));
  const update = div(mul(m, rate), add(sqrt(v), mul(rootCorrection, epsilon)));
  const kept = weightDecay === 0 ? param : mul(param, sub(1, mul(scalar(lr, param), weightDecay)));
  return { param: sub(kept, update), m, v };
}

/** 1 − βᵗ, in float64: in float32 the difference loses four digits at the first steps. */
function biasCorrection(beta: number, step: Value, like: Value): Value {
  const decay = pow(like.graph.current.constant(beta, "float64", []), cast(step, "float64"));
  return cast(sub(1, decay), like.dtype);
}

function scalar(x: number | Value, like: Value): Value {
  return typeof x === "number" ? like.graph.current.constant(x, like.dtype, []) : x;
}
