/** Scores of models as the input gives them, beside the samples that were measured. */
import type { BenchmarkScores } from "../../../domain/benchmark-scores.ts";
import type { Sample } from "../../../domain/dataset.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { escapePointer } from "../../../domain/schema.ts";
import type { ScoredBenchmark } from "../../../engine/features/score-analysis.ts";
import type { PromptCounts, ResolvedBenchmark } from "./benchmark-samples.ts";

type GivenScores = BenchmarkScores["benchmarks"][number];

/** Reads one sample of a benchmark. */
export type ReadSample = (benchmark: number, row: number) => Promise<Sample>;

/**
 * @returns one per benchmark; without any score where the input has none
 * @throws Problem DATASET_INVALID naming row and column, for a column that holds no score
 */
export async function readScores(
  { models, benchmarks: given }: BenchmarkScores,
  benchmarks: readonly ResolvedBenchmark[],
  prompts: readonly PromptCounts[],
  readSample: ReadSample,
): Promise<ScoredBenchmark[]> {
  const scored: ScoredBenchmark[] = [];
  for (const { index, name } of benchmarks) {
    const at = given.findIndex((one) => one.name === name);
    const own = given[at];
    if (own === undefined) {
      scored.push({ scores_M: new Float64Array(models.length).fill(Number.NaN), samples: null });
      continue;
    }
    const pointer = `/input/scores/benchmarks/${at}`;
    const bySample = await sampleScores(own, models, prompts[index]!.rows_S, (row) => readSample(index, row), pointer);
    scored.push(withMeans(own, models, bySample));
  }
  return scored;
}

type ScoresByModel = ReadonlyMap<string, Float64Array>;

/** Of the samples that were measured, in their order. */
async function sampleScores(
  { sample_scores: inline, sample_columns: columns }: GivenScores,
  models: readonly string[],
  rows_S: Int32Array,
  readSample: (row: number) => Promise<Sample>,
  pointer: string,
): Promise<ScoresByModel> {
  const scores = new Map<string, Float64Array>();
  for (const model of models) {
    const list = inline?.[model];
    if (list !== undefined)
      scores.set(
        model,
        Float64Array.from(rows_S, (row) => list[row]!),
      );
    else if (columns?.[model] !== undefined) scores.set(model, new Float64Array(rows_S.length));
  }
  if (columns === undefined) return scores;
  for (const [i, row] of rows_S.entries()) {
    const sample = await readSample(row);
    for (const [model, column] of Object.entries(columns)) {
      scores.get(model)![i] = scoreOf(sample, column, row, `${pointer}/sample_columns/${escapePointer(model)}`);
    }
  }
  return scores;
}

function scoreOf(sample: Sample, column: string, row: number, pointer: string): number {
  const value = sample[column];
  if (typeof value === "boolean") return value ? 1 : 0;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number)) return number;
  if (value === "true" || value === "false") return value === "true" ? 1 : 0;
  const problem = value === undefined ? `has no column "${column}"` : `has no score in the column "${column}"`;
  throw fieldProblem("DATASET_INVALID", pointer, `row ${row + 1} ${problem}; a score is a number, or true or false`);
}

function withMeans(own: GivenScores, models: readonly string[], bySample: ScoresByModel): ScoredBenchmark {
  const scores_M = Float64Array.from(models, (model) => own.scores?.[model] ?? meanOf(bySample.get(model)));
  const complete = models.flatMap((model) => bySample.get(model) ?? []);
  if (complete.length === 0) return { scores_M, samples: null };
  const samples = complete[0]!.length;
  const scores_MN = new Float64Array(complete.length * samples);
  for (const [m, scores] of complete.entries()) scores_MN.set(scores, m * samples);
  return { scores_M, samples: { models: complete.length, scores_MN } };
}

function meanOf(values: Float64Array | undefined): number {
  return values === undefined ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}
