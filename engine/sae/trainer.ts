// From a stream of activation batches to trained saes: filter, mix, learn. Saes train side by side on the same stream but
// share nothing that counts: each is bit for bit what it would be alone.

import type { ActivationBatch } from "../runtime/activations.ts";
import { createRandom } from "../runtime/random.ts";
import { expectFinite, type SparseAutoencoder } from "./architecture.ts";
import { architectures } from "./architectures/table.ts";
import { resolveConfig, stepsOf, type TrainingConfig, type TrainingOptions } from "./config.ts";
import { LossSpike, TrainingUnstable } from "./instability.ts";
import { copyTensors } from "./kernels/memory.ts";
import {
  createLearner,
  initialState,
  type Learner,
  type LearnerState,
  type StepMetrics,
  toSparseAutoencoder,
} from "./learner.ts";
import { createMixingBuffer, type MixingBufferState } from "./mixing-buffer.ts";
import { createTokenFilter, type TokenFilterState } from "./token-filter.ts";
import type { GradientWorkspace, RunsOn } from "./workspace.ts";

/** Everything one sae's training depends on, between two batches. Arrays are not copied: serialise before going on. */
export interface SaeTrainingState {
  readonly config: TrainingConfig;
  readonly filter: TokenFilterState;
  readonly buffer: MixingBufferState;
  /** Batches drawn and left out, as they were named in `skip`. */
  readonly batchesSkipped: number;
  /** null until the buffer was full for the first time. */
  readonly learner: LearnerState | null;
}

export interface TrainerState {
  readonly saes: readonly SaeTrainingState[];
}

export interface StepReport extends StepMetrics {
  /** Index in the trainer's list of saes. */
  readonly sae: number;
}

export interface Trainer {
  readonly configs: readonly TrainingConfig[];
  /** True when every sae has made all its steps: further rows are ignored. */
  readonly done: boolean;
  /** Steps made and to be made, summed over the saes. */
  readonly progress: { readonly done: number; readonly total: number };
  /** The saes that have steps to make yet, and how many of the rows seen the filter has left to each. */
  readonly unfinished: readonly { readonly sae: number; readonly rowsKept: number }[];
  /**
   * Takes the rows in and makes as many steps as they allow. Throws TrainingUnstable, before anything is learned from the batch
   * that is at fault; the trainer is of no further use then, since of several saes some may have gone on: go back to a snapshot.
   */
  add(batch: ActivationBatch): Promise<StepReport[]>;
  /** Learns from what the buffers still hold: call when the stream has ended. */
  finish(): Promise<StepReport[]>;
  /** Resumed from this, training goes on bit for bit as it would have. */
  snapshot(): TrainerState;
  /** A copy of the sae as it is now. Throws RangeError before its first step's rows have come. */
  sae(index: number): SparseAutoencoder;
  /** Median ‖x‖ of the rows seen (see TokenFilter). */
  medianNorm(index: number): number;
  close(): Promise<void>;
}

export interface TrainerOptions extends RunsOn {
  readonly saes: readonly TrainingOptions[];
  /** Batches that are drawn but not learned from, counted from 1 for each sae: what a run leaves out after it went back. */
  readonly skip?: readonly SkippedBatch[];
}

export interface SkippedBatch {
  readonly sae: number;
  readonly batch: number;
}

/** Starts, or goes on from a snapshot made under the same options. Throws RangeError naming the knob that differs. */
export async function createTrainer(options: TrainerOptions, state?: TrainerState): Promise<Trainer> {
  const { saes, skip = [], ...runsOn } = options;
  const configs = saes.map(resolveConfig);
  if (configs.length === 0) throw new RangeError("there is no sae to train");
  if (state) expectSameConfigs(configs, state);

  // Saes of one shape share a workspace: memory then grows with the number of shapes, not of saes.
  const workspaces = new Map<string, GradientWorkspace>();
  const trainings: SaeTraining[] = [];
  for (const [index, config] of configs.entries()) {
    const key = JSON.stringify(workspaceShape(config));
    const workspace = workspaces.get(key) ?? (await architectures[config.architecture].open(config, runsOn));
    workspaces.set(key, workspace);
    const skipped = new Set(skip.filter((one) => one.sae === index).map((one) => one.batch));
    trainings.push(
      createSaeTraining(config, { workspace, threads: runsOn.threads ?? 0, sae: index, skipped }, state?.saes[index]),
    );
  }

  async function each(run: (training: SaeTraining) => Promise<StepMetrics[]>): Promise<StepReport[]> {
    const reports: StepReport[] = [];
    for (const [sae, training] of trainings.entries()) {
      for (const metrics of await run(training)) reports.push({ sae, ...metrics });
    }
    return reports;
  }

  const trainingAt = (index: number) => {
    const training = trainings[index];
    if (!training) throw new RangeError(`sae must be one of 0 … ${trainings.length - 1}, got ${index}`);
    return training;
  };

  return {
    configs,
    get done() {
      return trainings.every((training) => training.steps === stepsOf(training.config));
    },
    get progress() {
      const sum = (of: (training: SaeTraining) => number) => trainings.reduce((total, one) => total + of(one), 0);
      return { done: sum((one) => one.steps), total: sum((one) => stepsOf(one.config)) };
    },
    get unfinished() {
      return trainings.flatMap((training, sae) =>
        training.steps < stepsOf(training.config) ? [{ sae, rowsKept: training.rowsKept }] : [],
      );
    },
    async add(batch) {
      expectFiniteLayers(configs, batch);
      return each((training) => training.add(batch));
    },
    finish: () => each((training) => training.finish()),
    snapshot: () => ({ saes: trainings.map((training) => training.state()) }),
    sae: (index) => trainingAt(index).sae(),
    medianNorm: (index) => trainingAt(index).medianNorm(),
    async close() {
      for (const training of trainings) training.close();
      for (const workspace of workspaces.values()) await workspace.close();
    },
  };
}

type SaeTraining = ReturnType<typeof createSaeTraining>;

/** What of a config a workspace is made for: those who agree on it can use the same one in turn. */
function workspaceShape({
  architecture,
  dModel,
  width,
  k,
  kStart,
  batchRows,
  microBatchRows,
  auxK,
  ...more
}: TrainingConfig) {
  const { prefixes, bandwidth } = more;
  return { architecture, dModel, width, k, kStart, batchRows, microBatchRows, auxK, prefixes, bandwidth };
}

/** Before any sae has taken a row: those of one layer must not be a batch ahead of those of another. */
function expectFiniteLayers(configs: readonly TrainingConfig[], batch: ActivationBatch): void {
  for (const layer of new Set(configs.map((config) => config.layer))) {
    const at = batch.layers.indexOf(layer);
    if (at < 0) continue;
    const acts_BD = batch.activations[at]!;
    try {
      expectFinite(`activations of layer ${layer}`, acts_BD, acts_BD.length / batch.rows);
    } catch (error) {
      const nowhere = { sae: null, step: null, batch: null };
      throw new TrainingUnstable("activations_not_finite", (error as Error).message, nowhere, { cause: error });
    }
  }
}

interface SaeTrainingOptions {
  readonly workspace: GradientWorkspace;
  readonly threads: number;
  readonly sae: number;
  readonly skipped: ReadonlySet<number>;
}

function createSaeTraining(config: TrainingConfig, options: SaeTrainingOptions, from?: SaeTrainingState) {
  const { workspace, threads, sae: index, skipped } = options;
  const { layer, dModel, batchRows } = config;
  const random = createRandom(config.seed);
  const filter = createTokenFilter(dModel, config, from?.filter);
  const buffer = createMixingBuffer(dModel, config.bufferRows, random.fork("order"), from?.buffer);
  const batch_BD = new Float32Array(batchRows * dModel);
  let learner: Learner | null = from?.learner
    ? createLearner(config, copyState(from.learner), workspace, threads)
    : null;

  const steps = () => learner?.state.step ?? 0;

  let batchesSkipped = from?.batchesSkipped ?? 0;

  /** One batch drawn, and one step made with it; null when it is one to skip. */
  async function learn(): Promise<StepMetrics | null> {
    learner ??= createLearner(config, initialState(config, buffer.peek(), random.fork("weights")), workspace, threads);
    buffer.draw(batchRows, batch_BD);
    const batch = steps() + batchesSkipped + 1;
    if (skipped.has(batch)) {
      batchesSkipped++;
      return null;
    }
    const factor = 1 / learner.state.inputScale;
    if (factor !== 1) for (let i = 0; i < batch_BD.length; i++) batch_BD[i]! *= factor;
    return learner.step(batch_BD).catch((error) => {
      throw unstable(error, { sae: index, step: steps() + 1, batch });
    });
  }

  return {
    config,
    get steps() {
      return steps();
    },
    get rowsKept() {
      return filter.kept();
    },
    async add(batch: ActivationBatch): Promise<StepMetrics[]> {
      const at = batch.layers.indexOf(layer);
      if (at < 0) throw new RangeError(`layer ${layer} is not in the batch, which has ${batch.layers.join(", ")}`);
      const acts_BD = batch.activations[at]!;
      const metrics: StepMetrics[] = [];
      if (steps() === stepsOf(config)) return metrics;
      const selected = filter.select(acts_BD, batch.position);
      for (let from = 0; from < selected.length; ) {
        from += buffer.add(acts_BD, selected, from);
        if (!buffer.isFull) break;
        if (steps() === stepsOf(config)) break;
        const step = await learn();
        if (step) metrics.push(step);
      }
      return metrics;
    },
    async finish(): Promise<StepMetrics[]> {
      const metrics: StepMetrics[] = [];
      while (buffer.count >= batchRows && steps() < stepsOf(config)) {
        const step = await learn();
        if (step) metrics.push(step);
      }
      return metrics;
    },
    state: (): SaeTrainingState => ({
      config,
      filter: filter.state(),
      buffer: buffer.state(),
      batchesSkipped,
      learner: learner?.state ?? null,
    }),
    sae(): SparseAutoencoder {
      if (!learner)
        throw new RangeError(
          `the sae of layer ${layer} has not begun: its first ${config.bufferRows} rows have not come`,
        );
      return toSparseAutoencoder(config, learner.state);
    },
    medianNorm: () => filter.medianNorm(),
    close: () => learner?.close(),
  };
}

/** The error with its place when it says that the batch must not be learned from; others as they are. */
function unstable(
  error: unknown,
  at: { readonly sae: number; readonly step: number; readonly batch: number },
): unknown {
  if (error instanceof LossSpike) return new TrainingUnstable("loss_spike", error.message, at, { cause: error });
  if (error instanceof RangeError && /finite/.test(error.message)) {
    return new TrainingUnstable("step_not_finite", error.message, at, { cause: error });
  }
  return error;
}

/** Arrays of their own: those of a checkpoint are views of its bytes. */
function copyState(state: LearnerState): LearnerState {
  const { weights, m, v, silentRows_F, thresholds } = state;
  const copied = { weights: copyTensors(weights, "weights"), m: copyTensors(m, "m"), v: copyTensors(v, "v") };
  const { value_F, m_F, v_F } = thresholds ?? {};
  return {
    ...state,
    ...copied,
    silentRows_F: silentRows_F.slice(),
    thresholds: thresholds && { value_F: value_F!.slice(), m_F: m_F!.slice(), v_F: v_F!.slice() },
  };
}

function expectSameConfigs(configs: readonly TrainingConfig[], state: TrainerState): void {
  if (configs.length !== state.saes.length) {
    throw new RangeError(`the checkpoint has ${state.saes.length} saes, ${configs.length} were asked for`);
  }
  for (const [index, config] of configs.entries()) {
    const saved = state.saes[index]!.config;
    for (const [name, value] of Object.entries(config)) {
      const before = saved[name as keyof TrainingConfig];
      if (JSON.stringify(before) !== JSON.stringify(value))
        throw new RangeError(`sae ${index}: the checkpoint was made with ${name} ${before}, not ${value}`);
    }
  }
}
