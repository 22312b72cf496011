// Normalisations over the last axis. They are written in elementary operators: the runtime's optimiser fuses exactly these
// forms into one kernel, and their gradients need no rules of their own.

import type { Value } from "../onnx/graph.ts";
import { add, div, mul, pow, sqrt, sub } from "./elementwise.ts";
import { reduceMean } from "./reduce.ts";

/** y = x / √(mean(x²) + ε) · weight, mean over the last axis; weight has that axis's size. Zhang & Sennrich 2019, eq. 4. */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  const meanSquare = reduceMean(pow(x, 2), [-1], { keepDims: true });
  return mul(div(x, sqrt(add(meanSquare, epsilon))), weight);
}

/** y = (x − mean x) / √(var x + ε) · weight + bias, statistics over the last axis. Ba, Kiros & Hinton 2016. */
export function layerNorm(x: Value, weight: Value, bias: Value | null, epsilon: number): Value {
  const centered = sub(x, reduceMean(x, [-1], { keepDims: true }));
  const variance = reduceMean(pow(centered, 2), [-1], { keepDims: true });
  const scaled = mul(div(centered, sqrt(add(variance, epsilon))), weight);
  return bias ? add(scaled, bias) : scaled;
}
