// Scores of models on benchmarks: what tells redundancy and overlap of features from redundancy and similarity of scores.
import { type Static, Type } from "typebox";
import { fieldProblem } from "./problem.ts";
import { closed, dictionary, escapePointer } from "./schema.ts";

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

/**
 * @param samples of every benchmark of the analysis, by name
 * @param at JSON pointer to the scores
 * @throws Problem pointing at a benchmark or model that is not known, at one that is there twice, and at scores of another number of samples
 */
export function checkScores(scores: BenchmarkScores, samples: ReadonlyMap<string, number>, at: string): void {
  const models = new Set(scores.models);
  const seen = new Set<string>();
  for (const [i, { name, ...given }] of scores.benchmarks.entries()) {
    const here = `${at}/benchmarks/${i}`;
    const size = samples.get(name);
    if (size === undefined) throw notAmong(`${here}/name`, name, [...samples.keys()], "benchmarks of this analysis");
    if (seen.has(name)) throw fieldProblem("SETTINGS_CONTRADICTORY", `${here}/name`, `"${name}" has scores already`);
    seen.add(name);
    for (const [field, byModel] of Object.entries(given)) {
      for (const [model, value] of Object.entries(byModel)) {
        const pointer = `${here}/${field}/${escapePointer(model)}`;
        if (!models.has(model)) throw notAmong(pointer, model, scores.models, "`models`");
        if (Array.isArray(value) && value.length !== size) {
          const detail = `"${name}" has ${size} samples, here are ${value.length} scores`;
          throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, detail);
        }
      }
    }
  }
  const { given } = scores;
  if (given !== undefined && !seen.has(given))
    throw notAmong(`${at}/given`, given, [...seen], "benchmarks with scores");
}

function notAmong(pointer: string, name: string, known: readonly string[], what: string) {
  const some = known.slice(0, 20).join(", ");
  return fieldProblem("SETTINGS_CONTRADICTORY", pointer, `"${name}" is not among the ${what}: ${some}`);
}
