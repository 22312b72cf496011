/** The wire's settings of a training run in the trainer's own words. */
import type { SaeTrainSettings } from "../../domain/training.ts";
import type { TrainingOptions } from "../../engine/sae/config.ts";

/** Rows of one run of the gradient graph: bounds memory (4096 rows of 1024 × 16384 at once peaked at 6.9 GB). */
const MICRO_BATCH_ROWS = 1024;

export function trainingOptions(settings: SaeTrainSettings, layer: number, dModel: number): TrainingOptions {
  const { tokens, batch_tokens: batchRows } = settings;
  const steps = Math.floor(tokens / batchRows);
  return {
    layer,
    dModel,
    width: settings.width,
    k: settings.k,
    rows: tokens,
    seed: settings.seed,
    batchRows,
    microBatchRows: largestDivisor(batchRows, MICRO_BATCH_ROWS),
    // A buffer larger than the run would be filled with rows that nobody learns from.
    bufferRows: Math.max(batchRows, Math.min(settings.buffer_tokens, tokens)),
    learningRate: settings.learning_rate,
    warmupSteps: settings.warmup_steps,
    decaySteps: Math.floor(steps * settings.decay_fraction),
    clipNorm: settings.clip_norm,
    // The trainer has no aux_k of 0; a weight of 0 says the same.
    auxCoefficient: settings.aux_k === 0 ? 0 : settings.aux_weight,
    auxK: Math.max(1, settings.aux_k),
    deadAfterRows: settings.dead_after_tokens,
    // Not Infinity: a checkpoint is JSON in part, which has no infinity.
    normFactor: settings.norm_filter === 0 ? Number.MAX_VALUE : settings.norm_filter,
    skipFirstPosition: settings.skip_first_position,
  };
}

/** The largest part of a batch, at most so many rows, that divides it; the whole where only slivers do (a prime). */
export function largestDivisor(of: number, atMost: number): number {
  for (let divisor = Math.min(of, atMost); divisor >= 16; divisor--) if (of % divisor === 0) return divisor;
  return of;
}
