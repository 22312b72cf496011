// What a training costs, before it runs: memory, time, bytes.
import { type Static, Type } from "typebox";
import { fieldProblem } from "./problem.ts";
import type { SaeTrainSettings, SaeVariant } from "./training.ts";
import type { ModelShape } from "./training-laws.ts";

/** What a machine can do, from the capability row of a worker; it measures the rates when it starts. */
export interface Machine {
  /** additions and multiplications per second in dense float32 products */
  readonly flopsPerSecond: number;
  /** the same in the sums over sparse rows */
  readonly sparseFlopsPerSecond: number;
  /** parameters per second that the optimiser changes: three numbers read and written each, so a measure of memory too */
  readonly updatesPerSecond: number;
  readonly memoryBytes: number | null;
}

/** Two cores of an AMD Zen 5, where the constants below were measured. */
export const referenceMachine: Machine = {
  flopsPerSecond: 100e9,
  sparseFlopsPerSecond: 12e9,
  updatesPerSecond: 1e9,
  memoryBytes: null,
};

export const TrainEstimate = Type.Object(
  {
    steps: Type.Integer(),
    parameters: Type.Integer({ description: "of all saes together" }),
    flops: Type.Number({ description: "additions and multiplications of model and saes as if nothing were skipped" }),
    duration_s: Type.Number({ description: "on a machine that does nothing else; few features dead" }),
    memory_bytes: Type.Integer({ description: "of the process at its largest" }),
    output_bytes: Type.Integer({ description: "of the saes' weights" }),
    assumptions: Type.Object({
      flops_per_second: Type.Number({ description: "in dense products" }),
      sparse_flops_per_second: Type.Number(),
      updates_per_second: Type.Number({ description: "parameters changed by the optimiser" }),
      precision: Type.String(),
    }),
  },
  { title: "SaeTrainEstimate" },
);
export type TrainEstimate = Static<typeof TrainEstimate>;

/**
 * Parts of a step that the three rates do not give, fitted to steps of D 192 and 512, F 512 to 8192, B 1024 to 4096 on the
 * reference machine: what selecting costs for each pre-activation, in updates; and what every step costs, in seconds.
 */
const selectionUpdates = 4.7;
const stepSeconds = 5e-3;
/** 8-bit products of screening take so much of the time of float32's. */
const screenedShare = 0.19;

/** Seconds of one optimiser step of one sae. */
function secondsOfStep(
  { architecture, batch_tokens: B }: Pick<SaeTrainSettings, "architecture" | "batch_tokens">,
  { width: F, k }: SaeVariant,
  D: number,
  machine: Machine,
): number {
  const product = (2 * B * D * F) / machine.flopsPerSecond;
  const update = (2 * D * F) / machine.updatesPerSecond;
  const selection = (selectionUpdates * B * F) / machine.updatesPerSecond;
  const sparse = (8 * B * k * D) / machine.sparseFlopsPerSecond;
  // JumpReLU is dense: encoder, decoder, and three products backwards.
  if (architecture === "jumprelu") return 5 * product + update + stepSeconds;
  const isScreened = architecture !== "batch_topk" && D >= 64 && D % 16 === 0 && F >= 16 * k;
  return (isScreened ? screenedShare : 1) * product + selection + sparse + update + stepSeconds;
}

/** Multiplications and additions of one token through some layers of the model, about 12·D² weights each, over half the context. */
function flopsOfForward(D: number, layers: number, context: number): number {
  return layers * (24 * D * D + 2 * D * context);
}

/** Blocks of the model are small products between many other operators: they reach this share of a large product's rate. */
const forwardShare = 0.5;
/** Opening the model, reading the first samples, storing the saes. */
const startSeconds = 1.5;
/**
 * Of the evaluated tokens, those that cross-entropies are measured on: five passes through the model's head and four through the blocks above
 * the layer are most of what an evaluation costs. Differences on the same tokens are steady long before means are.
 */
export function crossEntropyTokens(evaluationTokens: number): number {
  return Math.min(16_384, Math.max(512, Math.floor(evaluationTokens / 8)));
}

/** How often the whole model reads them for each sae, at most: the blocks below the layer run once. */
const crossEntropyRuns = 5;
/** What the process holds besides what is counted below: Node, the code, the runtime and its arenas, the evaluation's rows. Measured. */
const processBytes = 610e6;

/**
 * Cost of a training run in float32: the forward once for all saes, the steps of each (`secondsOfStep`), the evaluation at the
 * end. Memory: 16 bytes per parameter of each sae (weights, gradients, two moments), pre-activations of one micro-batch, a
 * mixing buffer for each sae, the model's float32 copy; at the end a copy of each sae's weights and the logits of the
 * held-out tokens. AuxK is left out: it costs nothing while no feature is dead.
 */
export function estimateSaeTrain(
  settings: SaeTrainSettings,
  model: ModelShape,
  machine: Machine = referenceMachine,
): TrainEstimate {
  const { tokens, layers, variants, context_tokens: context, evaluation_tokens: heldOut } = settings;
  const { dModel: D, vocabSize: V } = model;
  const B = settings.batch_tokens;
  const steps = Math.floor(tokens / B);
  const saes = layers.length * variants.length;
  const harvest = flopsOfForward(D, Math.max(...layers) + 1, context);
  const scored = crossEntropyTokens(heldOut);
  const scoring = saes * crossEntropyRuns * scored * (flopsOfForward(D, model.layers, context) + 2 * D * V);
  const forward = settings.activations_id === undefined ? tokens * harvest : 0;

  let parameters = 0;
  let flops = forward + heldOut * harvest + scoring;
  let seconds = startSeconds + flops / (forwardShare * machine.flopsPerSecond);
  let largest = 0;
  for (const variant of variants) {
    const { width: F, k } = variant;
    const each = 2 * D * F + F + D;
    parameters += layers.length * each;
    flops += layers.length * (steps * (2 * B * D * F + 8 * B * k * D + 12 * each) + heldOut * 2 * D * F);
    seconds += layers.length * steps * secondsOfStep(settings, variant, D, machine);
    seconds += (layers.length * heldOut * 2 * D * F) / machine.flopsPerSecond;
    largest = Math.max(largest, 4 * 2 * Math.min(1024, B) * F);
  }
  const modelBytes = 4 * (12 * D * D * model.layers + V * D);
  const buffers = 4 * saes * D * (settings.buffer_tokens + B);
  const atTheEnd = 4 * parameters + 2 * 4 * scored * V;
  return {
    steps,
    parameters,
    flops,
    duration_s: seconds,
    memory_bytes: Math.round(processBytes + modelBytes + 16 * parameters + buffers + largest + atTheEnd),
    output_bytes: 4 * parameters,
    assumptions: {
      flops_per_second: machine.flopsPerSecond,
      sparse_flops_per_second: machine.sparseFlopsPerSecond,
      updates_per_second: machine.updatesPerSecond,
      precision: settings.precision,
    },
  };
}

/** Refuses a run that no machine can hold, with both numbers. */
export function checkMemory(estimate: TrainEstimate, machine: Machine, pointer = "/input/width"): void {
  if (machine.memoryBytes === null || estimate.memory_bytes <= machine.memoryBytes) return;
  const detail = `the run needs about ${estimate.memory_bytes} bytes, the largest worker has ${machine.memoryBytes}`;
  throw fieldProblem("MEMORY_INSUFFICIENT", pointer, detail);
}
