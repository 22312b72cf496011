// The area under the curve of a feature between groups of samples, counted from the order of the samples' largest activations.

import type { SampleActivations } from "./sample-activations.ts";

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

/** Entries grouped by feature, in each ascending by peak. */
export interface RankedEntries {
  /** [F + 1] */
  readonly offsets_F1: Uint32Array;
  readonly samples_Z: Uint32Array;
  readonly peaks_Z: Float32Array;
}

export function rankEntries({ width, samples, offsets_S1, features_Z, peaks_Z }: SampleActivations): RankedEntries {
  const { offsets: offsets_F1, order } = entriesByFeature(features_Z, width);
  for (let f = 0; f < width; f++)
    order.subarray(offsets_F1[f]!, offsets_F1[f + 1]!).sort((a, b) => peaks_Z[a]! - peaks_Z[b]!);
  const sampleOf_Z = new Uint32Array(features_Z.length);
  for (let s = 0; s < samples; s++) sampleOf_Z.fill(s, offsets_S1[s]!, offsets_S1[s + 1]!);
  const inOrder = <T extends Uint32Array | Float32Array>(from: T, to: T): T => {
    for (let i = 0; i < order.length; i++) to[i] = from[order[i]!]!;
    return to;
  };
  return {
    offsets_F1,
    samples_Z: inOrder(sampleOf_Z, new Uint32Array(order.length)),
    peaks_Z: inOrder(peaks_Z, new Float32Array(order.length)),
  };
}

/** What a sample counts among the positives, and what among the others: 1 / size of its group. */
interface SampleShares {
  readonly own_S: Float64Array;
  readonly other_S: Float64Array;
  readonly positives: number;
  readonly others: number;
}

/**
 * @param times_S how often each sample counts; null: once
 * @param size_G samples of each group, so counted; every one above 0
 */
export function sampleShares(
  group_S: ArrayLike<number>,
  times_S: ArrayLike<number> | null,
  size_G: ArrayLike<number>,
): SampleShares {
  const own_S = new Float64Array(group_S.length);
  const other_S = new Float64Array(group_S.length);
  for (let s = 0; s < group_S.length; s++) {
    const times = times_S ? times_S[s]! : 1;
    if (group_S[s] === 0) own_S[s] = times;
    else other_S[s] = times / size_G[group_S[s]!]!;
  }
  return { own_S, other_S, positives: size_G[0]!, others: size_G.length - 1 };
}

/**
 * AUC = mean over the other groups g of P(peak of a positive > peak of one of g) + ½ P(equal), in [0, 1]. Samples in which the
 * feature is silent have peak 0. Counted within each pair of groups and not from ranks among all samples: with several other
 * groups of unequal sizes those gave values above 1, and under resampling intervals that left [0, 1].
 */
export function areaUnderCurve(
  { offsets_F1, samples_Z, peaks_Z }: RankedEntries,
  feature: number,
  { own_S, other_S, positives, others }: SampleShares,
): number {
  const end = offsets_F1[feature + 1]!;
  let wins = 0;
  let own = 0;
  let below = 0;
  for (let i = offsets_F1[feature]!; i < end; ) {
    const peak = peaks_Z[i]!;
    let tiedOwn = 0;
    let tiedOther = 0;
    for (; i < end && peaks_Z[i] === peak; i++) {
      tiedOwn += own_S[samples_Z[i]!]!;
      tiedOther += other_S[samples_Z[i]!]!;
    }
    wins += tiedOwn * (below + tiedOther / 2);
    own += tiedOwn;
    below += tiedOther;
  }
  // Who is active is above who is silent; silence ties with silence.
  const silent = others - below;
  wins += own * silent + ((positives - own) * silent) / 2;
  return Math.min(1, Math.max(0, wins / (positives * others)));
}
