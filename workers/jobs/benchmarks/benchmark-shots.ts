/** The solved examples that every prompt of a benchmark begins with. */
import { join } from "node:path";
import { renderShots, type Shots } from "../../../domain/few-shot.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { parsePromptTemplate } from "../../../domain/prompt-template.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { DatasetRow } from "../../records.ts";
import { openSampleFile, type SampleFile } from "../../sample-file.ts";
import type { JobContext } from "../handler.ts";

interface OwnSamples {
  readonly dataset: DatasetRow;
  readonly samples: SampleFile;
  /** Of the benchmark in the input. */
  readonly index: number;
}

export interface PlannedShots {
  /** What comes before every sample. */
  readonly prefix: string;
  /** Samples of the benchmark itself that serve as examples, and so are not measured. */
  readonly rows: ReadonlySet<number>;
}

/** @throws Problem naming the benchmark: too few samples, or an example without a field of its template */
export async function planShots(shots: Shots | undefined, own: OwnSamples, context: JobContext): Promise<PlannedShots> {
  if (shots === undefined) return { prefix: "", rows: new Set() };
  const pointer = `/input/benchmarks/${own.index}/shots`;
  const template = parsePromptTemplate(shots.template ?? "solved", `${pointer}/template`);
  const isOwn = shots.dataset_id === undefined || shots.dataset_id === own.dataset.id;
  const dataset = isOwn ? own.dataset : await context.catalog.dataset(shots.dataset_id!);
  const path = join(context.scratch, `benchmark-${own.index}-shots.jsonl`);
  const samples = isOwn ? own.samples : await openSampleFile(context.blobs, dataset.digest, path);
  try {
    const needed = isOwn ? shots.count + 1 : shots.count;
    if (samples.count < needed) {
      const detail = `"${dataset.name}" has ${samples.count} samples; ${shots.count} examples${isOwn ? " and one to measure" : ""} need ${needed}`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", `${pointer}/count`, detail);
    }
    const rows = chooseExamples(samples.count, shots, dataset.id);
    const examples = await Promise.all(rows.map((row) => samples.read(row)));
    const numbers = rows.map((row) => row + 1);
    return { prefix: renderShots(shots, template, examples, numbers), rows: new Set(isOwn ? rows : []) };
  } finally {
    if (!isOwn) await samples.close();
  }
}

function chooseExamples(count: number, shots: Shots, datasetId: string): number[] {
  const all = Int32Array.from({ length: count }, (_, row) => row);
  const order = shots.seed === undefined ? all : createRandom(shots.seed).fork(`shots ${datasetId}`).shuffle(all);
  return [...order.subarray(0, shots.count)];
}
