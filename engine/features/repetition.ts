// Features of repetition: the same token seen again. Comparing a token with itself keeps its identity out of the difference.

import type { WeightedSamples } from "./contrast.ts";

export interface RepetitionBuilder {
  /** The next token of the sample in progress, with its active features. */
  addToken(id: number, features: ArrayLike<number>, values: ArrayLike<number>): void;
  endSample(): void;
  /** value_F of `contrastValues` over these with one group: mean over pairs of z(last) − z(first). */
  finish(): WeightedSamples;
}

type Active = ReadonlyMap<number, number>;

/**
 * Over every token that occurs twice or more in a sample: its features at the last occurrence minus those at the first
 * (Qwen-Scope §8, where the largest increases are the features of endless repetition). A sample's weight is its number of such tokens.
 */
export function createRepetition(width: number): RepetitionBuilder {
  let seen = new Map<number, { first: Active; last: Active | null }>();
  const offsets = [0];
  const features: number[] = [];
  const weights: number[] = [];
  const pairs: number[] = [];

  return {
    addToken(id, indices, values) {
      const active = new Map<number, number>();
      for (let i = 0; i < indices.length; i++) if (values[i]! > 0) active.set(indices[i]!, values[i]!);
      const before = seen.get(id);
      seen.set(id, before ? { first: before.first, last: active } : { first: active, last: null });
    },
    endSample() {
      const change = new Map<number, number>();
      let count = 0;
      for (const { first, last } of seen.values()) {
        if (!last) continue;
        count += 1;
        for (const [f, z] of last) change.set(f, (change.get(f) ?? 0) + z);
        for (const [f, z] of first) change.set(f, (change.get(f) ?? 0) - z);
      }
      for (const f of [...change.keys()].sort((a, b) => a - b)) {
        features.push(f);
        weights.push(change.get(f)!);
      }
      offsets.push(features.length);
      pairs.push(count);
      seen = new Map();
    },
    finish: () => ({
      width,
      samples: pairs.length,
      offsets_S1: Uint32Array.from(offsets),
      features_Z: Uint32Array.from(features),
      weights_Z: Float32Array.from(weights),
      size_S: pairs,
    }),
  };
}
