// What a training costs, before it runs: memory, time, bytes.
import { type Static, Type } from "typebox";
import { fieldProblem } from "./problem.ts";
import type { SaeTrainSettings } from "./training.ts";
import type { ModelShape } from "./training-laws.ts";

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
  const { tokens, layers, variants } = settings;
  const D = model.dModel;
  const steps = Math.floor(tokens / settings.batch_tokens);
  const modelWeights = 12 * D * D * (Math.max(...layers) + 1);
  const microBatch = Math.min(1024, settings.batch_tokens);
  let parameters = 0;
  let flops = tokens * 2 * modelWeights;
  let memory = 4 * (12 * D * D * model.layers + model.vocabSize * D);
  for (const { width: F, k, aux_k } of variants) {
    const perSae = 2 * D * F + F + D;
    const perToken = 4 * D * F + 8 * k * D + 6 * aux_k * D;
    parameters += layers.length * perSae;
    flops += layers.length * (tokens * perToken + steps * 12 * perSae);
    memory += layers.length * (16 * perSae + 4 * settings.buffer_tokens * D) + 2 * 4 * microBatch * F;
  }
  return {
    steps,
    parameters,
    flops,
    duration_s: flops / machine.flopsPerSecond,
    memory_bytes: memory,
    output_bytes: 4 * parameters,
    assumptions: { flops_per_second: machine.flopsPerSecond, precision: "float32" },
  };
}

/** Refuses a run that no machine can hold, with both numbers. */
export function checkMemory(estimate: TrainEstimate, machine: Machine, pointer = "/input/width"): void {
  if (machine.memoryBytes === null || estimate.memory_bytes <= machine.memoryBytes) return;
  const detail = `the run needs about ${estimate.memory_bytes} bytes, the largest worker has ${machine.memoryBytes}`;
  throw fieldProblem("MEMORY_INSUFFICIENT", pointer, detail);
}
