/**
 * activations.harvest: one pass of a model over a dataset, its residual streams kept as shards. A checkpoint is taken at the end of
 * each shard and names what is stored so far, so a harvest that is interrupted repeats one shard at most.
 */
import { join } from "node:path";
import { Readable } from "node:stream";
import type {
  ActivationManifest,
  ActivationsHarvestResult,
  ActivationsHarvestSettings,
} from "../../../domain/activations.ts";
import { newId } from "../../../domain/id.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import type { ActivationBatch } from "../../../engine/runtime/activations.ts";
import { rowBytes, shardParts } from "../../activation-shards.ts";
import { modelSource, type PlacedBatch } from "../../activation-source.ts";
import { bytesOf } from "../../bytes.ts";
import { useModel } from "../../open-models.ts";
import type { JobOutput, ProducedArtifact } from "../../protocol.ts";
import type { DatasetRow, ModelRow } from "../../records.ts";
import { openSampleFile } from "../../sample-file.ts";
import { createTokenOrder, FIRST_PLACE, type TokenPlace } from "../../token-order.ts";
import { type JobContext, type JobHandler, Stopped } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";

/** Also where shards are slow to fill: what an interruption costs. */
const SHARD_AT_MOST_MS = 240_000;

/** The first pass is the only one. */
const DONE: TokenPlace = { ...FIRST_PLACE, pass: 1 };

type Shard = Omit<ActivationManifest["shards"][number], "artifact_id">;

interface Harvest {
  readonly settings: ActivationsHarvestSettings;
  readonly context: JobContext;
  readonly model: ModelRow;
  readonly dataset: DatasetRow;
  readonly shards: Shard[];
  /** Sequences in the shards: their numbers go on where an interrupted harvest stopped. */
  sequences: number;
}

/** What a checkpoint holds. */
interface Saved extends Pick<Harvest, "sequences"> {
  readonly place: TokenPlace;
  readonly shards: readonly Shard[];
}

export const activationsHarvest: JobHandler<ActivationsHarvestSettings> = async (settings, context) => {
  const model = await context.catalog.model(settings.model_id);
  const dataset = await context.catalog.dataset(settings.dataset_id);
  const saved = await loadCheckpoint(context);
  const { sequences } = saved;
  const run: Harvest = { settings, context, model, dataset, shards: [...saved.shards], sequences };
  const samples = await openSampleFile(context.blobs, dataset.digest, join(context.scratch, "samples.jsonl"));
  const lease = await useModel(context, model);
  try {
    const { language, encode } = lease.value;
    const order = createTokenOrder({
      samples,
      encode,
      contextLength: Math.min(settings.context_tokens, model.context),
      seed: settings.seed,
      heldOutFraction: settings.holdout_fraction,
    });
    const source = modelSource(language, order, { layers: settings.layers, passes: 1 });
    await fillShards(run, source.from(saved.place), (place) => place.sample / order.trainingSamples);
  } finally {
    lease.release();
    await samples.close();
  }
  return await finished(run);
};

async function loadCheckpoint({ checkpoint, blobs }: JobContext): Promise<Saved> {
  if (!checkpoint) return { place: FIRST_PLACE, shards: [], sequences: 0 };
  return JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString("utf8")) as Saved;
}

const rowsOf = (parts: readonly { readonly rows: number }[]) => parts.reduce((sum, { rows }) => sum + rows, 0);

async function fillShards(
  run: Harvest,
  batches: AsyncIterable<PlacedBatch>,
  share: (place: TokenPlace) => number,
): Promise<void> {
  const { settings, context } = run;
  const bytesPerRow = rowBytes(settings.layers.length, run.model.dModel, settings.dtype);
  const wanted = settings.tokens ?? Number.POSITIVE_INFINITY;
  const report = createReport(run);
  const before = run.sequences;
  let pending: ActivationBatch[] = [];
  let begun = performance.now();
  const endShard = async (place: TokenPlace) => {
    await storeShard(run, pending);
    await saveCheckpoint(run, place);
    pending = [];
    begun = performance.now();
  };
  if (rowsOf(run.shards) >= wanted) return;
  for await (const { batch, next } of batches) {
    await context.step();
    pending.push({ ...batch, sequence: batch.sequence.map((sequence) => sequence + before) });
    const rows = rowsOf(run.shards) + rowsOf(pending);
    report(rows, share(next));
    if (rows >= wanted) break;
    const full = rowsOf(pending) * bytesPerRow >= settings.shard_bytes;
    const overdue = performance.now() - begun > SHARD_AT_MOST_MS;
    if (full || overdue || context.signal.aborted) await endShard(next);
    if (context.signal.aborted) return await stop(run);
  }
  if (pending.length > 0) await endShard(DONE);
  if (run.shards.length > 0) return;
  const detail = "no sample of the dataset has two tokens or more once the held-out share is taken";
  throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", detail);
}

/** Rows of how many: known when they are asked for, else estimated from the share of the pass that is done. */
function createReport({ settings, context }: Harvest): (rows: number, share: number) => void {
  const meter = createProgressMeter(settings.tokens ?? 0, "tokens");
  return (rows, share) => {
    const progress = meter.at(rows);
    const total = Math.round(Math.min(settings.tokens ?? Number.POSITIVE_INFINITY, share > 0 ? rows / share : rows));
    const eta_s = progress.rate === null ? null : Math.max(0, total - rows) / progress.rate;
    context.progress({ ...progress, total: Math.max(total, rows), eta_s });
  };
}

async function storeShard(run: Harvest, batches: readonly ActivationBatch[]): Promise<void> {
  const { settings, context, model, shards } = run;
  const { layers, dtype: type } = settings;
  const parts = shardParts(batches, { layers, dModel: model.dModel, type });
  const blob = await context.blobs.put(Readable.from(parts));
  const rows = rowsOf(batches);
  run.sequences = batches.at(-1)!.sequence.at(-1)! + 1;
  shards.push({ digest: blob.digest, rows, size_bytes: blob.sizeBytes });
  context.event("shard", { shard: shards.length - 1, rows, size_bytes: blob.sizeBytes });
}

async function saveCheckpoint({ context, shards, sequences }: Harvest, place: TokenPlace): Promise<void> {
  // The job's own number keeps the contents of equal jobs apart.
  const saved = { job: context.jobId, place, shards, sequences };
  const blobs = shards.map((shard) => ({ digest: shard.digest, sizeBytes: shard.size_bytes }));
  await context.saveCheckpoint(Buffer.from(JSON.stringify(saved)), shards.length, blobs);
}

/** A canceled harvest keeps its checkpoint; what it has is also a manifest of so many rows, ready to train on. */
async function stop(run: Harvest): Promise<never> {
  const reason = run.context.signal.reason === "preempt" ? "preempt" : "cancel";
  throw new Stopped(reason, reason === "cancel" ? await finished(run) : null);
}

async function finished({ settings, context, model, dataset, shards: made }: Harvest): Promise<JobOutput> {
  const shards = made.map((shard) => ({ artifact_id: newId("artifact"), ...shard }));
  const manifest: ActivationManifest = {
    object: "activations",
    model: { id: model.id, name: model.name, digest: model.digest },
    dataset: { id: dataset.id, name: dataset.name, digest: dataset.digest },
    d_model: model.dModel,
    layers: [...settings.layers],
    dtype: settings.dtype,
    context_tokens: Math.min(settings.context_tokens, model.context),
    seed: settings.seed,
    holdout_fraction: settings.holdout_fraction,
    rows: rowsOf(shards),
    shards,
  };
  const blob = await context.blobs.put(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  const id = newId("artifact");
  const artifacts: ProducedArtifact[] = [
    { id, name: "activations.json", contentType: "application/json", blob },
    ...shards.map((shard, index) => ({
      id: shard.artifact_id,
      name: `activations-${String(index).padStart(5, "0")}.safetensors`,
      contentType: "application/octet-stream",
      blob: { digest: shard.digest, sizeBytes: shard.size_bytes },
    })),
  ];
  const result: ActivationsHarvestResult = { activations_id: id, rows: manifest.rows, shards: shards.length };
  return { result, artifacts };
}
