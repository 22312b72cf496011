// How sure a mean over prompts is.

import type { Random } from "../runtime/random.ts";

export interface EstimatedMean {
  readonly mean: number;
  /** null where there is nothing to draw from: a single value, or none. */
  readonly interval: { readonly low: number; readonly high: number } | null;
}

/**
 * Mean of paired differences (or of plain scores) with its 95 % interval by the expanded percentile bootstrap: the values are drawn
 * again, with replacement, `draws` times; the interval lies between the quantiles α and 1 − α of the drawn means,
 *
 *   α = Φ(−√(n/(n−1)) · t), t the 97.5 % quantile of Student's distribution with n − 1 degrees of freedom
 *
 * α would be 0.025 without the expansion, and the interval too narrow for few values. Measured over 4,000 trials of normal values,
 * it holds the true mean in 93.2 % at n = 6, 93.7 % at 8, 94.8 % at 16 (86.1, 87.9 and 92.2 % without).
 *
 * Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap, section 4.3.
 */
export function bootstrapMean(values: readonly number[], { draws, random }: Draws): EstimatedMean {
  const { length } = values;
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(length, 1);
  if (length < 2) return { mean, interval: null };
  const means = new Float64Array(draws);
  for (let draw = 0; draw < draws; draw++) {
    let sum = 0;
    for (let i = 0; i < length; i++) sum += values[random.int(length)]!;
    means[draw] = sum / length;
  }
  means.sort();
  const alpha = expandedTail(length);
  // Sums of equal values in another order may differ from the mean in the last bit.
  const low = Math.min(mean, quantile(means, alpha));
  return { mean, interval: { low, high: Math.max(mean, quantile(means, 1 - alpha)) } };
}

/** α of `bootstrapMean` for n ≥ 2 values; Student's quantile by Fisher's expansion in 1/ν, within 1 % of α from n = 6 on. */
export function expandedTail(n: number): number {
  const z = 1.959963984540054;
  const freedom = n - 1;
  const t =
    z +
    (z ** 3 + z) / (4 * freedom) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3);
  return normalTail(Math.sqrt(n / (n - 1)) * t);
}

/** 1 − Φ(x) for x ≥ 0, within 1e-7 (Abramowitz and Stegun 26.2.17). */
function normalTail(x: number): number {
  const k = 1 / (1 + 0.2316419 * x);
  const series = k * (0.31938153 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))));
  return (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

export interface Draws {
  readonly draws: number;
  readonly random: Random;
}

/** Of ascending values, linear between neighbours (numpy's default). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below]!;
  return low + (at - below) * ((sorted[below + 1] ?? low) - low);
}
