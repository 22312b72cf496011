/**
 * features.index: what the features of some saes of a model do on a dataset, from one pass over it. The pass goes window by window
 * (sequence-windows.ts): a checkpoint is taken between two windows and holds every count and example, so a job that is interrupted
 * goes on as if it had not been. Memory does not grow with the dataset.
 */
import { join } from "node:path";
import { type FeaturesIndexResult, type FeaturesIndexSettings, indexBytes } from "../../../domain/feature-index.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { createFeatureIndex, type FeatureIndex } from "../../../engine/features/feature-index.ts";
import { nearestDirections } from "../../../engine/features/nearest-directions.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { logitLens } from "../../../engine/llm/logit-lens.ts";
import { featureGeometry } from "../../../engine/sae/feature-table.ts";
import type { OpenedSae } from "../../../engine/sae/open-sae.ts";
import { HARVEST_TOKENS } from "../../activation-source.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../../open-models.ts";
import type { JobOutput } from "../../protocol.ts";
import type { SaeRow } from "../../records.ts";
import type { Lease } from "../../residency.ts";
import { openSampleFile } from "../../sample-file.ts";
import { type SequenceWindow, sequenceWindows } from "../../sequence-windows.ts";
import { createTokenOrder } from "../../token-order.ts";
import { createCheckpointClock } from "../checkpoint-clock.ts";
import { type JobContext, type JobHandler, Stopped, stepOrStop } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { type IndexProgress, loadIndex, saveIndex } from "./feature-index-checkpoint.ts";
import { type IndexOutput, writeIndex } from "./feature-index-output.ts";

/** A job that is asked to stop finishes its window, where it can be kept, unless the model is so slow that this takes longer. */
const FINISH_WINDOW_MS = 5_000;

/** Tokens that the logit lens keeps at each end. */
const LENS_TOKENS = 10;

interface IndexedSae {
  readonly row: SaeRow;
  readonly opened: OpenedSae;
  readonly index: FeatureIndex;
}

export const featuresIndex: JobHandler<FeaturesIndexSettings> = async (settings, context) => {
  const modelRow = await context.catalog.model(settings.model_id);
  const rows: SaeRow[] = [];
  for (const id of settings.sae_ids) rows.push(await context.catalog.sae(id));
  checkMemory(rows, settings, context);
  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  try {
    const model = await useModel(context, modelRow);
    leases.push(model);
    const saes: IndexedSae[] = [];
    for (const row of rows) {
      const lease = await useSae(context, row);
      leases.push(lease);
      saes.push({ row, opened: lease.value.opened, index: createFeatureIndex(sizesOf(row, settings)) });
    }
    const progress = await readDataset(settings, model.value, saes, context);
    return await output(settings, model.value, saes, progress, context);
  } finally {
    for (const lease of leases) lease.release();
  }
};

function checkMemory(rows: readonly SaeRow[], settings: FeaturesIndexSettings, { settings: own }: JobContext): void {
  const bytes = rows.reduce((sum, { width }) => sum + indexBytes(width, settings), 0);
  if (bytes <= own.memoryBytes) return;
  const detail = `the counts and examples of these saes take up to ${bytes} bytes of memory, ${own.memoryBytes} are granted to this worker: index fewer saes in one job, or keep fewer examples`;
  throw fieldProblem("SETTINGS_CONTRADICTORY", "/input/sae_ids", detail);
}

function sizesOf({ width }: SaeRow, settings: FeaturesIndexSettings) {
  return {
    ...{ width, top: settings.examples, perBand: settings.examples_per_band, seed: settings.seed },
    ...{ before: settings.tokens_before, after: settings.tokens_after },
  };
}

async function readDataset(
  settings: FeaturesIndexSettings,
  model: WorkerModel,
  saes: readonly IndexedSae[],
  context: JobContext,
): Promise<IndexProgress> {
  const indexes = saes.map(({ index }) => index);
  let progress = await loadIndex(context, indexes);
  if (progress.ended) return progress;
  const { digest } = await context.catalog.dataset(settings.dataset_id);
  const samples = await openSampleFile(context.blobs, digest, join(context.scratch, "samples.jsonl"));
  try {
    const contextLength = Math.min(settings.context_tokens, model.language.config.contextLength);
    const { seed } = settings;
    const order = createTokenOrder({ samples, encode: model.encode, contextLength, seed, heldOutFraction: 0 });
    const report = createReport(settings, context, (place) => place.sample / order.trainingSamples);
    const clock = createCheckpointClock(progress.tokens, undefined);
    report(progress);
    const left = settings.tokens === undefined ? undefined : settings.tokens - progress.tokens;
    for await (const window of sequenceWindows(order.from(progress.place), left)) {
      await addWindow(window, model, saes, context);
      progress = {
        ...{ place: window.next, ended: false, tokens: progress.tokens + window.tokens },
        sequences: progress.sequences + window.sequences.length,
      };
      report(progress);
      const stops = context.signal.aborted;
      if (!stops && !clock.isDue(progress.tokens)) continue;
      const begun = performance.now();
      await saveIndex(context, indexes, progress);
      clock.saved(progress.tokens, performance.now() - begun);
      if (stops) throw stopped(context);
    }
  } finally {
    await samples.close();
  }
  if (progress.sequences === 0)
    throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", "no sample of the dataset has two tokens or more");
  progress = { ...progress, ended: true };
  await saveIndex(context, indexes, progress);
  return progress;
}

async function addWindow(
  { sequences }: SequenceWindow,
  model: WorkerModel,
  saes: readonly IndexedSae[],
  context: JobContext,
): Promise<void> {
  const layers = [...new Set(saes.map(({ row }) => row.layer))].sort((a, b) => a - b);
  const ids = sequences.map((sequence) => sequence.ids);
  let askedAt = Number.POSITIVE_INFINITY;
  for await (const batch of harvest(model.language, ids, { layers, batchTokens: HARVEST_TOKENS })) {
    await context.step();
    for (const { row, opened, index } of saes) {
      const active = await opened.encode(batch.activations[batch.layers.indexOf(row.layer)]!);
      index.add(batch, active, (sequence) => sequences[sequence]!);
      await context.step();
    }
    if (!context.signal.aborted) continue;
    askedAt = Math.min(askedAt, performance.now());
    if (performance.now() - askedAt > FINISH_WINDOW_MS) throw stopped(context);
  }
}

function stopped({ signal }: JobContext): Stopped {
  return new Stopped(signal.reason === "preempt" ? "preempt" : "cancel");
}

/** Tokens of how many: known when they are asked for, else estimated from the share of the pass that is done. */
function createReport(
  { tokens }: FeaturesIndexSettings,
  context: JobContext,
  share: (place: IndexProgress["place"]) => number,
): (progress: IndexProgress) => void {
  const meter = createProgressMeter(tokens ?? 0, "tokens");
  return ({ tokens: done, place }) => {
    const progress = meter.at(done);
    const whole = share(place) > 0 ? done / share(place) : done;
    const total = Math.max(done, Math.round(Math.min(tokens ?? Number.POSITIVE_INFINITY, whole)));
    const eta_s = progress.rate === null ? null : (total - done) / progress.rate;
    context.progress({ ...progress, total, eta_s });
  };
}

async function output(
  settings: FeaturesIndexSettings,
  model: WorkerModel,
  saes: readonly IndexedSae[],
  progress: IndexProgress,
  context: JobContext,
): Promise<JobOutput> {
  const outputs: IndexOutput[] = [];
  for (const sae of saes) {
    outputs.push(await describe(settings, model, sae, context));
    context.event("indexed", outputs.at(-1)!.summary);
  }
  const { tokens, sequences } = progress;
  const result: FeaturesIndexResult = { saes: outputs.map(({ summary }) => summary), tokens, sequences };
  return {
    result,
    artifacts: outputs.flatMap(({ artifacts }) => artifacts),
    featureIndexes: outputs.map(({ produced }) => ({
      ...{ ...produced, datasetId: settings.dataset_id, sequences, tokens: tokens - sequences },
    })),
  };
}

/** What the weights alone say of the features, beside what the pass has counted. */
async function describe(
  settings: FeaturesIndexSettings,
  { language }: WorkerModel,
  { row, opened, index }: IndexedSae,
  context: JobContext,
): Promise<IndexOutput> {
  const { sae } = opened;
  const step = () => stepOrStop(context);
  const lens = await logitLens(language, sae.W_dec_FD, { count: LENS_TOKENS, step });
  const { threads } = context.settings;
  const nearest = await nearestDirections(sae.W_dec_FD, sae.dModel, { count: settings.neighbours, threads, step });
  const { decoderNorm_F } = featureGeometry(sae);
  return await writeIndex({ row, index, decoderNorm_F, lens, nearest, tokenizer: language.tokenizer }, context);
}
