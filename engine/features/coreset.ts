// The fewest samples that still show most of a benchmark's features.

import type { FeatureSets } from "./feature-sets.ts";

export interface Coreset {
  /** Samples in the order in which greedy choice takes them, until every feature is covered: which set, and which sample of it. */
  readonly set: Uint32Array;
  readonly samples: Uint32Array;
  /** Features covered after each. */
  readonly covered: Uint32Array;
  /** |F(D)| */
  readonly features: number;
  readonly targets: readonly CoverTarget[];
}

export interface CoverTarget {
  readonly share: number;
  /** That greedy choice needs. */
  readonly samples: number;
  /** No choice whatever needs fewer: (target − covered after t) / gain of the next, at its largest over t. */
  readonly atLeast: number;
  /** Greedy needs at most so many times the fewest: H(min(target, largest sample)), H the harmonic sum, ≤ 1 + ln. */
  readonly timesOptimum: number;
}

const SHARES = [0.9, 0.95, 0.99, 1] as const;
/** n samples chosen greedily cover at least this share of what any n can (Nemhauser, Wolsey and Fisher 1978). */
export const greedyGuarantee = 1 - 1 / Math.E;

/**
 * Greedy maximum coverage: always the sample that adds most features; among equals the same one in every run.
 *
 * Lazy: a gain only falls as others are taken, so a sample is looked at again only when its last known gain is the largest left.
 * Gains are small integers and wait in one list per value. The bounds hold for exactly this order: (1 − 1/e) for a given number
 * of samples; for a share of the features Slavík's bound for partial cover (Inf. Process. Lett. 64, 1997).
 */
export function greedyCoreset(sets: readonly FeatureSets[]): Coreset {
  const covered_F = new Uint8Array(Math.max(0, ...sets.map(({ width }) => width)));
  const largest = Math.max(0, ...sets.map(largestRow));
  const total = sets.reduce((sum, { samples }) => sum + samples, 0);
  const firsts: number[] = [];
  const setOf_S = new Uint16Array(total);
  // Lists by gain: head of each, and the sample after each. Filled from the end, so that the first sample comes first.
  const head = new Int32Array(largest + 1).fill(-1);
  const next = new Int32Array(total);
  const push = (gain: number, sample: number) => {
    next[sample] = head[gain]!;
    head[gain] = sample;
  };
  let end = 0;
  for (const [i, { samples }] of sets.entries()) {
    firsts.push(end);
    setOf_S.fill(i, end, end + samples);
    end += samples;
  }
  for (let s = total - 1; s >= 0; s--) {
    const { offsets_S1 } = sets[setOf_S[s]!]!;
    const own = s - firsts[setOf_S[s]!]!;
    push(offsets_S1[own + 1]! - offsets_S1[own]!, s);
  }

  const chosen: number[] = [];
  const covered: number[] = [];
  let features = 0;
  for (let gain = largest; gain > 0; ) {
    const sample = head[gain]!;
    if (sample < 0) {
      gain -= 1;
      continue;
    }
    head[gain] = next[sample]!;
    const { offsets_S1, indices_Z } = sets[setOf_S[sample]!]!;
    const own = sample - firsts[setOf_S[sample]!]!;
    const [start, stop] = [offsets_S1[own]!, offsets_S1[own + 1]!];
    let fresh = 0;
    for (let z = start; z < stop; z++) fresh += 1 - covered_F[indices_Z[z]!]!;
    if (fresh < gain) {
      push(fresh, sample);
      continue;
    }
    for (let z = start; z < stop; z++) covered_F[indices_Z[z]!] = 1;
    features += fresh;
    chosen.push(sample);
    covered.push(features);
  }
  return {
    set: Uint32Array.from(chosen, (sample) => setOf_S[sample]!),
    samples: Uint32Array.from(chosen, (sample) => sample - firsts[setOf_S[sample]!]!),
    covered: Uint32Array.from(covered),
    features,
    targets: features === 0 ? [] : SHARES.map((share) => coverTarget(share, covered, features, largest)),
  };
}

/** Samples any one of which could go without losing a feature: another sample activates each of its features. */
export function countSpareSamples({ offsets_S1, indices_Z, samples }: FeatureSets, counts_F: Uint32Array): number {
  let spare = 0;
  for (let s = 0; s < samples; s++) {
    let z = offsets_S1[s]!;
    while (z < offsets_S1[s + 1]! && counts_F[indices_Z[z]!]! > 1) z += 1;
    if (z === offsets_S1[s + 1]!) spare += 1;
  }
  return spare;
}

function coverTarget(share: number, covered: readonly number[], features: number, largest: number): CoverTarget {
  // 0.95 · 20 is 19.000000000000004 in doubles.
  const target = Math.ceil(share * features - 1e-9);
  const samples = 1 + covered.findIndex((count) => count >= target);
  let atLeast = 0;
  for (let t = 0; t < samples; t++) {
    const before = t === 0 ? 0 : covered[t - 1]!;
    atLeast = Math.max(atLeast, Math.ceil((target - before) / (covered[t]! - before)));
  }
  return { share, samples, atLeast, timesOptimum: harmonic(Math.min(target, largest)) };
}

function harmonic(n: number): number {
  let sum = 0;
  for (let i = n; i > 0; i--) sum += 1 / i;
  return sum;
}

function largestRow({ offsets_S1, samples }: FeatureSets): number {
  let largest = 0;
  for (let s = 0; s < samples; s++) largest = Math.max(largest, offsets_S1[s + 1]! - offsets_S1[s]!);
  return largest;
}
