// Evaluation analysis: how redundant benchmarks are and how much they overlap, from the features they activate.
import { type Static, Type } from "typebox";
import { BenchmarkScores } from "./benchmark-scores.ts";
import { Shots } from "./few-shot.ts";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";

export const samplePositions = ["last", "mean", "any"] as const;
export const overlongRules = ["cut", "refuse"] as const;

export const BenchmarkRef = closed({
  dataset_id: IdOrName,
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: "the dataset's name if absent" })),
  template: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 10_000,
      description:
        "the prompt of a sample, with {column} for its columns, or the name of a template (GET /v1/templates); if absent the one that the dataset was recognised for, else `text`",
    }),
  ),
  shots: Type.Optional(
    Type.Union([Shots], { description: "solved examples before every sample; they are the same for all of them" }),
  ),
});
export type BenchmarkRef = Static<typeof BenchmarkRef>;

export const BenchmarkAnalyzeInput = closed(
  {
    model_id: IdOrName,
    sae_ids: Type.Array(IdOrName, {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: "with several saes a sample's features are those of all of them together",
    }),
    position: Type.Optional(
      oneOf(samplePositions, {
        default: "last",
        description:
          "whose features stand for a sample: the last token's, those of the mean residual stream, or those of any token (the last two leave out position 0)",
      }),
    ),
    benchmarks: Type.Array(BenchmarkRef, { minItems: 1, maxItems: 64 }),
    max_samples: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000_000,
        description: "per benchmark, drawn with the seed; all if absent",
      }),
    ),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
    overlong: Type.Optional(
      oneOf(overlongRules, {
        default: "cut",
        description:
          "prompts beyond the model's context: cut on the left (for the last token is what is measured) and counted, or the job is refused",
      }),
    ),
    neutral_dataset_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "text of no benchmark, by id or name: features that fire on more than `common_above` of its tokens are left out of the second set of figures. A small multilingual text of our own if absent",
      }),
    ),
    common_above: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1, default: 0.5 })),
    merge_above: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1,
        default: 0.6,
        description: "a benchmark is a candidate to drop when another covers at least this share of its features",
      }),
    ),
    scores: Type.Optional(BenchmarkScores),
    reuse: Type.Optional(
      Type.Boolean({
        default: true,
        description:
          "take the features of benchmarks that were analysed before (same model, sae, samples and template) instead of running the model again",
      }),
    ),
    feature_sets: Type.Optional(
      Type.Boolean({ default: false, description: "also keep each sample's features, as gzipped JSON Lines" }),
    ),
  },
  {
    title: "BenchmarkAnalyzeInput",
    examples: [
      {
        model_id: "demo-small",
        sae_ids: ["demo-small-topk-layer3"],
        position: "last",
        benchmarks: [{ dataset_id: "arithmetic", template: "{question}" }],
      },
    ],
  },
);
export type BenchmarkAnalyzeInput = Static<typeof BenchmarkAnalyzeInput>;

const Share = nullable(Type.Number());
const Interval = nullable(Type.Object({ low: Type.Number(), high: Type.Number() }));
const Matrix = Type.Array(Type.Array(nullable(Type.Number())));

export const BenchmarkFigures = Type.Object(
  {
    name: Type.String(),
    dataset_id: Type.String(),
    samples: Type.Integer({ description: "N" }),
    tokens: Type.Integer({ description: "of all prompts" }),
    cut: Type.Integer({ description: "prompts that were cut on the left to fit the model's context" }),
    duplicates: Type.Integer({ description: "samples whose prompt is that of another one before it" }),
    duplicate_ids: Type.Integer({ description: "samples whose `id` column repeats that of another one before it" }),
    reused: Type.Boolean({ description: "its features were known from an earlier analysis; the model did not run" }),
    features: Type.Integer({ description: "|F(D)|, distinct features that any sample activates" }),
    redundancy: nullable(
      Type.Number({
        description: "R̂ = (N+1)/|F|² · Σ m/(m+1), m = samples that activate a feature; not bounded by 1",
      }),
    ),
    redundancy_interval: Type.Intersect([Interval], {
      description: "95 %, of R̂ over other draws of N samples from where these came from; null below 20 samples",
    }),
    coverage_auc: nullable(Type.Number({ description: "mean over n of the expected share of F covered by n samples" })),
    coverage_auc_interval: Interval,
    features_interval: Interval,
    uniqueness: Type.Intersect([Share], { description: "share of its features that no other benchmark activates" }),
    specific: Type.Object(
      { features: Type.Integer(), redundancy: nullable(Type.Number()), coverage_auc: nullable(Type.Number()) },
      { description: "the same without the features that are common in neutral text" },
    ),
    coreset: Type.Array(Type.Object({ share: Type.Number(), samples: Type.Integer() }), {
      description: "samples that greedy choice needs for 90, 95, 99 and 100 % of the features",
    }),
    lost_without: Type.Integer({ description: "features that the suite loses when this benchmark is dropped" }),
  },
  { title: "BenchmarkFigures" },
);
export type BenchmarkFigures = Static<typeof BenchmarkFigures>;

export const MergeSuggestion = Type.Object({
  drop: Type.String(),
  keep: Type.String(),
  overlap: Type.Number({ description: "share of the dropped one's features that the kept one covers" }),
  lost: Type.Integer({ description: "features that the suite then loses, earlier suggestions already followed" }),
});
export type MergeSuggestion = Static<typeof MergeSuggestion>;

export const BenchmarkAnalyzeResult = Type.Object(
  {
    benchmarks: Type.Array(BenchmarkFigures),
    overlap: Type.Intersect([Matrix], { description: "[i][j] = |Fi ∩ Fj| / |Fi|; null where Fi is empty" }),
    overlap_min: Type.Intersect([Matrix], { description: "[i][j] = |Fi ∩ Fj| / min(|Fi|, |Fj|)" }),
    jaccard: Type.Intersect([Matrix], { description: "[i][j] = |Fi ∩ Fj| / |Fi ∪ Fj|" }),
    order: Type.Array(Type.Integer(), { description: "of the benchmarks for display: similar ones side by side" }),
    features: Type.Integer({ description: "of all benchmarks together" }),
    merge: Type.Array(MergeSuggestion),
    artifacts: Type.Record(Type.String(), Type.String(), {
      description:
        "name → artifact id: analysis (everything, as JSON), page (the same for people), CSV tables, SVG pictures",
    }),
  },
  { title: "BenchmarkAnalyzeResult" },
);
export type BenchmarkAnalyzeResult = Static<typeof BenchmarkAnalyzeResult>;
