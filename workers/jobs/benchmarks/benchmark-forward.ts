/** The model over the prompts of one benchmark, once for all saes that have not seen it yet. */
import { type BenchmarkFeatures, createBenchmarkCollector } from "../../../engine/features/benchmark-features.ts";
import { type SamplePosition, sampleRows } from "../../../engine/features/sample-rows.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import type { ActivationBatch } from "../../../engine/runtime/activations.ts";
import type { WorkerModel, WorkerSae } from "../../open-models.ts";
import type { SaeRow } from "../../records.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import type { BenchmarkPlan } from "./benchmark-plan.ts";

/** Prompts of similar length that are handed to the model together; it cuts them into batches of its own. */
const GROUP_SAMPLES = 256;

export interface OpenSae {
  readonly row: SaeRow;
  readonly sae: WorkerSae;
}

/**
 * Prompts go longest first, so that a batch holds prompts of about one length; nothing above the highest tapped layer runs.
 *
 * @param onTokens called with the tokens of every batch
 * @returns what each sae did, in the order of `saes`
 */
export async function runBenchmark(
  plan: BenchmarkPlan,
  model: WorkerModel,
  saes: readonly OpenSae[],
  position: SamplePosition,
  context: JobContext,
  onTokens: (tokens: number) => void,
): Promise<BenchmarkFeatures[]> {
  const collectors = saes.map(({ row }) => createBenchmarkCollector(row.width, row.k));
  const layers = [...new Set(saes.map(({ row }) => row.layer))].sort((a, b) => a - b);
  const { rows_S } = plan.prompts;
  for (let start = 0; start < rows_S.length; start += GROUP_SAMPLES) {
    const sequences: Int32Array[] = [];
    for (const row of rows_S.subarray(start, start + GROUP_SAMPLES)) sequences.push(await plan.promptIds(row));
    for await (const batch of harvest(model.language, sequences, { layers })) {
      for (const [i, { row, sae }] of saes.entries()) {
        await collect(batch, { layer: row.layer, position, sae, collector: collectors[i]! });
      }
      onTokens(batch.rows);
      await stepOrStop(context);
    }
  }
  return collectors.map((collector) => collector.finish());
}

interface Collection {
  readonly layer: number;
  readonly position: SamplePosition;
  readonly sae: WorkerSae;
  readonly collector: ReturnType<typeof createBenchmarkCollector>;
}

async function collect(batch: ActivationBatch, { layer, position, sae, collector }: Collection): Promise<void> {
  const { rows_RD, sequence_R } = sampleRows(batch, layer, position);
  const { offsets, features, values } = await sae.opened.encode(rows_RD);
  for (let row = 0; row < sequence_R.length; row++) {
    const [from, to] = [offsets[row]!, offsets[row + 1]!];
    collector.addToken(features.subarray(from, to), values.subarray(from, to));
    if (sequence_R[row + 1] !== sequence_R[row]) collector.endSample();
  }
}
