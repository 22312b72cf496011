/**
 * sae.train: one sae per layer from one forward pass. The model reads whole sequences in an order that the seed
 * decides; the trainer filters, mixes and learns. A checkpoint is taken between two batches of sequences and holds all
 * that the rest of the run depends on, so that a resumed run ends with the same bits as an undisturbed one.
 */

import { join } from "node:path";
import { Readable } from "node:stream";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import type { SaeTrainSettings } from "../../domain/training.ts";
import { parseCheckpoint, serializeCheckpoint } from "../../engine/sae/checkpoint.ts";
import { stepsOf } from "../../engine/sae/config.ts";
import { createTrainer, type StepReport, type Trainer, type TrainerState } from "../../engine/sae/trainer.ts";
import { type ActivationSource, checkShards, modelSource, readManifest, shardSource } from "../activation-source.ts";
import { bytesOf } from "../bytes.ts";
import { useModel, type WorkerModel } from "../open-models.ts";
import { openSampleFile } from "../sample-file.ts";
import { createTokenOrder, FIRST_PLACE, type TokenOrder, type TokenPlace } from "../token-order.ts";
import { type JobContext, type JobHandler, Stopped } from "./handler.ts";
import { createProgressMeter } from "./progress.ts";
import { finishedOutput, partialOutput, saePrefix } from "./sae-train-report.ts";
import { type CurvePoint, createCurve } from "./training-curve.ts";
import { trainingOptions } from "./training-options.ts";
import type { TrainingRun } from "./training-run.ts";

const CHECKPOINT_EVERY_MS = 30_000;
/** A large checkpoint is made rarely: at most a twentieth of the time goes into it. */
const CHECKPOINT_SHARE = 20;
const METRICS_EVERY_MS = 1_000;

export const saeTrain: JobHandler<SaeTrainSettings> = async (settings, context) => {
  const row = await context.catalog.model(settings.model_id);
  const dataset = await context.catalog.dataset(settings.dataset_id);
  await expectFreeNames(settings, context);
  const manifest = settings.activations_id === undefined ? null : await readManifest(context, settings.activations_id);
  if (manifest) await checkShards(manifest, context);
  const samples = await openSampleFile(context.blobs, dataset.digest, join(context.scratch, "samples.jsonl"));
  const lease = await useModel(context, row);
  try {
    const model = lease.value;
    const order = createTokenOrder({
      samples,
      encode: (text) => model.encode(text),
      contextLength: Math.min(settings.context_tokens, row.context),
      // Whoever harvested decided which samples are held out.
      seed: manifest?.seed ?? settings.seed,
      heldOutFraction: settings.holdout_fraction,
    });
    await expectHeldOut(order);
    const { layers } = settings;
    const source = manifest ? shardSource(manifest, layers, context) : modelSource(model.language, order, { layers });
    const run = await startRun(settings, context, model);
    try {
      await learn(run, source);
      return await finishedOutput({ ...run, row, dataset, order });
    } finally {
      await run.trainer.close();
    }
  } finally {
    lease.release();
    await samples.close();
  }
};

/** Hours before the end, where the commit would find out as well. */
async function expectFreeNames(settings: SaeTrainSettings, context: JobContext): Promise<void> {
  const names = settings.layers.map((layer) => `${saePrefix({ settings, context })}-layer${layer}`);
  const [taken] = await context.catalog.taken("sae", names);
  if (taken !== undefined) throw fieldProblem("NAME_TAKEN", "/input/name", `an sae named ${taken} exists`);
}

/** Before hours of training, not after them: without held-out rows nothing can be measured. */
async function expectHeldOut(order: TokenOrder): Promise<void> {
  for await (const _ of order.heldOut()) return;
  const detail =
    "no held-out sample has two tokens or more; the dataset needs two samples at least, one of them held out";
  throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", detail);
}

/** What a checkpoint holds besides the trainer's state. */
interface Place {
  readonly place: TokenPlace;
  readonly curve: readonly CurvePoint[];
  /** Products against weights that are being trained keep their bits only with one number of threads (ADR 7). */
  readonly threads: number;
}

async function startRun(settings: SaeTrainSettings, context: JobContext, model: WorkerModel): Promise<TrainingRun> {
  const saes = settings.layers.map((layer) => trainingOptions(settings, layer, model.language.config.dModel));
  const saved = await loadCheckpoint(context);
  const threads = saved?.threads ?? context.settings.threads;
  const trainer = await createTrainer({ saes, threads }, saved?.state);
  const curve = createCurve(stepsOf(trainer.configs[0]!), saved?.curve ?? []);
  if (saved)
    context.log.info({ job: context.jobId, done: trainer.progress.done }, "training goes on from a checkpoint");
  return { settings, context, model, trainer, curve, threads, place: saved?.place ?? FIRST_PLACE };
}

async function loadCheckpoint(context: JobContext): Promise<(Place & { readonly state: TrainerState }) | null> {
  if (!context.checkpoint) return null;
  const { state, about } = parseCheckpoint(await bytesOf(await context.blobs.get(context.checkpoint.digest)));
  return { state, ...(JSON.parse(about.run ?? "") as Place) };
}

async function saveCheckpoint(run: TrainingRun): Promise<void> {
  const about = {
    run: JSON.stringify({ place: run.place, curve: run.curve.points, threads: run.threads } satisfies Place),
    // Equal bits are promised on one runtime; and a job's own number keeps the contents of equal jobs apart.
    runtime: run.model.runtime,
    job: run.context.jobId,
  };
  const parts = serializeCheckpoint(run.trainer.snapshot(), about);
  await run.context.saveCheckpoint(Readable.from(parts), stepOf(run.trainer));
}

/** Steps made by the slowest of the saes. They differ by a batch at most: each filters its own rows. */
function stepOf(trainer: Trainer): number {
  return Math.floor(trainer.progress.done / trainer.configs.length);
}

async function learn(run: TrainingRun, source: ActivationSource): Promise<void> {
  const { settings, context, trainer } = run;
  const total = stepsOf(trainer.configs[0]!) * settings.batch_tokens;
  const meter = createProgressMeter(total, "tokens");
  const report = () => context.progress(meter.at(stepOf(trainer) * settings.batch_tokens));
  const every = settings.checkpoint_every_steps;
  let checkpointAt = performance.now() + CHECKPOINT_EVERY_MS;
  let checkpointStep = stepOf(trainer) + (every ?? 0);
  let metricsAt = 0;
  report();
  // Interrupted while it was evaluated: the last checkpoint holds the trained weights.
  if (trainer.done) return;

  const expectRows = createRowWatch(run);
  for await (const { batch, next } of source.from(run.place)) {
    await context.step();
    const steps = await trainer.add(batch).catch(rethrowNotFinite);
    run.place = next;
    expectRows();
    for (const step of steps) run.curve.add(settings.layers[step.sae]!, step);
    if (steps.length > 0 && performance.now() >= metricsAt) {
      metricsAt = performance.now() + METRICS_EVERY_MS;
      for (const step of latest(steps)) context.event("metrics", metricsOf(settings, step));
    }
    report();
    await context.step();
    if (context.signal.aborted) return await stop(run);
    if (trainer.done) return await saveCheckpoint(run);
    const due = every === undefined ? performance.now() >= checkpointAt : stepOf(trainer) >= checkpointStep;
    if (!due) continue;
    const begun = performance.now();
    await saveCheckpoint(run);
    const tookMs = performance.now() - begun;
    checkpointAt = performance.now() + Math.max(CHECKPOINT_EVERY_MS, CHECKPOINT_SHARE * tookMs);
    checkpointStep = stepOf(trainer) + (every ?? 0);
  }
  if (!trainer.done) {
    const detail = "no sample of the dataset has two tokens or more once the held-out share is taken";
    throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", detail);
  }
}

/** A run that would read the dataset for ever: the result throws when the filters left an sae nothing of a whole pass. */
function createRowWatch(run: TrainingRun): () => void {
  const rowsKept = () => new Map(run.trainer.unfinished.map((one) => [one.sae, one.rowsKept]));
  let before = rowsKept();
  let { pass } = run.place;
  return () => {
    // A look may fall anywhere into a pass: two starts of a pass later, a whole one lies between it and this one.
    if (run.place.pass < pass + 2) return;
    const now = rowsKept();
    for (const [sae, rows] of now) {
      if (rows > before.get(sae)!) continue;
      const layer = run.settings.layers[sae];
      const detail = `a whole pass over the dataset left no activation of layer ${layer} to train on: norm_filter (${run.settings.norm_filter}) and skip_first_position leave out every one`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", "/input/norm_filter", detail);
    }
    before = now;
    pass = run.place.pass;
  };
}

async function stop(run: TrainingRun): Promise<never> {
  await saveCheckpoint(run);
  const reason = run.context.signal.reason === "preempt" ? "preempt" : "cancel";
  throw new Stopped(reason, reason === "cancel" ? await partialOutput(run) : null);
}

function latest(steps: readonly StepReport[]): StepReport[] {
  return [...new Map(steps.map((step) => [step.sae, step])).values()];
}

function metricsOf(settings: SaeTrainSettings, step: StepReport) {
  return {
    layer: settings.layers[step.sae],
    step: step.step,
    tokens: step.rows,
    loss: step.loss,
    fraction_variance_unexplained: step.fvu,
    auxiliary_loss: step.aux,
    l0_per_token: step.l0,
    dead_fraction: step.dead / settings.width,
    gradient_norm: step.gradientNorm,
    learning_rate: step.learningRate,
  };
}

/** The trainer says so before it spoils its weights; the client can act on it. */
function rethrowNotFinite(error: unknown): never {
  if (error instanceof RangeError && /finite/.test(error.message)) {
    throw new Problem("TRAINING_NOT_FINITE", error.message, { cause: error });
  }
  throw error;
}
