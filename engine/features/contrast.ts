/**
 * Which features tell a positive set of texts from a negative one: running sums for two statistics at once.
 *
 * - mean difference: mean over tokens of z_j in the positive set minus the same in the negative (Qwen-Scope, section 3);
 *   tokens on which a feature is silent count as 0.
 * - firing-rate difference: Δ_j = P(any token fires | positive) − P(any token fires | negative), per sample (Eqs. 13, 14).
 */
export type ContrastStatistic = "mean_difference" | "firing_rate_difference";
export type ContrastSide = "positive" | "negative";

export interface ContrastedFeature {
  readonly index: number;
  readonly value: number;
  readonly meanDifference: number;
  readonly firingRateDifference: number;
  /** Share of samples with at least one token on which the feature fires. */
  readonly positiveRate: number;
  readonly negativeRate: number;
}

export interface ContrastAccumulator {
  /** Adds one token's sparse activations to the sample in progress on that side. */
  addToken(side: ContrastSide, indices: ArrayLike<number>, values: ArrayLike<number>): void;
  /** Ends the sample in progress on that side; a sample without tokens counts as one that fires nothing. */
  endSample(side: ContrastSide): void;
  /** The features with the largest statistic, descending, ties by index; `fromBottom` gives the most negative first. */
  top(statistic: ContrastStatistic, count: number, options?: { fromBottom?: boolean }): ContrastedFeature[];
}

class Side {
  readonly sum_F: Float64Array;
  readonly fired_F: Uint32Array;
  /** The last sample (1-based) in which a feature fired, so that it is counted once per sample. */
  readonly lastSample_F: Uint32Array;
  tokens = 0;
  samples = 0;
  constructor(width: number) {
    this.sum_F = new Float64Array(width);
    this.fired_F = new Uint32Array(width);
    this.lastSample_F = new Uint32Array(width);
  }
}

/**
 * Memory is 32 bytes per feature, independent of the amount of text.
 *
 * @param width number of features, F
 * @throws RangeError (from its methods) for an index outside [0, width), a NaN, or a ranking with an empty side
 */
export function createContrast(width: number): ContrastAccumulator {
  const sides = { positive: new Side(width), negative: new Side(width) };
  return {
    addToken(name, indices, values) {
      const side = sides[name];
      for (let i = 0; i < indices.length; i++) {
        const feature = indices[i]!;
        const value = values[i]!;
        if (!(feature >= 0 && feature < width)) {
          throw new RangeError(`feature index: expected an integer in [0, ${width}), got ${feature}`);
        }
        if (Number.isNaN(value)) throw new RangeError(`activation of feature ${feature} is NaN`);
        if (value <= 0) continue;
        side.sum_F[feature]! += value;
        if (side.lastSample_F[feature] === side.samples + 1) continue;
        side.lastSample_F[feature] = side.samples + 1;
        side.fired_F[feature]! += 1;
      }
      side.tokens += 1;
    },
    endSample(name) {
      sides[name].samples += 1;
    },
    top(statistic, count, options = {}) {
      for (const name of ["positive", "negative"] as const) {
        if (sides[name].samples === 0 || sides[name].tokens === 0) {
          throw new RangeError(`contrast: the ${name} side has no tokens`);
        }
      }
      const sign = options.fromBottom ? -1 : 1;
      const features = Array.from({ length: width }, (_, index) => contrasted(sides, index, statistic));
      return features.sort((a, b) => sign * (b.value - a.value) || a.index - b.index).slice(0, count);
    },
  };
}

function contrasted(
  { positive, negative }: Record<ContrastSide, Side>,
  index: number,
  statistic: ContrastStatistic,
): ContrastedFeature {
  const meanDifference = positive.sum_F[index]! / positive.tokens - negative.sum_F[index]! / negative.tokens;
  const positiveRate = positive.fired_F[index]! / positive.samples;
  const negativeRate = negative.fired_F[index]! / negative.samples;
  const firingRateDifference = positiveRate - negativeRate;
  const value = statistic === "mean_difference" ? meanDifference : firingRateDifference;
  return { index, value, meanDifference, firingRateDifference, positiveRate, negativeRate };
}
