// What scores of models say about benchmarks, and whether features say the same.

import type { Random } from "../runtime/random.ts";
import { type Association, associate, associateMatrices } from "./association.ts";
import { isConstant, partialCorrelation, pearson, spearman } from "./correlation.ts";
import { type PerformanceRedundancy, performanceRedundancy } from "./performance-redundancy.ts";

export interface ScoredBenchmark {
  /** One per model; NaN where a model was not scored. */
  readonly scores_M: Float64Array;
  /** Row-major [models, samples] of the models that have scores of every sample; null when there are none. */
  readonly samples: { readonly models: number; readonly scores_MN: Float64Array } | null;
}

export interface FeatureFigures {
  readonly redundancy_D: readonly (number | null)[];
  readonly overlapMin_DD: Float64Array;
  /** The same of the baselines. */
  readonly tokensOverlapMin_DD: Float64Array;
  readonly randomOverlapMin_DD: Float64Array;
}

export interface ScoreOptions {
  /** The benchmark that partial correlation holds fixed. */
  readonly given: number | null;
  /** Random orders for performance redundancy. */
  readonly orders: number;
  readonly permutations: number;
  readonly random: Random;
}

type Method = "pearson" | "spearman";
export interface BothMethods {
  readonly pearson: Association;
  readonly spearman: Association;
}

export interface SimilarityMatrices {
  /** Row-major D × D; NaN where undefined. */
  readonly pearson_DD: Float64Array;
  readonly spearman_DD: Float64Array;
  /** Why a benchmark has no similarity to any other; null where it has. */
  readonly reasons: readonly (string | null)[];
}

export interface ScoreFigures {
  readonly performance: readonly PerformanceRedundancy[];
  readonly similarity: SimilarityMatrices;
  /** Models that both benchmarks have scores of. */
  readonly models_DD: Float64Array;
  readonly partial: SimilarityMatrices | null;
  readonly redundancy: BothMethods & { readonly pearsonLog: Association };
  readonly overlapMin: {
    readonly direct: BothMethods;
    readonly partial: BothMethods | null;
    readonly tokens: BothMethods;
    readonly random: BothMethods;
  };
}

/** @throws RangeError for vectors of different numbers of models */
export function analyzeScores(
  scored: readonly ScoredBenchmark[],
  features: FeatureFigures,
  options: ScoreOptions,
): ScoreFigures {
  const { given, orders, permutations, random } = options;
  const size = scored.length;
  const performance = scored.map(({ samples }, i) =>
    samples === null
      ? missing("no scores of single samples were given")
      : performanceRedundancy(samples.scores_MN, samples.models, { orders, random: random.fork(`subsets/${i}`) }),
  );
  const similarity = similarityOf(scored);
  const partial = given === null ? null : partialOf(scored, given);
  const test = (name: string, method: Method) => ({ permutations, random: random.fork(name), method });
  const both = (name: string, with_DD: Float64Array, own: SimilarityMatrices): BothMethods => ({
    pearson: associateMatrices(with_DD, own.pearson_DD, size, test(`${name}/pearson`, "pearson")),
    spearman: associateMatrices(with_DD, own.spearman_DD, size, test(`${name}/spearman`, "spearman")),
  });
  const R_D = performance.map(({ value }) => value);
  const log_D = features.redundancy_D.map((value) => (value === null ? null : Math.log(value)));
  return {
    performance,
    similarity,
    models_DD: Float64Array.from(
      { length: size * size },
      (_, at) => commonModels([scored[Math.floor(at / size)]!, scored[at % size]!]).length,
    ),
    partial,
    redundancy: {
      pearson: associate(features.redundancy_D, R_D, test("redundancy/pearson", "pearson")),
      spearman: associate(features.redundancy_D, R_D, test("redundancy/spearman", "spearman")),
      pearsonLog: associate(log_D, R_D, test("redundancy/log", "pearson")),
    },
    overlapMin: {
      direct: both("direct", features.overlapMin_DD, similarity),
      partial: partial === null ? null : both("partial", features.overlapMin_DD, partial),
      tokens: both("tokens", features.tokensOverlapMin_DD, similarity),
      random: both("random", features.randomOverlapMin_DD, similarity),
    },
  };
}

function similarityOf(scored: readonly ScoredBenchmark[]): SimilarityMatrices {
  const matrix = (correlation: typeof pearson) =>
    pairwise(scored.length, (i, j) => {
      const [a, b] = onCommonModels([scored[i]!, scored[j]!]);
      return a!.length < 3 ? null : correlation(a!, b!);
    });
  return {
    pearson_DD: matrix(pearson),
    spearman_DD: matrix(spearman),
    reasons: scored.map(({ scores_M }) => withoutSimilarity(scores_M)),
  };
}

/** Eq. 12, from the models that all three benchmarks have scores of. */
function partialOf(scored: readonly ScoredBenchmark[], given: number): SimilarityMatrices {
  const control = scored[given]!;
  const matrix = (correlation: typeof pearson) =>
    pairwise(scored.length, (i, j) => {
      if (i === given || j === given) return null;
      const [a, b, c] = onCommonModels([scored[i]!, scored[j]!, control]);
      // With one held fixed, three models leave nothing to vary.
      if (a!.length < 4) return null;
      const [ab, ac, bc] = [correlation(a!, b!), correlation(a!, c!), correlation(b!, c!)];
      return ab === null || ac === null || bc === null ? null : partialCorrelation(ab, ac, bc);
    });
  return {
    pearson_DD: matrix(pearson),
    spearman_DD: matrix(spearman),
    reasons: scored.map(({ scores_M }, i) => {
      if (i === given) return "it is the benchmark that is held fixed";
      const own = withoutSimilarity(scores_M) ?? withoutSimilarity(control.scores_M);
      if (own !== null) return own;
      const [a, c] = onCommonModels([scored[i]!, control]);
      if (a!.length < 4) return "fewer than four models have both scores";
      const explained = pearson(a!, c!);
      return explained !== null && partialCorrelation(0, explained, 0) === null
        ? "the benchmark that is held fixed explains its scores entirely"
        : null;
    }),
  };
}

function withoutSimilarity(scores_M: Float64Array): string | null {
  const scored = scores_M.filter(Number.isFinite);
  if (scored.length < 3) return "fewer than three models have scores";
  return isConstant(scored) ? "all models score the same, so correlation is undefined" : null;
}

function commonModels(scored: readonly ScoredBenchmark[]): number[] {
  const models = scored[0]!.scores_M.length;
  if (scored.some(({ scores_M }) => scores_M.length !== models))
    throw new RangeError("scores: different numbers of models");
  return Array.from({ length: models }, (_, m) => m).filter((m) =>
    scored.every(({ scores_M }) => Number.isFinite(scores_M[m])),
  );
}

function onCommonModels(scored: readonly ScoredBenchmark[]): Float64Array[] {
  const common = commonModels(scored);
  return scored.map(({ scores_M }) => Float64Array.from(common, (m) => scores_M[m]!));
}

function pairwise(size: number, value: (i: number, j: number) => number | null): Float64Array {
  const matrix = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      matrix[i * size + j] = value(i, j) ?? Number.NaN;
      matrix[j * size + i] = matrix[i * size + j]!;
    }
  }
  return matrix;
}

function missing(reason: string): PerformanceRedundancy {
  return { value: null, error: null, undefinedTau: 0, evaluations: 0, reason };
}
