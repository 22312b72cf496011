// How soon a few samples of a benchmark rank models as all of them do.

import type { Random } from "../runtime/random.ts";
import { isConstant } from "./correlation.ts";

export interface PerformanceRedundancy {
  /** R(D), in [−1, 1]; null with a reason. */
  readonly value: number | null;
  /** One standard error of the sampling of subsets; the samples and models themselves are taken as they are. */
  readonly error: number | null;
  /** Subsets on which all models score the same, so that τ is undefined: counted as 0. */
  readonly undefinedTau: number;
  readonly evaluations: number;
  readonly reason: string | null;
}

/** Subset sizes looked at in one random order of the samples. */
const SIZES = 64;
/** A mean of this many 0/1 scores is exact; ties are told from rounding below it. */
const TIE = 1e-9;

/**
 * Performance redundancy R(D) = (1/N) Σ_{n=1..N} E_{|S|=n} τ(S, D), τ Kendall's τ-b between the models' mean scores on S and on D
 * (Qwen-Scope, section 4, Eqs. 4–6).
 *
 * Estimated: each of `orders` random orders of the samples gives nested subsets, of which up to 64 sizes are looked at: one in each
 * of 64 equal strata of 1 … N, at a random offset, so that every size counts alike and the estimate is unbiased. The orders are
 * independent; their spread gives the error.
 *
 * @param scores_MN row-major [models, samples]
 * @returns null for fewer than three models, without samples, and when all models score the same on D
 * @throws RangeError for a score that is not finite, or another number of them
 */
export function performanceRedundancy(
  scores_MN: Float64Array,
  models: number,
  { orders, random }: { orders: number; random: Random },
): PerformanceRedundancy {
  const samples = models === 0 ? 0 : scores_MN.length / models;
  if (!Number.isInteger(samples)) throw new RangeError(`scores: ${scores_MN.length} are not a multiple of ${models}`);
  if (!scores_MN.every(Number.isFinite)) throw new RangeError("scores: all must be finite");
  const nothing = (reason: string) => ({ value: null, error: null, undefinedTau: 0, evaluations: 0, reason });
  if (models < 3) return nothing("fewer than three models have scores of every sample");
  if (samples === 0) return nothing("there are no samples");
  const whole_M = Float64Array.from({ length: models }, (_, m) => sumOf(scores_MN, m * samples, samples));
  if (isConstant(whole_M)) return nothing("all models score the same on the whole benchmark, so there is no ranking");

  const compare = rankComparison(whole_M);
  const order = Uint32Array.from({ length: samples }, (_, i) => i);
  const values = new Float64Array(orders);
  let [undefinedTau, evaluations] = [0, 0];
  const sum_M = new Float64Array(models);
  for (let o = 0; o < orders; o++) {
    random.shuffle(order);
    const sizes = stratifiedSizes(samples, random);
    sum_M.fill(0);
    let taken = 0;
    let sum = 0;
    for (const size of sizes) {
      for (; taken < size; taken++) {
        const sample = order[taken]!;
        for (let m = 0; m < models; m++) sum_M[m]! += scores_MN[m * samples + sample]!;
      }
      const tau = compare(sum_M);
      if (tau === null) undefinedTau += 1;
      sum += tau ?? 0;
    }
    evaluations += sizes.length;
    values[o] = sum / sizes.length;
  }
  const value = sumOf(values, 0, orders) / orders;
  const squares = values.reduce((sum, one) => sum + (one - value) ** 2, 0);
  const error = orders > 1 ? Math.sqrt(squares / (orders - 1) / orders) : null;
  return { value, error, undefinedTau, evaluations, reason: null };
}

/** Ascending; every size of 1 … N equally often over many draws. */
function stratifiedSizes(samples: number, random: Random): Uint32Array {
  if (samples <= SIZES) return Uint32Array.from({ length: samples }, (_, i) => i + 1);
  const offset = random.float();
  return Uint32Array.from({ length: SIZES }, (_, i) => 1 + Math.floor(((i + offset) * samples) / SIZES));
}

/** τ-b against one ranking whose half of the work is done once. */
function rankComparison(whole_M: Float64Array): (other_M: Float64Array) => number | null {
  const models = whole_M.length;
  const sign_P = new Int8Array((models * (models - 1)) / 2);
  let untiedWhole = 0;
  for (let i = 1, p = 0; i < models; i++) {
    for (let j = 0; j < i; j++, p++) {
      sign_P[p] = signOf(whole_M[i]! - whole_M[j]!);
      untiedWhole += sign_P[p]! ** 2;
    }
  }
  return (other_M) => {
    let [difference, untied] = [0, 0];
    for (let i = 1, p = 0; i < models; i++) {
      for (let j = 0; j < i; j++, p++) {
        const sign = signOf(other_M[i]! - other_M[j]!);
        difference += sign * sign_P[p]!;
        untied += sign * sign;
      }
    }
    return untied === 0 ? null : difference / Math.sqrt(untied * untiedWhole);
  };
}

function signOf(difference: number): number {
  return difference > TIE ? 1 : difference < -TIE ? -1 : 0;
}

function sumOf(values: Float64Array, start: number, count: number): number {
  let sum = 0;
  for (let i = start; i < start + count; i++) sum += values[i]!;
  return sum;
}
