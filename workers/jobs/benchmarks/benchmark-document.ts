/** The findings in the shape of `analysis.json` and of the job's result: no NaN, rows from 1, features by name. */

import type { BenchmarkAnalyzeInput, BenchmarkAnalyzeResult, BenchmarkFigures } from "../../../domain/benchmark.ts";
import type { BenchmarkAnalysis, UniqueFeature, Coreset as WireCoreset } from "../../../domain/benchmark-analysis.ts";
import { type Coreset, greedyGuarantee } from "../../../engine/features/coreset.ts";
import { mergeRule } from "../../../engine/features/merge-suggestions.ts";
import { matrixRows } from "../../../engine/features/overlap.ts";
import type { ScoreFigures } from "../../../engine/features/score-analysis.ts";
import type { IntervalMatrices } from "../../../engine/features/suite.ts";
import { type CollectedBenchmark, defaults, type Findings } from "./benchmark-findings.ts";
import type { PromptCounts } from "./benchmark-samples.ts";
import { scoreDocument, wireAssociation } from "./benchmark-score-document.ts";
import type { FeatureNames } from "./feature-mentions.ts";
import type { SuiteRows } from "./suite-store.ts";

/** Rows of a greedy order that the document lists; nobody drags a slider further. */
const MOST_ROWS = 10_000;

export interface Analyzed {
  readonly input: BenchmarkAnalyzeInput;
  readonly rows: SuiteRows;
  readonly collected: readonly CollectedBenchmark[];
  readonly findings: Findings;
  readonly names: FeatureNames;
  readonly unique: readonly (readonly UniqueFeature[])[];
  readonly scores: ScoreFigures | null;
}

export function analysisDocument(analyzed: Analyzed): BenchmarkAnalysis {
  const { input, rows, collected, findings, names, unique } = analyzed;
  const { suite, tokens } = findings;
  const size = collected.length;
  const matrix = (values: ArrayLike<number>) => matrixRows(Float64Array.from(values), size);
  const interval = ({ low_DD, high_DD }: IntervalMatrices) => ({ low: matrix(low_DD), high: matrix(high_DD) });
  const overlaps = ({ overlap_DD, overlapMin_DD, jaccard_DD }: typeof suite.matrices) => ({
    overlap: matrix(overlap_DD),
    overlap_min: matrix(overlapMin_DD),
    jaccard: matrix(jaccard_DD),
  });
  return {
    version: 1,
    model: { id: rows.model.id, name: rows.model.name, digest: rows.model.digest },
    saes: rows.saes.map(({ id, name, layer, digest, width, k }) => ({ id, name, layer, digest, width, k })),
    position: input.position ?? "last",
    max_samples: input.max_samples ?? null,
    seed: input.seed ?? 0,
    overlong: input.overlong ?? "cut",
    runtime: rows.runtime,
    definitions: DEFINITIONS,
    benchmarks: figuresOf(analyzed).map((figures, i) => ({
      ...figures,
      dataset_digest: rows.benchmarks[i]!.dataset.digest,
      template: rows.benchmarks[i]!.ref.template,
      coverage: {
        samples: [...suite.benchmarks[i]!.curve.samples],
        coverage: [...suite.benchmarks[i]!.curve.coverage],
      },
      greedy: wireCoreset(suite.benchmarks[i]!.coreset, collected[i]!.prompts),
      adds_nothing: {
        together: figures.samples - suite.benchmarks[i]!.coreset.samples.length,
        alone: suite.benchmarks[i]!.spareSamples,
      },
      unique_features: [...unique[i]!],
    })),
    ...overlaps(suite.matrices),
    shared_features: matrix(suite.matrices.shared_DD),
    overlap_interval: interval(suite.overlapInterval),
    overlap_min_interval: interval(suite.overlapMinInterval),
    specific: {
      ...overlaps(suite.specific),
      common_features: [...findings.common_F.keys()].filter((f) => findings.common_F[f] === 1).map(names.nameOf),
      common_above: input.common_above ?? defaults.commonAbove,
      neutral: rows.neutral?.name ?? "a multilingual text of our own",
      neutral_tokens: findings.neutralTokens,
    },
    order: [...suite.clustering.order],
    tree: suite.clustering.merges.map((merge) => ({ ...merge })),
    shared: findings.shared.map(({ pair, features }) => ({
      pair: [...pair],
      features: features.map(({ feature, samples }) => ({
        feature: names.nameOf(feature),
        label: names.labelOf(feature),
        samples: [...samples],
      })),
    })),
    suite: suiteOf(analyzed),
    merge: {
      rule: mergeRule,
      above: input.merge_above ?? defaults.mergeAbove,
      suggestions: mergesOf(analyzed),
      features_left: findings.merge.featuresLeft,
    },
    baselines: {
      tokens: {
        features: [...tokens.features_D],
        redundancy: [...tokens.redundancy],
        overlap: matrix(tokens.overlap_DD),
        overlap_min: matrix(tokens.overlapMin_DD),
      },
      random: {
        features: [...suite.random.features_D],
        overlap: matrix(suite.random.overlap_DD),
        overlap_min: matrix(suite.random.overlapMin_DD),
      },
      overlap_min_spearman: {
        tokens: wireAssociation(findings.baselines.tokens),
        random: wireAssociation(findings.baselines.random),
      },
    },
    stability: stabilityOf(findings, size),
    scores: analyzed.scores && scoreDocument(analyzed.scores, input.scores!, size),
  };
}

export function analysisResult(
  analyzed: Analyzed,
  artifacts: Readonly<Record<string, string>>,
): BenchmarkAnalyzeResult {
  const { suite } = analyzed.findings;
  const matrix = (values: Float64Array) => matrixRows(values, suite.matrices.size);
  return {
    benchmarks: figuresOf(analyzed),
    overlap: matrix(suite.matrices.overlap_DD),
    overlap_min: matrix(suite.matrices.overlapMin_DD),
    jaccard: matrix(suite.matrices.jaccard_DD),
    order: [...suite.clustering.order],
    features: suite.features,
    merge: mergesOf(analyzed),
    artifacts: { ...artifacts },
  };
}

function figuresOf({ rows, collected, findings }: Analyzed): BenchmarkFigures[] {
  const { suite } = findings;
  return suite.benchmarks.map((one, i) => {
    const { prompts, reused } = collected[i]!;
    const { features, redundancy, coverageAuc } = one.specific;
    return {
      name: one.name,
      dataset_id: rows.benchmarks[i]!.dataset.id,
      samples: one.samples,
      tokens: prompts.tokens,
      cut: prompts.cut,
      duplicates: prompts.duplicates,
      duplicate_ids: prompts.duplicateIds,
      reused,
      features: one.features,
      redundancy: one.redundancy,
      redundancy_interval: one.redundancyInterval,
      coverage_auc: one.coverageAuc,
      coverage_auc_interval: one.coverageAucInterval,
      features_interval: one.featuresInterval,
      uniqueness: one.uniqueness,
      specific: { features, redundancy, coverage_auc: coverageAuc },
      coreset: one.coreset.targets.map(({ share, samples }) => ({ share, samples })),
      lost_without: suite.matrices.unique_D[i]!,
    };
  });
}

function mergesOf({ rows, findings }: Analyzed) {
  return findings.merge.suggestions.map(({ drop, keep, overlap, lost }) => ({
    drop: rows.benchmarks[drop]!.name,
    keep: rows.benchmarks[keep]!.name,
    overlap,
    lost,
  }));
}

function wireTargets({ targets }: Coreset): WireCoreset["targets"] {
  return targets.map(({ share, samples, atLeast, timesOptimum }) => ({
    share,
    samples,
    at_least: atLeast,
    times_optimum: timesOptimum,
  }));
}

function wireCoreset(coreset: Coreset, { rows_S }: PromptCounts): WireCoreset {
  return {
    rows: Array.from(coreset.samples.subarray(0, MOST_ROWS), (sample) => rows_S[sample]! + 1),
    covered: [...coreset.covered.subarray(0, MOST_ROWS)],
    features: coreset.features,
    whole: coreset.samples.length <= MOST_ROWS,
    targets: wireTargets(coreset),
    guarantee: greedyGuarantee,
  };
}

function suiteOf({ collected, findings }: Analyzed): BenchmarkAnalysis["suite"] {
  const { coreset, suite } = findings;
  const cut = (values: Uint32Array) => [...values.subarray(0, MOST_ROWS)];
  return {
    samples: collected.reduce((sum, { reduced }) => sum + reduced.samples, 0),
    features: suite.features,
    coreset: coreset && {
      benchmark: cut(coreset.set),
      row: cut(coreset.samples).map((sample, i) => collected[coreset.set[i]!]!.prompts.rows_S[sample]! + 1),
      covered: cut(coreset.covered),
      whole: coreset.samples.length <= MOST_ROWS,
      targets: wireTargets(coreset),
    },
    reason: coreset ? null : "the feature sets of all samples together do not fit into memory",
  };
}

function stabilityOf({ stability }: Findings, size: number): BenchmarkAnalysis["stability"] {
  if (stability === null) return null;
  return {
    variants: stability.variants.map(({ features_D, redundancy_D, overlapMin_DD }, v) => {
      const { sae, k } = stability.of[v]!;
      return {
        sae_id: sae.id,
        name: sae.name,
        layer: sae.layer,
        k,
        features: [...features_D],
        redundancy: [...redundancy_D],
        overlap_min: matrixRows(overlapMin_DD, size),
      };
    }),
    redundancy_spearman: stability.redundancySpearman.map((row) => [...row]),
    overlap_min_spearman: stability.overlapMinSpearman.map((row) => [...row]),
  };
}

const DEFINITIONS = {
  features: "|F(D)|: features above zero in at least one sample",
  redundancy: "(N + 1) / |F|^2 * sum over F of m / (m + 1), m = samples that activate the feature; not bounded by 1",
  coverage: "expected share of F that n samples drawn without replacement activate, exact",
  coverage_auc: "mean of the coverage over n = 1 .. N",
  intervals:
    "95 %, of the figure over other draws of as many samples from where these came from, by the spread over random halves of the samples; given these samples the figures are exact",
  uniqueness: "share of F that no other benchmark of this analysis activates",
  overlap: "[i][j] = |Fi and Fj| / |Fi|: share of i's features that j covers",
  overlap_min: "[i][j] = |Fi and Fj| / min(|Fi|, |Fj|)",
  jaccard: "[i][j] = |Fi and Fj| / |Fi or Fj|",
  specific:
    "the same without features that fire on more than common_above of the neutral tokens, and registers of the index",
  random: "expected when all samples are shuffled between the benchmarks: features that fire as often, on any sample",
  performance_redundancy: "mean over n of the expected Kendall tau-b between models' scores on n samples and on all",
  partial: "(r_ij - r_ig r_jg) / sqrt((1 - r_ig^2) (1 - r_jg^2)), g = the given benchmark",
} as const;
