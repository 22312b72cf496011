// Scores of models on benchmarks: what tells redundancy and overlap of features from redundancy and similarity of scores.
import { type Static, Type } from "typebox";
import { closed, dictionary } from "./schema.ts";

const ScoredBenchmark = closed(
  {
    name: Type.String({ minLength: 1, maxLength: 100, description: "of a benchmark of this analysis" }),
    scores: Type.Optional(
      dictionary(Type.Number(), 200, {
        description: "model → score. If absent, the mean of the scores of its samples",
      }),
    ),
    sample_scores: Type.Optional(
      dictionary(Type.Array(Type.Number(), { minItems: 1, maxItems: 1_000_000 }), 200, {
        description: "model → score of each sample of the dataset (all of them, in its order), such as 0 or 1",
      }),
    ),
    sample_columns: Type.Optional(
      dictionary(Type.String({ minLength: 1, maxLength: 256 }), 200, {
        description:
          "instead of `sample_scores`: model → column of the dataset that holds its score (a number or true/false)",
      }),
    ),
  },
  { title: "ScoredBenchmark", description: "A model may be missing: figures of a pair use the models that both have." },
);

export const BenchmarkScores = closed(
  {
    models: Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
      minItems: 2,
      maxItems: 256,
      uniqueItems: true,
      description: "whose scores these are, such as the checkpoints of one training",
    }),
    benchmarks: Type.Array(ScoredBenchmark, { minItems: 1, maxItems: 64 }),
    given: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 100,
        description: "a benchmark: similarity is also given as partial correlation with this one's scores held fixed",
      }),
    ),
    subsets: Type.Optional(
      Type.Integer({
        minimum: 2,
        maximum: 10_000,
        default: 200,
        description: "random orders of the samples from which performance redundancy is estimated",
      }),
    ),
    permutations: Type.Optional(Type.Integer({ minimum: 99, maximum: 100_000, default: 9999 })),
  },
  {
    title: "BenchmarkScores",
    examples: [
      {
        models: ["step-1000", "step-2000", "step-3000"],
        benchmarks: [
          { name: "gsm8k", scores: { "step-1000": 0.11, "step-2000": 0.24, "step-3000": 0.29 } },
          { name: "mmlu", sample_columns: { "step-1000": "correct_1000", "step-2000": "correct_2000" } },
        ],
        given: "mmlu",
      },
    ],
  },
);
export type BenchmarkScores = Static<typeof BenchmarkScores>;
