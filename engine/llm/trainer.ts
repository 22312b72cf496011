// Trains a whole decoder: owns the session and the two copies of the state between which the step alternates.

import { openSession, type Session } from "../runtime/session.ts";
import { type Tensor, tensor, zeros } from "../runtime/tensor.ts";
import type { ParameterValues } from "./checkpoint.ts";
import type { DecoderConfig } from "./config.ts";
import { parameterSpecs } from "./parameters.ts";
import { ignoredTarget, type TrainingShape } from "./training-forward.ts";
import { type AdamSettings, buildLossGraph, buildTrainingGraph, defaultAdam } from "./training-graph.ts";

export interface LanguageModelTrainerOptions extends TrainingShape {
  readonly parameters: ParameterValues;
  readonly adam?: Partial<AdamSettings>;
  readonly threads?: number;
  /** Goes on from here; `parameters` is then not read. */
  readonly state?: LanguageModelTrainerState;
}

/** Everything a later trainer needs to go on bit for bit: `parameter/NAME`, `mean/NAME`, `variance/NAME`. */
export interface LanguageModelTrainerState {
  readonly steps: number;
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

export interface TrainingStep {
  /** Mean nats per counted token, before the step. */
  readonly loss: number;
  /** Euclidean norm of all gradients, before clipping. */
  readonly gradientNorm: number;
}

export interface LanguageModelTrainer {
  /** Steps taken so far. */
  readonly steps: number;
  /** One AdamW step on [batch, sequenceLength] ids; targets below 0 do not count. */
  step(ids: Int32Array, targets: Int32Array, learningRate: number): Promise<TrainingStep>;
  /** Mean nats per counted token of other text, with the current parameters. */
  evaluate(ids: Int32Array, targets: Int32Array): Promise<number>;
  /** A copy of the current parameters. */
  parameters(): Map<string, Float32Array>;
  /** A copy of the parameters and of the optimiser's memory. */
  state(): LanguageModelTrainerState;
  close(): Promise<void>;
}

/** Ids and shifted targets of packed sequences: the target of position t is the token at t + 1; the last has none. */
export function nextTokenTargets(ids: Int32Array, { batch, sequenceLength }: TrainingShape): Int32Array {
  const targets = new Int32Array(ids.length).fill(Number(ignoredTarget));
  for (let s = 0; s < batch; s++) {
    const start = s * sequenceLength;
    targets.set(ids.subarray(start + 1, start + sequenceLength), start);
  }
  return targets;
}

export async function createLanguageModelTrainer(
  config: DecoderConfig,
  options: LanguageModelTrainerOptions,
): Promise<LanguageModelTrainer> {
  const shape = { batch: options.batch, sequenceLength: options.sequenceLength };
  const sessionOptions = options.threads === undefined ? {} : { threads: options.threads };
  const session = await openSession(
    buildTrainingGraph(config, shape, { ...defaultAdam, ...options.adam }),
    sessionOptions,
  );
  let lossSession: Session | null = null;
  // The step reads one copy and writes the other: an output buffer that is also an input would be overwritten while it is read.
  let current = options.state ? restoredState(config, options.state) : initialState(config, options.parameters);
  let other = emptyState(config);
  let steps = options.state?.steps ?? 0;

  const tokens = (ids: Int32Array, targets: Int32Array): Record<string, Tensor> => {
    const expected = shape.batch * shape.sequenceLength;
    if (ids.length !== expected || targets.length !== expected) {
      throw new RangeError(
        `ids and targets must be ${shape.batch} × ${shape.sequenceLength}, got ${ids.length} and ${targets.length}`,
      );
    }
    const int64 = (values: Int32Array) =>
      tensor("int64", BigInt64Array.from(values, BigInt), [shape.batch, shape.sequenceLength]);
    return { ids: int64(ids), targets: int64(targets) };
  };

  return {
    get steps() {
      return steps;
    },
    async step(ids, targets, learningRate) {
      const scalars = {
        learning_rate: tensor("float32", Float32Array.of(learningRate), []),
        step: tensor("float32", Float32Array.of(steps + 1), []),
      };
      const into = Object.fromEntries(Object.entries(other).map(([name, value]) => [`next/${name}`, value]));
      const out = await session.run(
        { ...tokens(ids, targets), ...scalars, ...current },
        { fetch: ["loss", "gradient_norm"], into },
      );
      const loss = Number(out.loss!.data[0]);
      // A step that is not finite has already been written: refusing here keeps the last good state in `current`.
      if (!Number.isFinite(loss)) throw new RangeError(`the loss of step ${steps + 1} is ${loss}`);
      [current, other] = [other, current];
      steps++;
      return { loss, gradientNorm: Number(out.gradient_norm!.data[0]) };
    },
    async evaluate(ids, targets) {
      lossSession ??= await openSession(buildLossGraph(config, shape), sessionOptions);
      const parameters = Object.entries(current).filter(([name]) => name.startsWith("parameter/"));
      const out = await lossSession.run({ ...tokens(ids, targets), ...Object.fromEntries(parameters) });
      return Number(out.loss!.data[0]);
    },
    parameters: () =>
      new Map(
        parameterSpecs(config).map(({ name }) => [name, (current[`parameter/${name}`]!.data as Float32Array).slice()]),
      ),
    state: () => ({
      steps,
      tensors: new Map(Object.entries(current).map(([name, { data }]) => [name, (data as Float32Array).slice()])),
    }),
    async close() {
      await session.close();
      await lossSession?.close();
    },
  };
}

type State = Record<string, Tensor>;

function emptyState(config: DecoderConfig): State {
  const state: State = {};
  for (const { name, shape } of parameterSpecs(config)) {
    for (const part of ["parameter", "mean", "variance"]) state[`${part}/${name}`] = zeros("float32", shape);
  }
  return state;
}

function initialState(config: DecoderConfig, parameters: ParameterValues): State {
  const state = emptyState(config);
  for (const { name, shape } of parameterSpecs(config)) {
    const values = parameters.get(name);
    if (!values) throw new RangeError(`parameter ${name} is missing`);
    state[`parameter/${name}`] = tensor("float32", values.slice(), shape);
  }
  return state;
}

function restoredState(config: DecoderConfig, { tensors }: LanguageModelTrainerState): State {
  const state = emptyState(config);
  for (const [name, { shape }] of Object.entries(state)) {
    const values = tensors.get(name);
    if (!values) throw new RangeError(`trainer state: ${name} is missing`);
    state[name] = tensor("float32", values.slice(), shape);
  }
  return state;
}
