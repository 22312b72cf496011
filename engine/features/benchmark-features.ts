// What the features of one sae did in the samples of one benchmark: all that the analysis needs of a forward pass.

import { createFeatureSetBuilder, type FeatureSets } from "./feature-sets.ts";

export interface BenchmarkFeatures {
  readonly sets: FeatureSets;
  readonly examples: FeatureExamples;
  /** m_j where only the k strongest features of each token count, for k below the sae's own. */
  readonly levels: readonly FeatureLevel[];
}

/** The samples in which each active feature is strongest: A active features, ascending, E examples of each. */
export interface FeatureExamples {
  readonly features_A: Uint32Array;
  /** Row-major [A, E], strongest first; −1 where a feature has fewer. */
  readonly samples_AE: Int32Array;
  readonly activations_AE: Float32Array;
}

export interface FeatureLevel {
  readonly k: number;
  readonly features_A: Uint32Array;
  readonly counts_A: Uint32Array;
}

/** E: what a page shows of a feature. */
export const EXAMPLES = 3;

export interface BenchmarkCollector {
  /** One token's active features; values that are not above 0 do not count. */
  addToken(features: ArrayLike<number>, values: ArrayLike<number>): void;
  /** Ends the sample in progress; one without features is a sample too. */
  endSample(): void;
  finish(): BenchmarkFeatures;
}

/**
 * Collects token by token, sample by sample.
 *
 * @param k features that the sae activates per token; null when that differs from token to token (then there are no lower levels)
 * @throws RangeError from its methods for a feature outside [0, width) and for a NaN
 */
export function createBenchmarkCollector(width: number, k: number | null): BenchmarkCollector {
  const builder = createFeatureSetBuilder(width);
  const ks = k === null ? [] : [k >> 1, k >> 2].filter((level) => level >= 1);
  const levels = ks.map((level) => ({ k: level, counts_F: new Uint32Array(width), last_F: new Uint32Array(width) }));
  const peak_FE = new Float32Array(width * EXAMPLES);
  const sample_FE = new Int32Array(width * EXAMPLES).fill(-1);
  // The sample in progress: its features in the order they came, and the largest value of each; 0 where it has none.
  let touched = new Uint32Array(256);
  let count = 0;
  const now_F = new Float32Array(width);
  let samples = 0;

  function touch(feature: number): void {
    if (!(feature >= 0 && feature < width)) {
      throw new RangeError(`feature index of sample ${samples}: expected an integer in [0, ${width}), got ${feature}`);
    }
    if (count === touched.length) {
      const grown = new Uint32Array(2 * count);
      grown.set(touched);
      touched = grown;
    }
    touched[count++] = feature;
  }

  function keepExample(feature: number, value: number): void {
    const first = feature * EXAMPLES;
    let at = first + EXAMPLES - 1;
    if (sample_FE[at]! >= 0 && peak_FE[at]! >= value) return;
    for (; at > first && !(sample_FE[at - 1]! >= 0 && peak_FE[at - 1]! >= value); at--) {
      peak_FE[at] = peak_FE[at - 1]!;
      sample_FE[at] = sample_FE[at - 1]!;
    }
    peak_FE[at] = value;
    sample_FE[at] = samples;
  }

  return {
    addToken(features, values) {
      for (let i = 0; i < features.length; i++) {
        const value = values[i]!;
        const feature = features[i]!;
        if (Number.isNaN(value)) throw new RangeError(`activation of feature ${feature} in sample ${samples} is NaN`);
        if (value <= 0) continue;
        if (now_F[feature] === undefined || now_F[feature] === 0) touch(feature);
        if (value > now_F[feature]!) now_F[feature] = value;
      }
      if (levels.length === 0) return;
      const order = strongestFirst(features, values);
      for (const { k: most, counts_F, last_F } of levels) {
        for (let rank = 0; rank < Math.min(most, features.length); rank++) {
          const i = order === null ? rank : order[rank]!;
          const feature = features[i]!;
          if (!(values[i]! > 0) || last_F[feature] === samples + 1) continue;
          last_F[feature] = samples + 1;
          counts_F[feature]! += 1;
        }
      }
    },
    endSample() {
      builder.add(touched.subarray(0, count));
      for (let i = 0; i < count; i++) {
        const feature = touched[i]!;
        keepExample(feature, now_F[feature]!);
        now_F[feature] = 0;
      }
      count = 0;
      samples += 1;
    },
    finish() {
      const features_A = Uint32Array.from(numbersWhere(width, (f) => sample_FE[f * EXAMPLES]! >= 0));
      const samples_AE = new Int32Array(features_A.length * EXAMPLES);
      const activations_AE = new Float32Array(features_A.length * EXAMPLES);
      features_A.forEach((feature, a) => {
        const from = feature * EXAMPLES;
        samples_AE.set(sample_FE.subarray(from, from + EXAMPLES), a * EXAMPLES);
        activations_AE.set(peak_FE.subarray(from, from + EXAMPLES), a * EXAMPLES);
      });
      return {
        sets: builder.finish(),
        examples: { features_A, samples_AE, activations_AE },
        levels: levels.map(({ k: level, counts_F }) => ({ k: level, ...sparseCounts(counts_F) })),
      };
    },
  };
}

/** Order of the entries by value; null where they are in it already, as encoders with top-k give them. */
function strongestFirst(features: ArrayLike<number>, values: ArrayLike<number>): Uint32Array | null {
  let sorted = true;
  for (let i = 1; i < values.length && sorted; i++) sorted = values[i - 1]! >= values[i]!;
  if (sorted) return null;
  return Uint32Array.from({ length: values.length }, (_, i) => i).sort(
    (a, b) => values[b]! - values[a]! || features[a]! - features[b]!,
  );
}

/** The counts that are not 0. */
export function sparseCounts(counts: Uint32Array): { features_A: Uint32Array; counts_A: Uint32Array } {
  const features_A = Uint32Array.from(numbersWhere(counts.length, (f) => counts[f]! > 0));
  return { features_A, counts_A: features_A.map((feature) => counts[feature]!) };
}

/** The sets of several saes for the same samples, over the disjoint union of their features: those of sae i after all of the earlier ones. */
export function unitedSets(parts: readonly FeatureSets[]): FeatureSets {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only;
  const samples = only?.samples ?? 0;
  const offsets_S1 = new Uint32Array(samples + 1);
  const indices_Z = new Uint32Array(parts.reduce((sum, { indices_Z: own }) => sum + own.length, 0));
  let at = 0;
  for (let s = 0; s < samples; s++) {
    let first = 0;
    for (const part of parts) {
      for (let z = part.offsets_S1[s]!; z < part.offsets_S1[s + 1]!; z++) indices_Z[at++] = first + part.indices_Z[z]!;
      first += part.width;
    }
    offsets_S1[s + 1] = at;
  }
  return { width: parts.reduce((sum, { width }) => sum + width, 0), samples, offsets_S1, indices_Z };
}

function* numbersWhere(end: number, holds: (number: number) => boolean): Generator<number> {
  for (let i = 0; i < end; i++) if (holds(i)) yield i;
}
