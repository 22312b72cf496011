/** The wire's settings of a training run in the trainer's own words. */
import type { SaeTrainSettings } from "../../../domain/training.ts";
import type { PlannedSae } from "../../../domain/training-laws.ts";
import type { TrainingOptions } from "../../../engine/sae/config.ts";

/** Rows of one run of the gradient graph: bounds memory (4096 rows of 1024 × 16384 at once peaked at 6.9 GB). */
const MICRO_BATCH_ROWS = 1024;

export function trainingOptions(settings: SaeTrainSettings, sae: PlannedSae, dModel: number): TrainingOptions {
  const { tokens, batch_tokens: batchRows } = settings;
  const steps = Math.floor(tokens / batchRows);
  return {
    architecture: settings.architecture,
    layer: sae.layer,
    dModel,
    width: sae.width,
    k: sae.k,
    kStart: sae.k_start,
    kAnnealSteps: settings.k_anneal_steps,
    rows: tokens,
    seed: settings.seed,
    batchRows,
    microBatchRows: largestDivisor(batchRows, MICRO_BATCH_ROWS),
    // A buffer larger than the run would be filled with rows that nobody learns from.
    bufferRows: Math.max(batchRows, Math.min(settings.buffer_tokens, tokens)),
    learningRate: sae.learning_rate,
    warmupSteps: settings.warmup_steps,
    decaySteps: Math.floor(steps * settings.decay_fraction),
    beta1: settings.adam_beta1,
    beta2: settings.adam_beta2,
    epsilon: settings.adam_epsilon,
    clipNorm: settings.clip_norm,
    // The trainer has no aux_k of 0; a weight of 0 says the same.
    auxCoefficient: sae.aux_k === 0 ? 0 : settings.aux_weight,
    auxK: Math.max(1, sae.aux_k),
    deadAfterRows: settings.dead_after_tokens,
    // Not Infinity: a checkpoint is JSON in part, which has no infinity.
    normFactor: settings.norm_filter === 0 ? Number.MAX_VALUE : settings.norm_filter,
    skipFirstPosition: settings.skip_first_position,
    scaleInput: settings.scale_input,
    medianRows: settings.median_tokens,
    decoderBiasStart: settings.decoder_bias_start,
    tiedStart: settings.tied_start,
    spikeFactor: settings.spike_factor,
    ...ofArchitecture(settings, sae),
  };
}

/** What the other architectures do not have is left to the trainer's defaults, which they do not read. */
function ofArchitecture(settings: SaeTrainSettings, sae: PlannedSae): Partial<TrainingOptions> {
  const own = {
    thresholdBeta: settings.threshold_beta,
    startThreshold: settings.start_threshold,
    bandwidth: settings.bandwidth,
    sparsityCoefficient: settings.sparsity_weight,
    sparsityWarmupSteps: settings.sparsity_warmup_steps,
    prefixes: sae.prefixes,
  };
  return Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
}

/** The largest part of a batch, at most so many rows, that divides it; the whole where only slivers do (a prime). */
export function largestDivisor(of: number, atMost: number): number {
  for (let divisor = Math.min(of, atMost); divisor >= 16; divisor--) if (of % divisor === 0) return divisor;
  return of;
}
