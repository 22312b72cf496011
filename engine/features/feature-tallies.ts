/**
 * Running counts of every feature over a stream of tokens, in memory that depends on the number of features alone. Position 0 is kept
 * apart: in most models it carries norms and features of its own, and one such token would be the maximum of hundreds of features.
 */
import { binCount, binEdge, binOfBits } from "./value-bins.ts";

/** What features.index and its checkpoints keep; every array is of length F unless its name says more. */
export interface TallyArrays {
  /** Tokens on which the feature fired. */
  readonly fired_F: Float64Array;
  /** Σ z and Σ z² over them. */
  readonly sum_F: Float64Array;
  readonly squares_F: Float64Array;
  readonly max_F: Float32Array;
  /** Sequences at whose position 0 it fired, and the largest value there. */
  readonly firedFirst_F: Float64Array;
  readonly maxFirst_F: Float32Array;
  /** Per feature `binCount` bins of value-bins.ts. */
  readonly histogram_FB: Uint32Array;
  /** [2]: tokens that are not at position 0, and sequences. */
  readonly seen: Float64Array;
}

export interface FeatureTallies {
  readonly arrays: TallyArrays;
  /** One token's active features, from entry `from` to before `to`; `bits` are those of the values. */
  addToken(features: Int32Array, values: Float32Array, bits: Uint32Array, from: number, to: number): void;
  /** The same at position 0. */
  addFirst(features: Int32Array, values: Float32Array, from: number, to: number): void;
  numbersOf(feature: number): FeatureNumbers;
  /** The non-empty part of the histogram: edges are one more than counts; both are empty where the feature never fired. */
  histogramOf(feature: number): { readonly edges: number[]; readonly counts: number[] };
  /** Share of the feature's active tokens whose bin is not above that of the value. */
  quantileOf(feature: number, value: number): number;
}

export interface FeatureNumbers {
  readonly firingCount: number;
  readonly firingRate: number;
  readonly mean: number;
  /** null: it never fired. */
  readonly meanWhenActive: number | null;
  readonly maxActivation: number;
  readonly firstPositionRate: number;
  readonly firstPositionMax: number;
  readonly dense: boolean;
  readonly register: boolean;
}

const denseRate = 0.5;
const registerRate = 0.9;
/** A register may also fire less often, if it is flat where it fires. */
const flatCoefficientOfVariation = 0.25;

export function createFeatureTallies(width: number): FeatureTallies {
  const fired_F = new Float64Array(width);
  const sum_F = new Float64Array(width);
  const squares_F = new Float64Array(width);
  const max_F = new Float32Array(width);
  const firedFirst_F = new Float64Array(width);
  const maxFirst_F = new Float32Array(width);
  const histogram_FB = new Uint32Array(width * binCount);
  const seen = new Float64Array(2);

  const binsOf = (feature: number) => histogram_FB.subarray(feature * binCount, (feature + 1) * binCount);

  return {
    arrays: { fired_F, sum_F, squares_F, max_F, firedFirst_F, maxFirst_F, histogram_FB, seen },
    addToken(features, values, bits, from, to) {
      for (let i = from; i < to; i++) {
        const feature = features[i]!;
        const value = values[i]!;
        fired_F[feature]! += 1;
        sum_F[feature]! += value;
        squares_F[feature]! += value * value;
        if (value > max_F[feature]!) max_F[feature] = value;
        histogram_FB[feature * binCount + binOfBits(bits[i]!)]! += 1;
      }
      seen[0]! += 1;
    },
    addFirst(features, values, from, to) {
      for (let i = from; i < to; i++) {
        const feature = features[i]!;
        firedFirst_F[feature]! += 1;
        if (values[i]! > maxFirst_F[feature]!) maxFirst_F[feature] = values[i]!;
      }
      seen[1]! += 1;
    },
    numbersOf(feature) {
      const [tokens, sequences] = [seen[0]!, seen[1]!];
      const fired = fired_F[feature]!;
      const firingRate = tokens > 0 ? fired / tokens : 0;
      const meanWhenActive = fired > 0 ? sum_F[feature]! / fired : null;
      const variance = meanWhenActive === null ? 0 : Math.max(0, squares_F[feature]! / fired - meanWhenActive ** 2);
      const isFlat = meanWhenActive !== null && Math.sqrt(variance) <= flatCoefficientOfVariation * meanWhenActive;
      return {
        firingCount: fired,
        firingRate,
        mean: tokens > 0 ? sum_F[feature]! / tokens : 0,
        meanWhenActive,
        maxActivation: max_F[feature]!,
        firstPositionRate: sequences > 0 ? firedFirst_F[feature]! / sequences : 0,
        firstPositionMax: maxFirst_F[feature]!,
        dense: firingRate > denseRate,
        register: firingRate >= registerRate || (firingRate >= denseRate && isFlat),
      };
    },
    histogramOf(feature) {
      const bins = binsOf(feature);
      const first = bins.findIndex((count) => count > 0);
      if (first < 0) return { edges: [], counts: [] };
      const end = bins.findLastIndex((count) => count > 0) + 1;
      return {
        edges: Array.from({ length: end - first + 1 }, (_, i) => binEdge(first + i)),
        counts: Array.from(bins.subarray(first, end)),
      };
    },
    quantileOf(feature, value) {
      const own = binOfBits(new Uint32Array(Float32Array.of(value).buffer)[0]!);
      let below = 0;
      let all = 0;
      for (const [bin, count] of binsOf(feature).entries()) {
        all += count;
        if (bin <= own) below += count;
      }
      return all > 0 ? below / all : 0;
    },
  };
}
