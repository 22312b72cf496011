/**
 * What the features did in each sample of some labelled groups, as compressed sparse rows: enough for every contrast, and for
 * shuffling labels, without keeping tokens. S samples, F features, Z entries (a feature that fired in a sample).
 */
export interface SampleActivations {
  readonly width: number;
  readonly samples: number;
  /** [S + 1]; entries of sample s are offsets[s] … offsets[s+1] − 1. */
  readonly offsets_S1: Uint32Array;
  readonly features_Z: Uint32Array;
  /** Σ over the sample's tokens of z. */
  readonly sums_Z: Float32Array;
  /** The largest z in the sample. */
  readonly peaks_Z: Float32Array;
  /** Tokens counted in each sample. */
  readonly tokens_S: Uint32Array;
  /** Tokens of all samples on which each feature fired. */
  readonly firedTokens_F: Float64Array;
}

export interface SampleActivationsBuilder {
  /** One token's active features; values that are not above 0 do not count. */
  addToken(features: ArrayLike<number>, values: ArrayLike<number>): void;
  /** Ends the sample in progress; one without tokens is a sample too. */
  endSample(): void;
  finish(): SampleActivations;
}

/** @throws RangeError from its methods for a feature outside [0, width) and for a NaN */
export function createSampleActivations(width: number): SampleActivationsBuilder {
  const sum_F = new Float64Array(width);
  const peak_F = new Float32Array(width);
  const firedTokens_F = new Float64Array(width);
  let touched: number[] = [];
  let tokens = 0;
  let length = 0;
  let features = new Uint32Array(4096);
  let sums = new Float32Array(4096);
  let peaks = new Float32Array(4096);
  const offsets: number[] = [0];
  const tokensOf: number[] = [];

  function grow(needed: number): void {
    if (needed <= features.length) return;
    const size = Math.max(needed, features.length * 2);
    const grown = <T extends Uint32Array | Float32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    features = grown(features, new Uint32Array(size));
    sums = grown(sums, new Float32Array(size));
    peaks = grown(peaks, new Float32Array(size));
  }

  return {
    addToken(indices, values) {
      for (let i = 0; i < indices.length; i++) {
        const feature = indices[i]!;
        const value = values[i]!;
        if (!(feature >= 0 && feature < width))
          throw new RangeError(`feature index: expected an integer in [0, ${width}), got ${feature}`);
        if (Number.isNaN(value)) throw new RangeError(`activation of feature ${feature} is NaN`);
        if (value <= 0) continue;
        if (peak_F[feature] === 0) touched.push(feature);
        sum_F[feature]! += value;
        peak_F[feature] = Math.max(peak_F[feature]!, value);
        firedTokens_F[feature]! += 1;
      }
      tokens += 1;
    },
    endSample() {
      grow(length + touched.length);
      for (const feature of touched.sort((a, b) => a - b)) {
        features[length] = feature;
        sums[length] = sum_F[feature]!;
        peaks[length++] = peak_F[feature]!;
        sum_F[feature] = 0;
        peak_F[feature] = 0;
      }
      touched = [];
      offsets.push(length);
      tokensOf.push(tokens);
      tokens = 0;
    },
    finish: () => ({
      width,
      samples: tokensOf.length,
      offsets_S1: Uint32Array.from(offsets),
      features_Z: features.subarray(0, length),
      sums_Z: sums.subarray(0, length),
      peaks_Z: peaks.subarray(0, length),
      tokens_S: Uint32Array.from(tokensOf),
      firedTokens_F,
    }),
  };
}
