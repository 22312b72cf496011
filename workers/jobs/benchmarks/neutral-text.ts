/** Which features fire on text of no benchmark at all: format, punctuation, and features that are always on. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { sparseCounts } from "../../../engine/features/benchmark-features.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { calibrationText } from "../../calibration-text.ts";
import type { WorkerModel } from "../../open-models.ts";
import type { DatasetRow, ModelRow } from "../../records.ts";
import { openSampleFile } from "../../sample-file.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import type { OpenSae } from "./benchmark-forward.ts";
import { keyOf, weightsOf } from "./measured-benchmark.ts";
import { measuredBytes, readMeasured } from "./measured-blob.ts";

/** On how many of the tokens each feature of an sae fired. */
export interface NeutralCounts {
  readonly tokens: number;
  readonly counts_F: Uint32Array;
}

/** Of a dataset, so many tokens drawn sample by sample: a firing rate of one half is then known within 0.3 %. */
const MAXIMUM_TOKENS = 100_000;

interface Question {
  readonly model: ModelRow;
  readonly runtime: string;
  /** Null: our own text. */
  readonly dataset: DatasetRow | null;
}

/** Keys of what is known of the neutral text, one per sae. */
export function neutralKeys({ model, runtime, dataset }: Question, saes: readonly { digest: string }[]): string[] {
  const text = dataset?.digest ?? createHash("sha256").update(JSON.stringify(calibrationText)).digest("hex");
  return saes.map(({ digest }) => keyOf(["neutral", weightsOf(model), digest, text, runtime]));
}

export async function readNeutral(context: JobContext, digest: string, width: number): Promise<NeutralCounts> {
  const { header, arrays } = await readMeasured(context.blobs, digest);
  const counts_F = new Uint32Array(width);
  arrays.features_A!.forEach((feature, a) => {
    counts_F[feature] = arrays.counts_A![a]!;
  });
  return { tokens: header.tokens as number, counts_F };
}

/** Every token but those of position 0, whose norm is an outlier in most models. */
export async function runNeutral(
  { dataset }: Question,
  keys: readonly string[],
  model: WorkerModel,
  saes: readonly OpenSae[],
  context: JobContext,
): Promise<NeutralCounts[]> {
  const counts = saes.map(({ row }) => ({ tokens: 0, counts_F: new Uint32Array(row.width) }));
  const layers = [...new Set(saes.map(({ row }) => row.layer))].sort((a, b) => a - b);
  for await (const batch of harvest(model.language, neutralSequences(dataset, model, context), { layers })) {
    for (const [i, { row, sae }] of saes.entries()) {
      const { offsets, features, values } = await sae.opened.encode(batch.activations[layers.indexOf(row.layer)]!);
      const own = counts[i]!;
      for (let b = 0; b < batch.rows; b++) {
        if (batch.position[b] === 0) continue;
        own.tokens += 1;
        for (let z = offsets[b]!; z < offsets[b + 1]!; z++) if (values[z]! > 0) own.counts_F[features[z]!]! += 1;
      }
    }
    await stepOrStop(context);
  }
  for (const [i, { tokens, counts_F }] of counts.entries()) {
    const blob = await context.blobs.put(measuredBytes({ header: { tokens }, arrays: sparseCounts(counts_F) }));
    const { digest: saeDigest } = saes[i]!.row;
    await context.measured.keep({ key: keys[i]!, blob, saeDigest, datasetDigest: dataset?.digest ?? null });
  }
  return counts;
}

async function* neutralSequences(
  dataset: DatasetRow | null,
  model: WorkerModel,
  context: JobContext,
): AsyncGenerator<Int32Array> {
  const { contextLength } = model.language.config;
  const ids = (text: string) => model.encode(text).subarray(0, contextLength);
  if (dataset === null) {
    for (const text of calibrationText) yield ids(text);
    return;
  }
  const samples = await openSampleFile(context.blobs, dataset.digest, join(context.scratch, "neutral.jsonl"));
  try {
    const order = Uint32Array.from({ length: samples.count }, (_, i) => i);
    let tokens = 0;
    for (const sample of createRandom(0).fork("neutral").shuffle(order)) {
      const sequence = ids((await samples.read(sample)).text);
      if (sequence.length > 0) yield sequence;
      tokens += sequence.length;
      if (tokens >= MAXIMUM_TOKENS) return;
    }
  } finally {
    await samples.close();
  }
}
