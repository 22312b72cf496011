/**
 * The features that each sample of a benchmark activates, as compressed sparse rows.
 *
 * Row i is `indices_Z[offsets_S1[i] .. offsets_S1[i + 1])`: strictly ascending feature numbers below `width`,
 * F(x_i) = { j : z_j(x_i) > 0 } (Qwen-Scope, section 4, Eq. 2). S1 is samples + 1, Z the number of stored entries.
 */
export interface FeatureSets {
  readonly width: number;
  readonly samples: number;
  readonly offsets_S1: Uint32Array;
  readonly indices_Z: Uint32Array;
}

export interface FeatureSetBuilder {
  /** Adds one sample. Order and repetitions of the indices do not matter; an empty set is a sample too. */
  add(features: ArrayLike<number>): void;
  /** Adds one sample from an encoder's (index, value) pairs: only values above zero count as active. */
  addActivations(indices: ArrayLike<number>, values: ArrayLike<number>): void;
  /** The samples added so far, as one immutable view; the builder must not be used afterwards. */
  finish(): FeatureSets;
}

const MAX_ENTRIES = 0xffff_ffff;

/**
 * Collects feature sets sample by sample into growing typed arrays.
 *
 * @param width number of features of the dictionary, F
 * @throws RangeError for a width that is no positive integer, for an index outside [0, width), and beyond 2^32 − 1 entries
 */
export function createFeatureSetBuilder(width: number, expectedSamples = 256): FeatureSetBuilder {
  assertWidth(width);
  let offsets = new Uint32Array(expectedSamples + 1);
  let indices = new Uint32Array(expectedSamples * 16);
  let samples = 0;
  let length = 0;

  function append(row: Uint32Array): void {
    row.sort();
    if (length + row.length > indices.length) indices = grown(indices, length + row.length);
    let previous = -1;
    for (const feature of row) {
      if (feature === previous) continue;
      indices[length] = feature;
      length += 1;
      previous = feature;
    }
    samples += 1;
    if (samples + 1 > offsets.length) offsets = grown(offsets, samples + 1);
    offsets[samples] = length;
  }

  function checked(feature: number): number {
    if (!Number.isInteger(feature) || feature < 0 || feature >= width) throw badFeature(samples, feature, width);
    return feature;
  }

  return {
    add(features) {
      const row = new Uint32Array(features.length);
      for (let i = 0; i < features.length; i++) row[i] = checked(features[i]!);
      append(row);
    },
    addActivations(featureIndices, values) {
      assertPairs(samples, featureIndices, values);
      const row = new Uint32Array(values.length);
      let active = 0;
      for (let i = 0; i < values.length; i++) {
        if (Number.isNaN(values[i])) throw nanActivation(samples, i);
        if (values[i]! <= 0) continue;
        row[active] = checked(featureIndices[i]!);
        active += 1;
      }
      append(row.subarray(0, active));
    },
    finish() {
      return { width, samples, offsets_S1: offsets.slice(0, samples + 1), indices_Z: indices.slice(0, length) };
    },
  };
}

/** The per-feature counts alone: all that coverage, redundancy and overlap need of a benchmark. */
export interface FeatureCounter {
  readonly samples: number;
  /** m_j so far; a live view. */
  readonly counts_F: Uint32Array;
  /** Adds one sample from the (index, value) pairs of all its tokens: a feature counts once, and only with a value above zero. */
  add(indices: ArrayLike<number>, values: ArrayLike<number>): void;
}

/**
 * Counts active features sample by sample, without keeping the sets: 8 bytes per feature, whatever the benchmark's size.
 *
 * @throws RangeError for a bad width, and from `add` for an index outside [0, width), a NaN, or unequal lengths
 */
export function createFeatureCounter(width: number): FeatureCounter {
  assertWidth(width);
  const counts_F = new Uint32Array(width);
  // The last sample (1-based) in which a feature was active, so that repetitions count once without sorting.
  const lastSample_F = new Uint32Array(width);
  let samples = 0;
  return {
    counts_F,
    get samples() {
      return samples;
    },
    add(indices, values) {
      assertPairs(samples, indices, values);
      samples += 1;
      for (let i = 0; i < indices.length; i++) {
        const value = values[i]!;
        if (value > 0) {
          const feature = indices[i]!;
          if (!(feature >= 0 && feature < width)) throw badFeature(samples - 1, feature, width);
          if (lastSample_F[feature] === samples) continue;
          lastSample_F[feature] = samples;
          counts_F[feature]! += 1;
        } else if (Number.isNaN(value)) throw nanActivation(samples - 1, i);
      }
    },
  };
}

/** Builds feature sets from plain rows; the convenience of tests and small callers. */
export function featureSetsOf(width: number, rows: readonly ArrayLike<number>[]): FeatureSets {
  const builder = createFeatureSetBuilder(width, rows.length);
  for (const row of rows) builder.add(row);
  return builder.finish();
}

/**
 * m_j, the number of samples that activate feature j.
 *
 * @returns counts_F, one entry per feature of the dictionary
 */
export function featureCounts(sets: FeatureSets): Uint32Array {
  const counts_F = new Uint32Array(sets.width);
  for (const feature of sets.indices_Z) counts_F[feature]! += 1;
  return counts_F;
}

/** |F(D)|, the number of features that at least one sample activates (Eq. 3). */
export function countActive(counts_F: Uint32Array): number {
  let active = 0;
  for (const count of counts_F) if (count > 0) active += 1;
  return active;
}

function assertWidth(width: number): void {
  if (!Number.isInteger(width) || width < 1 || width > MAX_ENTRIES) {
    throw new RangeError(`width: expected a positive integer, got ${width}`);
  }
}

function assertPairs(sample: number, indices: ArrayLike<number>, values: ArrayLike<number>): void {
  if (indices.length === values.length) return;
  throw new RangeError(`activations of sample ${sample}: ${indices.length} indices but ${values.length} values`);
}

function badFeature(sample: number, feature: number, width: number): RangeError {
  return new RangeError(`feature index of sample ${sample}: expected an integer in [0, ${width}), got ${feature}`);
}

// A NaN would silently count as inactive, and a broken forward pass would look like a redundant benchmark.
function nanActivation(sample: number, i: number): RangeError {
  return new RangeError(`activation ${i} of sample ${sample} is NaN`);
}

function grown(from: Uint32Array, needed: number): Uint32Array<ArrayBuffer> {
  if (needed > MAX_ENTRIES) throw new RangeError(`feature sets: more than ${MAX_ENTRIES} entries`);
  // Half again keeps the copy amortised without holding twice the memory of a large benchmark.
  const larger = new Uint32Array(Math.min(MAX_ENTRIES, Math.max(needed, Math.ceil(from.length * 1.5) + 16)));
  larger.set(from);
  return larger;
}
