// Which features tell a positive group of texts from the other groups. Every statistic is a difference of weighted sums over
// samples, so shuffling labels and drawing samples again cost one pass over the entries each.

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
  /** Added to every difference: what makes an AUC of a difference of mean ranks. */
  readonly offset: number;
}

/**
 * The weights of a statistic.
 *
 * - mean_difference: z summed over tokens, per token: μ_positive − μ_others (Qwen-Scope §3). With several other groups these count
 *   alike, which makes it ν = μ_target − mean of the other languages' means (Deng et al. 2025).
 * - firing_rate_difference: 1 where a feature fires anywhere in the sample: Δ = P(h=1 | positive) − P(h=1 | others) (Eqs. 13, 14).
 * - auc: the rank of the sample's largest z among all samples, ties at their mean:
 *   AUC = ½ + (mean rank of positives − mean rank of others) / S, the Mann–Whitney form.
 */
export function weigh(data: SampleActivations, statistic: ContrastStatistic): WeightedSamples {
  const { width, samples, offsets_S1, features_Z, sums_Z, tokens_S } = data;
  const rows = { width, samples, offsets_S1, features_Z };
  if (statistic === "mean_difference") return { ...rows, weights_Z: sums_Z, size_S: tokens_S, offset: 0 };
  const size_S = new Uint8Array(samples).fill(1);
  if (statistic === "firing_rate_difference")
    return { ...rows, weights_Z: new Float32Array(features_Z.length).fill(1), size_S, offset: 0 };
  return { ...rows, weights_Z: centredRanks(data), size_S, offset: 0.5 };
}

/** (rank − rank of silence) / S for each entry: samples in which a feature is silent tie at the bottom and weigh nothing. */
function centredRanks({ width, samples, features_Z, peaks_Z }: SampleActivations): Float64Array {
  const byFeature = entriesByFeature(features_Z, width);
  const ranks_Z = new Float64Array(features_Z.length);
  for (let f = 0; f < width; f++) {
    const entries = byFeature.order.subarray(byFeature.offsets[f]!, byFeature.offsets[f + 1]!);
    entries.sort((a, b) => peaks_Z[a]! - peaks_Z[b]!);
    const silent = samples - entries.length;
    const rankOfSilence = (silent + 1) / 2;
    for (let i = 0; i < entries.length; ) {
      let end = i + 1;
      while (end < entries.length && peaks_Z[entries[end]!] === peaks_Z[entries[i]!]) end++;
      const rank = silent + (i + end + 1) / 2;
      // Without silent samples nothing ties at the bottom; the constant then cancels in the difference of means.
      for (let j = i; j < end; j++) ranks_Z[entries[j]!] = (rank - rankOfSilence) / samples;
      i = end;
    }
  }
  return ranks_Z;
}

export interface EntriesByFeature {
  /** [F + 1] */
  readonly offsets: Uint32Array;
  /** Numbers of entries, grouped by feature, ascending within each. */
  readonly order: Uint32Array;
}

/** Counting sort of the entries by their feature. */
export function entriesByFeature(features_Z: Uint32Array, width: number): EntriesByFeature {
  const offsets = new Uint32Array(width + 1);
  for (let z = 0; z < features_Z.length; z++) offsets[features_Z[z]! + 1]! += 1;
  for (let f = 0; f < width; f++) offsets[f + 1]! += offsets[f]!;
  const next = offsets.slice(0, width);
  const order = new Uint32Array(features_Z.length);
  for (let z = 0; z < features_Z.length; z++) order[next[features_Z[z]!]!++] = z;
  return { offsets, order };
}

/**
 * value_F = group 0's value − mean over the other groups of theirs, plus the offset.
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
  const value_F = new Float64Array(data.width).fill(data.offset);
  for (let s = 0; s < data.samples; s++) {
    const share = share_G[group_S[s]!]!;
    for (let z = data.offsets_S1[s]!; z < data.offsets_S1[s + 1]!; z++) {
      value_F[data.features_Z[z]!]! += share * data.weights_Z[z]!;
    }
  }
  return value_F;
}
