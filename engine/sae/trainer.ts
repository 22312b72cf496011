// From a stream of activation batches to trained saes: filter, mix, learn. Saes train side by side on the same stream but
// share nothing that counts: each is bit for bit what it would be alone.

import type { ActivationBatch } from "../runtime/activations.ts";
import { createRandom } from "../runtime/random.ts";
import type { SparseAutoencoder } from "./architecture.ts";
import { resolveConfig, stepsOf, type TrainingConfig, type TrainingOptions } from "./config.ts";
import { copyTensors, type GradientWorkspace, openGradients, type RunsOn } from "./gradients.ts";
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

/** Everything one sae's training depends on, between two batches. Arrays are not copied: serialise before going on. */
export interface SaeTrainingState {
  readonly config: TrainingConfig;
  readonly filter: TokenFilterState;
  readonly buffer: MixingBufferState;
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
  /** Takes the rows in and makes as many steps as they allow. */
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
}

/** Starts, or goes on from a snapshot made under the same options. Throws RangeError naming the knob that differs. */
export async function createTrainer(options: TrainerOptions, state?: TrainerState): Promise<Trainer> {
  const { saes, ...runsOn } = options;
  const configs = saes.map(resolveConfig);
  if (configs.length === 0) throw new RangeError("there is no sae to train");
  if (state) expectSameConfigs(configs, state);

  // Saes of one shape share a workspace: memory then grows with the number of shapes, not of saes.
  const workspaces = new Map<string, GradientWorkspace>();
  const trainings: SaeTraining[] = [];
  for (const [index, config] of configs.entries()) {
    const { dModel, width, k, batchRows, microBatchRows, auxK } = config;
    const shape = { dModel, width, k, batchRows, microBatchRows, auxK };
    const key = JSON.stringify(shape);
    const workspace = workspaces.get(key) ?? (await openGradients(shape, runsOn));
    workspaces.set(key, workspace);
    trainings.push(createSaeTraining(config, workspace, state?.saes[index]));
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
    add: (batch) => each((training) => training.add(batch)),
    finish: () => each((training) => training.finish()),
    snapshot: () => ({ saes: trainings.map((training) => training.state()) }),
    sae: (index) => trainingAt(index).sae(),
    medianNorm: (index) => trainingAt(index).medianNorm(),
    async close() {
      for (const workspace of workspaces.values()) await workspace.close();
    },
  };
}

type SaeTraining = ReturnType<typeof createSaeTraining>;

function createSaeTraining(config: TrainingConfig, workspace: GradientWorkspace, from?: SaeTrainingState) {
  const { layer, dModel, batchRows } = config;
  const random = createRandom(config.seed);
  const filter = createTokenFilter(dModel, config, from?.filter);
  const buffer = createMixingBuffer(dModel, config.bufferRows, random.fork("order"), from?.buffer);
  const batch_BD = new Float32Array(batchRows * dModel);
  let learner: Learner | null = from?.learner ? createLearner(config, copyState(from.learner), workspace) : null;

  const steps = () => learner?.state.step ?? 0;

  async function learn(): Promise<StepMetrics> {
    learner ??= createLearner(config, initialState(config, buffer.peek(), random.fork("weights")), workspace);
    buffer.draw(batchRows, batch_BD);
    const factor = 1 / learner.state.inputScale;
    if (factor !== 1) for (let i = 0; i < batch_BD.length; i++) batch_BD[i]! *= factor;
    return learner.step(batch_BD);
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
        metrics.push(await learn());
      }
      return metrics;
    },
    async finish(): Promise<StepMetrics[]> {
      const metrics: StepMetrics[] = [];
      while (buffer.count >= batchRows && steps() < stepsOf(config)) metrics.push(await learn());
      return metrics;
    },
    state: (): SaeTrainingState => ({
      config,
      filter: filter.state(),
      buffer: buffer.state(),
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
  };
}

/** Arrays of their own: those of a checkpoint are views of its bytes. */
function copyState(state: LearnerState): LearnerState {
  const { step, inputScale, weights, m, v, silentRows_F } = state;
  const copied = { weights: copyTensors(weights), m: copyTensors(m), v: copyTensors(v) };
  return { step, inputScale, ...copied, silentRows_F: silentRows_F.slice() };
}

function expectSameConfigs(configs: readonly TrainingConfig[], state: TrainerState): void {
  if (configs.length !== state.saes.length) {
    throw new RangeError(`the checkpoint has ${state.saes.length} saes, ${configs.length} were asked for`);
  }
  for (const [index, config] of configs.entries()) {
    const saved = state.saes[index]!.config;
    for (const [name, value] of Object.entries(config)) {
      const before = saved[name as keyof TrainingConfig];
      if (before !== value)
        throw new RangeError(`sae ${index}: the checkpoint was made with ${name} ${before}, not ${value}`);
    }
  }
}
