/** The loop of a training run: read, learn, report, keep; and go back when a batch must not be learned from. */
import { fieldProblem, Problem } from "../../../domain/problem.ts";
import type { SaeTrainSettings } from "../../../domain/training.ts";
import { plannedSaes } from "../../../domain/training-laws.ts";
import { stepsOf } from "../../../engine/sae/config.ts";
import { TrainingUnstable } from "../../../engine/sae/instability.ts";
import { createTrainer, type StepReport } from "../../../engine/sae/trainer.ts";
import type { ActivationSource } from "../../activation-source.ts";
import { FIRST_PLACE } from "../../token-order.ts";
import { createCheckpointClock } from "../checkpoint-clock.ts";
import { type JobContext, Stopped } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { partialOutput } from "./sae-train-report.ts";
import { loadCheckpoint, type SavedRun, saveCheckpoint, stepOf } from "./training-checkpoint.ts";
import { createCurve } from "./training-curve.ts";
import { trainingOptions } from "./training-options.ts";
import { NOTHING_SKIPPED, type TrainingRun } from "./training-run.ts";

const METRICS_EVERY_MS = 1_000;

type Fixed = Pick<TrainingRun, "settings" | "context" | "saes" | "dModel" | "runtime" | "threads">;

/** A run from its beginning, or from where the job's checkpoint left it. */
export async function startRun(
  settings: SaeTrainSettings,
  context: JobContext,
  { dModel, runtime }: { readonly dModel: number; readonly runtime: string },
): Promise<TrainingRun> {
  const { checkpoint } = context;
  const saved = checkpoint && (await loadCheckpoint(context, checkpoint, runtime));
  const threads = saved?.threads ?? context.settings.threads;
  const fixed: Fixed = { settings, context, saes: plannedSaes(settings), dModel, runtime, threads };
  const run = { ...fixed, ...(await standing(fixed, saved, saved?.recovery)), lastCheckpoint: checkpoint };
  if (saved) {
    context.log.info({ job: context.jobId, done: run.trainer.progress.done }, "training goes on from a checkpoint");
  }
  return run;
}

async function standing(fixed: Fixed, saved: SavedRun | null, recovery = NOTHING_SKIPPED) {
  const { settings, saes, dModel, threads } = fixed;
  const options = saes.map((sae) => trainingOptions(settings, sae, dModel));
  const trainer = await createTrainer({ saes: options, threads, skip: recovery.batches }, saved?.state).catch(
    (error) => {
      if (saved === null || !(error instanceof RangeError)) throw error;
      throw new Problem("CHECKPOINT_MISMATCH", error.message, { cause: error });
    },
  );
  const curve = createCurve(stepsOf(trainer.configs[0]!), saved?.curve ?? []);
  return { trainer, curve, place: saved?.place ?? FIRST_PLACE, reads: saved?.reads ?? 0, recovery };
}

/** Learns until every sae has made its steps, and keeps the last state. */
export async function train(run: TrainingRun, source: ActivationSource): Promise<void> {
  for (;;) {
    const unstable = await learn(run, source).then(() => null, instabilityOf);
    if (unstable === null) return;
    await goBack(run, unstable);
  }
}

function instabilityOf(error: unknown): TrainingUnstable {
  if (error instanceof TrainingUnstable) return error;
  throw error;
}

async function learn(run: TrainingRun, source: ActivationSource): Promise<void> {
  const { settings, context, trainer } = run;
  const total = stepsOf(trainer.configs[0]!) * settings.batch_tokens;
  const meter = createProgressMeter(total, "tokens");
  const report = () => context.progress(meter.at(stepOf(trainer) * settings.batch_tokens));
  const clock = createCheckpointClock(stepOf(trainer), settings.checkpoint_every_steps);
  let metricsAt = 0;
  report();
  // Interrupted while it was evaluated: the last checkpoint holds the trained weights.
  if (trainer.done) return;

  const expectRows = createRowWatch(run);
  for await (const { batch, next } of source.from(run.place)) {
    await context.step();
    run.reads++;
    const steps = run.recovery.reads.includes(run.reads) ? [] : await trainer.add(batch);
    run.place = next;
    expectRows();
    for (const step of steps) run.curve.add(run.saes[step.sae]!, step);
    if (steps.length > 0 && (trainer.done || performance.now() >= metricsAt)) {
      metricsAt = performance.now() + METRICS_EVERY_MS;
      for (const step of latest(steps)) context.event("metrics", metricsOf(run, step));
    }
    report();
    await context.step();
    if (context.signal.aborted) return await stop(run);
    if (trainer.done) return await saveCheckpoint(run);
    if (!clock.isDue(stepOf(trainer))) continue;
    const begun = performance.now();
    await saveCheckpoint(run);
    clock.saved(stepOf(trainer), performance.now() - begun);
  }
  if (!trainer.done) {
    const detail = "no sample of the dataset has two tokens or more once the held-out share is taken";
    throw fieldProblem("DATASET_TOO_SMALL", "/input/dataset_id", detail);
  }
}

/**
 * Back to the last checkpoint (or the start), which was made before the batch that is at fault; that batch is left out from
 * now on. The new standing is kept at once, so that a run that is killed next goes back no second time.
 */
async function goBack(run: TrainingRun, unstable: TrainingUnstable): Promise<void> {
  const { settings, context, recovery, lastCheckpoint } = run;
  const { reason, sae, step, batch, message } = unstable;
  const layer = sae === null ? null : run.saes[sae]!.layer;
  const where = { layer, step, batch, activations_batch: run.reads };
  context.event("unstable", { reason, detail: message, ...where });
  if (settings.on_instability === "stop" || recovery.rollbacks >= settings.maximum_rollbacks) {
    const at = step === null ? `batch ${run.reads} of activations` : `layer ${layer}, step ${step}, batch ${batch}`;
    const again = recovery.rollbacks === 0 ? "" : `; the run has gone back ${recovery.rollbacks} times before`;
    const code = reason === "loss_spike" ? "TRAINING_UNSTABLE" : "TRAINING_NOT_FINITE";
    throw new Problem(code, `${at}: ${message}${again}`, { cause: unstable });
  }
  const saved = lastCheckpoint && (await loadCheckpoint(context, lastCheckpoint, run.runtime));
  await run.trainer.close();
  const skipped = {
    rollbacks: recovery.rollbacks + 1,
    batches: sae === null || batch === null ? recovery.batches : [...recovery.batches, { sae, batch }],
    reads: sae === null ? [...recovery.reads, run.reads] : recovery.reads,
  };
  Object.assign(run, await standing(run, saved, skipped));
  await saveCheckpoint(run);
  context.event("rolled_back", { to_step: stepOf(run.trainer), rollbacks: skipped.rollbacks, left_out: where });
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
      const { layer } = run.saes[sae]!;
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

function metricsOf(run: TrainingRun, step: StepReport) {
  const { layer, width, k } = run.saes[step.sae]!;
  return {
    layer,
    width,
    k,
    step: step.step,
    tokens: step.rows,
    loss: step.loss,
    fraction_variance_unexplained: step.fvu,
    auxiliary_loss: step.aux,
    sparsity_loss: step.sparsity,
    l0_per_token: step.l0,
    dead_fraction: step.dead / width,
    gradient_norm: step.gradientNorm,
    learning_rate: step.learningRate,
  };
}
