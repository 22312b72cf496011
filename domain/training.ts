// Training of saes: what can be set, what the settings become, and what they cost.
import { type Static, Type } from "typebox";
import { fieldProblem } from "./problem.ts";
import { architectures } from "./sae.ts";
import { closed, IdOrName, Name, oneOf } from "./schema.ts";

export const SaeTrainInput = closed(
  {
    name: Type.Optional(
      Type.Intersect([Name], { description: "the saes become {name}-layer{n}; the job's id if absent" }),
    ),
    model_id: IdOrName,
    dataset_id: IdOrName,
    layers: Type.Array(Type.Integer({ minimum: 0 }), {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: "one sae per layer, all from the same forward pass",
    }),
    architecture: Type.Optional(oneOf(architectures, { default: "topk" })),
    width: Type.Integer({ minimum: 1, maximum: 1_048_576, description: "number of features" }),
    k: Type.Integer({ minimum: 1, maximum: 4096, description: "features kept per token" }),
    tokens: Type.Integer({
      minimum: 1,
      maximum: 1e12,
      description: "activations to train on; the dataset is repeated",
    }),
    batch_tokens: Type.Optional(
      Type.Integer({ minimum: 16, maximum: 65_536, default: 4096, description: "activations per optimiser step" }),
    ),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
    context_tokens: Type.Optional(
      Type.Integer({ minimum: 8, maximum: 8192, default: 256, description: "tokens per sequence in the forward pass" }),
    ),
    buffer_tokens: Type.Optional(
      Type.Integer({ minimum: 16, maximum: 4_194_304, default: 32_768, description: "activations held to mix from" }),
    ),
    learning_rate: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: 1, description: "2e-4 / sqrt(width / 2^14) if absent" }),
    ),
    warmup_steps: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        description: "linear; 5 % of the steps, at most 1000, if absent",
      }),
    ),
    decay_fraction: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        default: 0.2,
        description: "last part of the steps, falling linearly to 0",
      }),
    ),
    clip_norm: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: 1e6, default: 1, description: "of the gradients of one sae" }),
    ),
    aux_k: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 8192,
        description: "dead features in the auxiliary loss; d_model / 2 if absent",
      }),
    ),
    aux_weight: Type.Optional(Type.Number({ minimum: 0, maximum: 10, default: 1 / 32 })),
    dead_after_tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1e12,
        description: "a feature that did not fire for so long is dead; 10 000 000, or a fifth of tokens, if absent",
      }),
    ),
    norm_filter: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1e6,
        default: 10,
        description: "leave out activations above this multiple of the median norm, at least 1; 0 keeps all",
      }),
    ),
    skip_first_position: Type.Optional(
      Type.Boolean({ default: true, description: "leave out position 0 of sequences" }),
    ),
    holdout_fraction: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: 0.5, default: 0.05, description: "of the samples, for the metrics" }),
    ),
    evaluation_tokens: Type.Optional(
      Type.Integer({ minimum: 64, maximum: 10_000_000, default: 16_384, description: "held-out activations measured" }),
    ),
    checkpoint_every_steps: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, description: "a checkpoint about every 30 s if absent" }),
    ),
  },
  {
    title: "SaeTrainInput",
    examples: [
      { model_id: "demo-small", dataset_id: "demo-text", layers: [2, 3], width: 4096, k: 50, tokens: 2_000_000 },
    ],
  },
);
export type SaeTrainInput = Static<typeof SaeTrainInput>;

/** The input with every default written out, as the job row keeps it. */
export type SaeTrainSettings = Required<Omit<SaeTrainInput, "name" | "checkpoint_every_steps">> & {
  name?: string;
  checkpoint_every_steps?: number;
  /** Of the release that the job belongs to; a training by itself makes its own. */
  release_id?: string;
};

export interface ModelShape {
  readonly layers: number;
  readonly dModel: number;
  readonly vocabSize: number;
  readonly contextLength: number;
}

/** η = 2e-4 / √(F / 2¹⁴), the rule of Gao et al. (2024). */
export function defaultLearningRate(width: number): number {
  return 2e-4 / Math.sqrt(width / 2 ** 14);
}

/** Checks the laws and writes the defaults that depend on other settings. `input` has its schema defaults already. */
export function resolveSaeTrain(input: SaeTrainInput, model: ModelShape, at = "/input"): SaeTrainSettings {
  input.layers.forEach((layer, index) => {
    checkLayer(layer, model.layers, `${at}/layers/${index}`);
  });
  if (input.k > input.width) {
    throw fieldProblem("K_ABOVE_WIDTH", `${at}/k`, `k is ${input.k}, the width is ${input.width}`);
  }
  const batch = input.batch_tokens ?? 4096;
  if (input.tokens < batch) {
    const detail = `tokens (${input.tokens}) is less than one batch (${batch})`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/tokens`, detail);
  }
  const filter = input.norm_filter ?? 10;
  // Below the median it would leave out most rows, and soon all of them.
  if (filter > 0 && filter < 1) {
    const detail = `norm_filter is ${filter}: it must be 0, which keeps all activations, or 1 and more`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/norm_filter`, detail);
  }
  const context = Math.min(input.context_tokens ?? 256, model.contextLength);
  const steps = Math.floor(input.tokens / batch);
  const decay = Math.floor(steps * (input.decay_fraction ?? 0.2));
  const warmup = input.warmup_steps ?? Math.min(1000, Math.floor(steps / 20), steps - decay);
  if (warmup + decay > steps) {
    const detail = `${warmup} steps of warm-up and ${decay} of decay do not fit into ${steps} steps of ${batch} tokens`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/warmup_steps`, detail);
  }
  return {
    ...input,
    architecture: input.architecture ?? "topk",
    batch_tokens: batch,
    seed: input.seed ?? 0,
    context_tokens: context,
    buffer_tokens: Math.max(input.buffer_tokens ?? 32_768, batch),
    learning_rate: input.learning_rate ?? defaultLearningRate(input.width),
    warmup_steps: warmup,
    decay_fraction: input.decay_fraction ?? 0.2,
    clip_norm: input.clip_norm ?? 1,
    aux_k: Math.min(input.aux_k ?? Math.floor(model.dModel / 2), input.width),
    aux_weight: input.aux_weight ?? 1 / 32,
    dead_after_tokens: input.dead_after_tokens ?? Math.min(10_000_000, Math.max(1, Math.floor(input.tokens / 5))),
    norm_filter: filter,
    skip_first_position: input.skip_first_position ?? true,
    holdout_fraction: input.holdout_fraction ?? 0.05,
    evaluation_tokens: input.evaluation_tokens ?? 16_384,
  };
}

export function checkLayer(layer: number, count: number, pointer: string): void {
  if (layer < count) return;
  const detail = `layer ${layer} does not exist; the model has layers 0 to ${count - 1}`;
  throw fieldProblem("LAYER_OUT_OF_RANGE", pointer, detail);
}

/** What a machine can do, from the capability row of a worker; measured values replace these. */
export interface Machine {
  /** multiply-adds ×2 per second that the encoder products reach */
  readonly flopsPerSecond: number;
  readonly memoryBytes: number | null;
}

/** Two cores of an AMD Zen 5 reached 300–395 GFLOP/s on encoder products, about a third of it over a whole step. */
export const referenceMachine: Machine = { flopsPerSecond: 120e9, memoryBytes: null };

export const TrainEstimate = Type.Object(
  {
    steps: Type.Integer(),
    parameters: Type.Integer({ description: "of all saes together" }),
    flops: Type.Number(),
    duration_s: Type.Number({ description: "a rough expectation, within a factor of about 3" }),
    memory_bytes: Type.Integer({ description: "parameters, gradients, optimiser state, activations and the model" }),
    output_bytes: Type.Integer({ description: "of the saes' weights" }),
    assumptions: Type.Object({ flops_per_second: Type.Number(), precision: Type.String() }),
  },
  { title: "SaeTrainEstimate" },
);
export type TrainEstimate = Static<typeof TrainEstimate>;

/**
 * Cost of a training run, float32.
 * Per activation and sae: encoder forward and its weight gradient, 2·2·D·F; sparse decode and its gradients, 2·4·k·D;
 * auxiliary loss, dense over dead rows, 2·3·aux_k·D; Adam, about 12 flops per parameter and step (2·D·F + F + D of
 * them). The model's forward costs 2 flops per weight up to the highest layer: 12·D² a layer, and runs once for all saes.
 * Memory: weights, gradients and two moments (16 bytes per parameter), pre-activations of one micro-batch of 1024 rows
 * with their gradient, the mixing buffer of every layer, and the model's own float32 copy.
 */
export function estimateSaeTrain(
  settings: SaeTrainSettings,
  model: ModelShape,
  machine: Machine = referenceMachine,
): TrainEstimate {
  const { width: F, k, tokens, layers } = settings;
  const D = model.dModel;
  const steps = Math.floor(tokens / settings.batch_tokens);
  const perSae = 2 * D * F + F + D;
  const perToken = 4 * D * F + 8 * k * D + 6 * settings.aux_k * D;
  const modelWeights = 12 * D * D * (Math.max(...layers) + 1);
  const flops = layers.length * (tokens * perToken + steps * 12 * perSae) + tokens * 2 * modelWeights;
  const microBatch = Math.min(1024, settings.batch_tokens);
  const memory =
    layers.length * (16 * perSae + 4 * settings.buffer_tokens * D) +
    2 * 4 * microBatch * F +
    4 * (12 * D * D * model.layers + model.vocabSize * D);
  return {
    steps,
    parameters: perSae * layers.length,
    flops,
    duration_s: flops / machine.flopsPerSecond,
    memory_bytes: memory,
    output_bytes: 4 * perSae * layers.length,
    assumptions: { flops_per_second: machine.flopsPerSecond, precision: "float32" },
  };
}

/** Refuses a run that no machine can hold, with both numbers. */
export function checkMemory(estimate: TrainEstimate, machine: Machine, pointer = "/input/width"): void {
  if (machine.memoryBytes === null || estimate.memory_bytes <= machine.memoryBytes) return;
  const detail = `the run needs about ${estimate.memory_bytes} bytes, the largest worker has ${machine.memoryBytes}`;
  throw fieldProblem("MEMORY_INSUFFICIENT", pointer, detail);
}
