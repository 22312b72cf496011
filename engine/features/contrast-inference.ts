// How sure a contrast is: labels shuffled for p-values, samples drawn again for intervals.

import type { Random } from "../runtime/random.ts";
import { contrastValues, type WeightedSamples } from "./contrast.ts";
import { areaUnderCurve, type EntriesByFeature, entriesByFeature, sampleShares } from "./rank-contrast.ts";

export interface PermutationTest {
  /** P(a shuffled value is at least as far from the null as the seen one), two-sided, (1 + hits) / (1 + shuffles). */
  readonly p_F: Float64Array;
  /** The same against the largest of all features, each in units of its own spread: corrected for having looked at all. */
  readonly adjusted_F: Float64Array;
}

/**
 * Permutation test of every feature at once. The labels are shuffled `shuffles` times; the largest standardised deviation of each
 * shuffle corrects for the number of features (Westfall and Young's max-T). A feature that never varies has p = 1.
 *
 * Cost: 2 · shuffles passes over the entries.
 */
export function permutationTest(
  data: WeightedSamples,
  group_S: Uint8Array,
  groups: number,
  { shuffles, random }: { shuffles: number; random: Random },
): PermutationTest {
  const seen_F = contrastValues(data, group_S, groups);
  const before = random.state();
  const mean_F = new Float64Array(data.width);
  const square_F = new Float64Array(data.width);
  eachShuffle((value_F) => {
    for (let f = 0; f < value_F.length; f++) {
      mean_F[f]! += value_F[f]! / shuffles;
      square_F[f]! += value_F[f]! ** 2 / shuffles;
    }
  });
  const spread_F = square_F.map((square, f) => Math.sqrt(Math.max(0, square - mean_F[f]! ** 2)));
  const distance = (value: number, f: number) =>
    // Rounding leaves a spread of about 1e-17 where every shuffle gave the same.
    spread_F[f]! > 1e-12 ? Math.abs(value - mean_F[f]!) / spread_F[f]! : 0;
  const far_F = seen_F.map(distance);
  const hits_F = new Float64Array(data.width);
  const adjustedHits_F = new Float64Array(data.width);
  // The same shuffles again: keeping all their values would take shuffles × features numbers.
  random.restore(before);
  eachShuffle((value_F) => {
    let largest = 0;
    for (let f = 0; f < value_F.length; f++) {
      const own = distance(value_F[f]!, f);
      if (own >= far_F[f]! - 1e-9) hits_F[f]! += 1;
      if (own > largest) largest = own;
    }
    for (let f = 0; f < value_F.length; f++) if (largest >= far_F[f]! - 1e-9) adjustedHits_F[f]! += 1;
  });
  const asP = (hits: number) => (1 + hits) / (1 + shuffles);
  return { p_F: hits_F.map(asP), adjusted_F: adjustedHits_F.map(asP) };

  function eachShuffle(see: (value_F: Float64Array) => void): void {
    const labels_S = group_S.slice();
    for (let i = 0; i < shuffles; i++) {
      random.shuffle(labels_S);
      see(contrastValues(data, labels_S, groups));
    }
  }
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** 95 % percentile intervals of some features: the samples of each group are drawn again, with replacement, `draws` times. */
export function bootstrapIntervals(
  data: WeightedSamples,
  group_S: Uint8Array,
  groups: number,
  features: readonly number[],
  { draws, random }: { draws: number; random: Random },
): Interval[] {
  const sampleOf_Z = new Uint32Array(data.features_Z.length);
  for (let s = 0; s < data.samples; s++) sampleOf_Z.fill(s, data.offsets_S1[s]!, data.offsets_S1[s + 1]!);
  const entries = entriesByFeature(data.features_Z, data.width);
  const members = Array.from({ length: groups }, (_, group) =>
    Uint32Array.from([...group_S.keys()].filter((s) => group_S[s] === group)),
  );
  const drawn = features.map(() => new Float64Array(draws));
  const times_S = new Uint32Array(data.samples);
  for (let draw = 0; draw < draws; draw++) {
    times_S.fill(0);
    const size_G = members.map((own) => drawGroup(own, times_S, data.size_S, random));
    const shares = sampleShares(group_S, times_S, size_G);
    features.forEach((feature, i) => {
      drawn[i]![draw] = data.ranked ? areaUnderCurve(data.ranked, feature, shares) : drawnValue(feature, size_G);
    });
  }
  return drawn.map((values) => percentiles(values.sort()));

  function drawnValue(feature: number, size_G: readonly number[]): number {
    const sum_G = new Float64Array(groups);
    forEachEntry(entries, feature, (z) => {
      const s = sampleOf_Z[z]!;
      sum_G[group_S[s]!]! += times_S[s]! * data.weights_Z[z]!;
    });
    let value = 0;
    for (let group = 0; group < groups; group++) {
      if (size_G[group] === 0) continue;
      value += (group === 0 ? 1 : -1 / (groups - 1)) * (sum_G[group]! / size_G[group]!);
    }
    return value;
  }
}

/** Draws as many samples as the group has; returns the size of what was drawn. */
function drawGroup(own: Uint32Array, times_S: Uint32Array, size_S: ArrayLike<number>, random: Random): number {
  let size = 0;
  for (let i = 0; i < own.length; i++) {
    const s = own[random.int(own.length)]!;
    times_S[s]! += 1;
    size += size_S[s]!;
  }
  return size;
}

function forEachEntry({ offsets, order }: EntriesByFeature, feature: number, visit: (z: number) => void): void {
  for (let i = offsets[feature]!; i < offsets[feature + 1]!; i++) visit(order[i]!);
}

function percentiles(sorted: Float64Array): Interval {
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { low: at(0.025), high: at(0.975) };
}
