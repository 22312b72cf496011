// Which features tell a positive group of texts from the other groups. Every statistic is a difference of weighted sums over
// samples, so shuffling labels and drawing samples again cost one pass over the entries each.

import { areaUnderCurve, type RankedEntries, rankEntries, sampleShares } from "./rank-contrast.ts";
import type { SampleActivations } from "./sample-activations.ts";

export const contrastStatistics = ["mean_difference", "firing_rate_difference", "auc"] as const;
export type ContrastStatistic = (typeof contrastStatistics)[number];

/**
 * Samples as a contrast weighs them: entry z of sample s counts `weights_Z[z]`, the sample itself `size_S[s]`.
 * The value of a group g is Σ_{s in g} weights / Σ_{s in g} size, for each feature.
 */
export interface WeightedSamples {
  readonly width: number;
  readonly samples: number;
  readonly offsets_S1: Uint32Array;
  readonly features_Z: Uint32Array;
  readonly weights_Z: ArrayLike<number>;
  readonly size_S: ArrayLike<number>;
  /** Of an AUC, which is counted from the order of peaks instead of from sums. */
  readonly ranked?: RankedEntries;
}

/**
 * The weights of a statistic.
 *
 * - mean_difference: z summed over tokens, per token: μ_positive − μ_others (Qwen-Scope §3). With several other groups these count
 *   alike, which makes it ν = μ_target − mean of the other languages' means (Deng et al. 2025).
 * - firing_rate_difference: 1 where a feature fires anywhere in the sample: Δ = P(h=1 | positive) − P(h=1 | others) (Eqs. 13, 14).
 * - auc: by the sample's largest z, counted pair by pair (`areaUnderCurve`); the weights are not used.
 */
export function weigh(data: SampleActivations, statistic: ContrastStatistic): WeightedSamples {
  const { width, samples, offsets_S1, features_Z, sums_Z, tokens_S } = data;
  const rows = { width, samples, offsets_S1, features_Z };
  if (statistic === "mean_difference") return { ...rows, weights_Z: sums_Z, size_S: tokens_S };
  const size_S = new Uint8Array(samples).fill(1);
  const fired = { ...rows, weights_Z: new Float32Array(features_Z.length).fill(1), size_S };
  return statistic === "auc" ? { ...fired, ranked: rankEntries(data) } : fired;
}

/**
 * value_F = group 0's value − mean over the other groups of theirs; of `ranked` entries the area under the curve.
 *
 * @param group_S the group of each sample, 0 for positive; every group must have samples of some size
 * @throws RangeError naming a group without any
 */
export function contrastValues(data: WeightedSamples, group_S: ArrayLike<number>, groups: number): Float64Array {
  const size_G = new Float64Array(groups);
  for (let s = 0; s < data.samples; s++) size_G[group_S[s]!]! += data.size_S[s]!;
  const share_G = Float64Array.from(size_G, (size, group) => {
    if (size === 0) throw new RangeError(`contrast: group ${group} has no tokens`);
    return group === 0 ? 1 / size : -1 / (size * (groups - 1));
  });
  const value_F = new Float64Array(data.width);
  const { ranked } = data;
  if (ranked) {
    const shares = sampleShares(group_S, null, size_G);
    return value_F.map((_, feature) => areaUnderCurve(ranked, feature, shares));
  }
  for (let s = 0; s < data.samples; s++) {
    const share = share_G[group_S[s]!]!;
    for (let z = data.offsets_S1[s]!; z < data.offsets_S1[s + 1]!; z++) {
      value_F[data.features_Z[z]!]! += share * data.weights_Z[z]!;
    }
  }
  return value_F;
}
