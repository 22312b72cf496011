// Evaluation analysis: how redundant benchmarks are and how much they overlap, from the features they activate.
import { type Static, Type } from "typebox";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";

export const samplePositions = ["last", "mean", "any"] as const;

export const BenchmarkRef = closed({
  dataset_id: IdOrName,
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: "the dataset's name if absent" })),
  template: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 10_000,
      description:
        "the prompt of a sample, with {column} for its columns, or the name of a ready template (text, question, question_answer, multiple_choice, solved, code, code_task); `text` if absent",
    }),
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

export const BenchmarkFigures = Type.Object(
  {
    name: Type.String(),
    dataset_id: Type.String(),
    samples: Type.Integer({ description: "N" }),
    features: Type.Integer({ description: "|F(D)|, distinct features that any sample activates" }),
    redundancy: nullable(Type.Number({ description: "(N+1)/|F|² · Σ m/(m+1), m = samples that activate a feature" })),
    coverage_auc: nullable(Type.Number({ description: "mean over n of the expected share of F covered by n samples" })),
  },
  { title: "BenchmarkFigures" },
);

const Matrix = Type.Array(Type.Array(nullable(Type.Number())));

export const BenchmarkAnalyzeResult = Type.Object(
  {
    benchmarks: Type.Array(BenchmarkFigures),
    overlap: Type.Intersect([Matrix], { description: "[i][j] = |Fi ∩ Fj| / |Fi|; null where Fi is empty" }),
    overlap_min: Type.Intersect([Matrix], { description: "[i][j] = |Fi ∩ Fj| / min(|Fi|, |Fj|)" }),
    artifacts: Type.Record(Type.String(), Type.String(), { description: "name → artifact id" }),
  },
  { title: "BenchmarkAnalyzeResult" },
);
export type BenchmarkAnalyzeResult = Static<typeof BenchmarkAnalyzeResult>;
