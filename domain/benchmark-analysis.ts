// The artifact `analysis.json` of benchmark.analyze: everything that the pictures and tables show. D benchmarks, in the order of
// `benchmarks`; a matrix is D × D, row i column j. null: undefined, or not asked for; never NaN.
import { type Static, Type } from "typebox";
import { BenchmarkFigures, MergeSuggestion } from "./benchmark.ts";
import { nullable } from "./schema.ts";

const Numbers = Type.Array(Type.Number());
const Integers = Type.Array(Type.Integer());
const Matrix = Type.Array(Type.Array(nullable(Type.Number())));
const Reason = nullable(Type.String({ description: "why there is no value" }));

/** A feature as it is shown: who it is and where to see it. */
export const FeatureMention = Type.Object({
  feature: Type.String({ description: "sae id:index" }),
  label: nullable(Type.String()),
  samples: Integers,
});
export type FeatureMention = Static<typeof FeatureMention>;

export const FeatureExample = Type.Object({
  row: Type.Integer({ description: "of the dataset, from 1" }),
  activation: Type.Number(),
  prompt: Type.String({ description: "its last characters, where it is measured; … where it was cut" }),
});
export type FeatureExample = Static<typeof FeatureExample>;

export const UniqueFeature = Type.Object({
  feature: Type.String({ description: "sae id:index" }),
  label: nullable(Type.String()),
  samples: Type.Integer({ description: "of this benchmark that activate it" }),
  examples: Type.Array(FeatureExample),
});
export type UniqueFeature = Static<typeof UniqueFeature>;

/** The greedy order: after the i-th row, covered[i] features are covered. */
export const Coreset = Type.Object({
  rows: Integers,
  covered: Integers,
  features: Type.Integer({ description: "that can be covered" }),
  whole: Type.Boolean({ description: "false when the list was cut at 10,000 rows" }),
  targets: Type.Array(
    Type.Object({
      share: Type.Number(),
      samples: Type.Integer({ description: "that greedy choice needs" }),
      at_least: Type.Integer({ description: "no choice whatever needs fewer: shown by the gains of this one" }),
      times_optimum: Type.Number({ description: "greedy needs at most so many times the fewest possible" }),
    }),
  ),
  guarantee: Type.Number({ description: "1 − 1/e: n samples of this order cover at least so much of what any n can" }),
});
export type Coreset = Static<typeof Coreset>;

export const AnalyzedBenchmark = Type.Intersect([
  BenchmarkFigures,
  Type.Object({
    dataset_digest: Type.String(),
    template: Type.String(),
    coverage: Type.Object(
      { samples: Integers, coverage: Numbers },
      { description: "c_n at up to 512 sizes n, exact expectation" },
    ),
    greedy: Coreset,
    adds_nothing: Type.Object({
      together: Type.Integer({ description: "samples that the greedy choice of all features does without" }),
      alone: Type.Integer({
        description: "samples any one of which could go: every feature of theirs is another's too",
      }),
    }),
    unique_features: Type.Array(UniqueFeature, { description: "up to 20, those of the most samples first" }),
  }),
]);

const Overlaps = Type.Object({ overlap: Matrix, overlap_min: Matrix, jaccard: Matrix });

const Association = Type.Object({
  value: nullable(Type.Number()),
  p_value: nullable(Type.Number({ description: "two-sided, by permuting the benchmarks' labels" })),
  exact: Type.Boolean({ description: "every permutation was tried" }),
  benchmarks: Type.Integer({ description: "that have both figures" }),
  reason: Reason,
});
export type Association = Static<typeof Association>;

const Pair = Type.Object({ pearson: Association, spearman: Association });

export const ScoreAnalysis = Type.Object({
  models: Type.Array(Type.String()),
  given: nullable(Type.String()),
  performance_redundancy: Type.Array(
    Type.Object({
      value: nullable(Type.Number({ description: "R, mean over n of the expected Kendall τ-b" })),
      error: nullable(Type.Number({ description: "one standard error of the sampling of subsets" })),
      undefined_tau: Type.Integer({ description: "subsets whose τ is undefined (all models equal), counted as 0" }),
      evaluations: Type.Integer(),
      reason: Reason,
    }),
    { description: "one per benchmark" },
  ),
  similarity: Type.Object({ pearson: Matrix, spearman: Matrix, models: Matrix, reasons: Type.Array(Reason) }),
  partial: nullable(Type.Object({ pearson: Matrix, spearman: Matrix, reasons: Type.Array(Reason) })),
  redundancy: Type.Intersect([Pair, Type.Object({ pearson_log: Association })], {
    description: "of R with R̂ over the benchmarks; pearson_log: of R with ln R̂",
  }),
  overlap_min: Type.Object(
    {
      direct: Pair,
      partial: nullable(Pair),
      tokens: Pair,
      random: Pair,
    },
    {
      description:
        "of overlap_min with similarity over pairs of benchmarks; of the baselines' overlap_min with the same (Pearson: with Pearson similarity, Spearman: with Spearman)",
    },
  ),
});
export type ScoreAnalysis = Static<typeof ScoreAnalysis>;

export const Stability = Type.Object({
  variants: Type.Array(
    Type.Object({
      sae_id: Type.String(),
      name: Type.String(),
      layer: Type.Integer(),
      k: nullable(Type.Integer({ description: "of the k strongest features a token; null: all that fire" })),
      features: Integers,
      redundancy: Type.Array(nullable(Type.Number())),
      overlap_min: Matrix,
    }),
  ),
  redundancy_spearman: Type.Intersect([Matrix], {
    description: "between variants, over benchmarks: do they rank the benchmarks alike?",
  }),
  overlap_min_spearman: Type.Intersect([Matrix], { description: "between variants, over pairs of benchmarks" }),
});
export type Stability = Static<typeof Stability>;

export const BenchmarkAnalysis = Type.Object(
  {
    version: Type.Literal(1),
    model: Type.Object({ id: Type.String(), name: Type.String(), digest: Type.String() }),
    saes: Type.Array(
      Type.Object({
        id: Type.String(),
        name: Type.String(),
        layer: Type.Integer(),
        digest: Type.String(),
        width: Type.Integer(),
        k: nullable(Type.Integer()),
      }),
    ),
    position: Type.String(),
    max_samples: nullable(Type.Integer()),
    seed: Type.Integer(),
    overlong: Type.String(),
    runtime: Type.String(),
    definitions: Type.Record(Type.String(), Type.String()),
    benchmarks: Type.Array(AnalyzedBenchmark),
    overlap: Matrix,
    overlap_min: Matrix,
    jaccard: Matrix,
    shared_features: Type.Intersect([Matrix], { description: "|Fi ∩ Fj|" }),
    overlap_interval: Type.Object({ low: Matrix, high: Matrix }),
    overlap_min_interval: Type.Object({ low: Matrix, high: Matrix }),
    specific: Type.Intersect([
      Overlaps,
      Type.Object({
        common_features: Type.Array(Type.String(), { description: "left out: sae id:index" }),
        common_above: Type.Number(),
        neutral: Type.String({ description: "the text that says so" }),
        neutral_tokens: Type.Integer(),
      }),
    ]),
    order: Integers,
    tree: Type.Array(
      Type.Object({
        left: Type.Integer({ description: "a benchmark below D, or D + the number of an earlier merge" }),
        right: Type.Integer(),
        similarity: Type.Number({ description: "mean overlap_min between the two" }),
      }),
      { description: "D − 1 merges of average linkage; `order` is its optimal leaf order" },
    ),
    shared: Type.Array(Type.Object({ pair: Integers, features: Type.Array(FeatureMention) }), {
      description:
        "of every pair i < j, up to 12 shared features that are not common in neutral text, those of the largest share of both first; `samples`: of i and of j",
    }),
    suite: Type.Object({
      samples: Type.Integer(),
      features: Type.Integer(),
      coreset: nullable(
        Type.Object({
          benchmark: Integers,
          row: Integers,
          covered: Integers,
          whole: Type.Boolean(),
          targets: Coreset.properties.targets,
        }),
      ),
      reason: Reason,
    }),
    merge: Type.Object({
      rule: Type.String(),
      above: Type.Number(),
      suggestions: Type.Array(MergeSuggestion),
      features_left: Type.Integer(),
    }),
    baselines: Type.Object({
      tokens: Type.Object(
        {
          features: Integers,
          redundancy: Type.Array(nullable(Type.Number())),
          overlap: Matrix,
          overlap_min: Matrix,
        },
        { description: "distinct tokens of the prompts in place of features" },
      ),
      random: Type.Object(
        { features: Numbers, overlap: Matrix, overlap_min: Matrix },
        {
          description:
            "expected of features that fire as often but know nothing of the benchmarks: all samples shuffled between them",
        },
      ),
      overlap_min_spearman: Type.Object(
        { tokens: Association, random: Association },
        {
          description: "of overlap_min with that of each baseline, over pairs",
        },
      ),
    }),
    stability: nullable(Stability),
    scores: nullable(ScoreAnalysis),
  },
  { title: "BenchmarkAnalysis" },
);
export type BenchmarkAnalysis = Static<typeof BenchmarkAnalysis>;
