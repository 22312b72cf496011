/** What scores of models say, in the shape of `analysis.json`. */
import type { ScoreAnalysis } from "../../../domain/benchmark-analysis.ts";
import type { BenchmarkScores } from "../../../domain/benchmark-scores.ts";
import type { Association } from "../../../engine/features/association.ts";
import { matrixRows } from "../../../engine/features/overlap.ts";
import type { BothMethods, ScoreFigures, SimilarityMatrices } from "../../../engine/features/score-analysis.ts";

export function scoreDocument(figures: ScoreFigures, given: BenchmarkScores, size: number): ScoreAnalysis {
  const matrix = (values: Float64Array) => matrixRows(values, size);
  const similarity = ({ pearson_DD, spearman_DD, reasons }: SimilarityMatrices) => ({
    pearson: matrix(pearson_DD),
    spearman: matrix(spearman_DD),
    reasons: [...reasons],
  });
  const { direct, partial, tokens, random } = figures.overlapMin;
  return {
    models: [...given.models],
    given: given.given ?? null,
    performance_redundancy: figures.performance.map(({ value, error, undefinedTau, evaluations, reason }) => ({
      value,
      error,
      undefined_tau: undefinedTau,
      evaluations,
      reason,
    })),
    similarity: { ...similarity(figures.similarity), models: matrix(figures.models_DD) },
    partial: figures.partial && similarity(figures.partial),
    redundancy: { ...both(figures.redundancy), pearson_log: wireAssociation(figures.redundancy.pearsonLog) },
    overlap_min: {
      direct: both(direct),
      partial: partial && both(partial),
      tokens: both(tokens),
      random: both(random),
    },
  };
}

export function wireAssociation({ value, pValue, exact, benchmarks, reason }: Association) {
  return { value, p_value: pValue, exact, benchmarks, reason };
}

function both({ pearson, spearman }: BothMethods) {
  return { pearson: wireAssociation(pearson), spearman: wireAssociation(spearman) };
}
