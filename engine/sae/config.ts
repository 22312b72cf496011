// Every knob of training: what the caller may say (`TrainingOptions`), what follows from it (`TrainingConfig`), and the
// table that explains both (`knobs`).

import type { Schedule } from "../optim/schedule.ts";

export interface TrainingConfig {
  readonly layer: number;
  readonly dModel: number;
  readonly width: number;
  readonly k: number;
  readonly rows: number;
  readonly seed: number;
  readonly batchRows: number;
  readonly microBatchRows: number;
  readonly bufferRows: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly decaySteps: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly clipNorm: number;
  readonly auxCoefficient: number;
  readonly auxK: number;
  readonly deadAfterRows: number;
  readonly normFactor: number;
  readonly skipFirstPosition: boolean;
  readonly scaleInput: boolean;
  readonly medianRows: number;
}

type Required = "layer" | "dModel" | "width" | "k" | "rows";
export type TrainingOptions = Pick<TrainingConfig, Required> & Partial<Omit<TrainingConfig, Required>>;

interface Knob {
  readonly unit: string;
  readonly default: string;
  readonly meaning: string;
  readonly source: string;
}

export const knobs: Readonly<Record<keyof TrainingConfig, Knob>> = {
  layer: { unit: "index", default: "required", meaning: "tap `resid_post.{layer}`", source: "Qwen-Scope §2" },
  dModel: { unit: "numbers", default: "required", meaning: "width of the residual stream, D", source: "the model" },
  width: { unit: "features", default: "required", meaning: "F; Qwen-Scope uses 16 or 64 times D", source: "Table 1" },
  k: { unit: "features per row", default: "required", meaning: "K active; Qwen-Scope: 50, 100", source: "Table 1" },
  rows: {
    unit: "rows",
    default: "required",
    meaning: "rows (tokens) to learn from; sets the schedule",
    source: "Qwen-Scope: about 5·10⁸ by press reports",
  },
  seed: { unit: "number", default: "0", meaning: "decides initial weights and order of rows", source: "ours" },
  batchRows: { unit: "rows", default: "4096", meaning: "rows per optimiser step", source: "SAELens" },
  microBatchRows: {
    unit: "rows",
    default: "512, or the largest divisor of batchRows below",
    meaning: "rows per run of the graph; bounds memory, no effect on the objective",
    source: "measured at 1024 × 16384: peak 0.7, 0.8, 0.9, 1.2 GB at 128, 256, 512, 1024, processor time the same",
  },
  bufferRows: { unit: "rows", default: "16 batches", meaning: "size of the mixing buffer", source: "SAELens: 20" },
  learningRate: {
    unit: "per step",
    default: "2e-4/√(width/2¹⁴)",
    meaning: "peak rate",
    source: "Gao et al. 2024, fig. 3, as in sparsify",
  },
  warmupSteps: { unit: "steps", default: "5 %, at most 1000", meaning: "linear rise from 0", source: "sparsify: 1000" },
  decaySteps: { unit: "steps", default: "last 20 %", meaning: "linear fall to 0", source: "dictionary_learning" },
  beta1: { unit: "factor", default: "0.9", meaning: "Adam", source: "Gao et al. 2024, app. A" },
  beta2: { unit: "factor", default: "0.999", meaning: "Adam", source: "Gao et al. 2024, app. A" },
  epsilon: { unit: "factor", default: "6.25e-10", meaning: "Adam", source: "Gao et al. 2024, app. A" },
  clipNorm: { unit: "‖gradient‖", default: "1", meaning: "global norm at most this", source: "SAELens" },
  auxCoefficient: {
    unit: "factor",
    default: "1/32",
    meaning: "weight of AuxK",
    source: "Qwen-Scope §2.2, Gao et al. 2024",
  },
  auxK: {
    unit: "features per row",
    default: "512",
    meaning: "dead features per row in AuxK",
    source: "Gao et al. 2024",
  },
  deadAfterRows: {
    unit: "rows",
    default: "10⁷, at most rows/8",
    meaning: "a feature silent for this long is dead",
    source: "Gao et al. 2024; the cap lets short runs revive features at all",
  },
  normFactor: { unit: "× median", default: "10", meaning: "larger norms are left out", source: "Marks et al. 2024" },
  skipFirstPosition: { unit: "yes/no", default: "true", meaning: "leave out position 0", source: "Qwen-Scope §2.2" },
  scaleInput: {
    unit: "yes/no",
    default: "true",
    meaning: "train on x/s, s a power of two near the mean distance to the median; folded back exactly",
    source: "the rate and epsilon above are for rows of norm about 1 (Gao et al. 2024, app. A)",
  },
  medianRows: { unit: "rows", default: "8192", meaning: "rows for b_dec's geometric median", source: "ours" },
};

/**
 * Learning rate of a TopK sae by its width.
 *
 *     2·10⁻⁴ / √(F / 2¹⁴)
 *
 * Source: Gao et al. 2024, fig. 3, in the form that EleutherAI's sparsify gives it.
 */
export function learningRateFor(width: number): number {
  return 2e-4 / Math.sqrt(width / 2 ** 14);
}

/** The batch in equal parts of at most so many rows; in one where only parts of a few rows would do. */
function largestDivisor(of: number, atMost: number): number {
  for (let divisor = Math.min(of, atMost); divisor >= 16; divisor--) if (of % divisor === 0) return divisor;
  return of;
}

/** Fills in what is not said. Throws RangeError with the knob's name, what it must be, and what it is. */
export function resolveConfig(options: TrainingOptions): TrainingConfig {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  for (const name of Object.keys(given)) if (!(name in knobs)) throw new RangeError(`there is no knob ${name}`);

  const batchRows = options.batchRows ?? 4096;
  const steps = Math.floor(options.rows / batchRows);
  const config: TrainingConfig = {
    seed: 0,
    batchRows,
    microBatchRows: largestDivisor(batchRows, 512),
    bufferRows: 16 * batchRows,
    learningRate: learningRateFor(options.width),
    warmupSteps: Math.min(1000, Math.ceil(steps * 0.05)),
    decaySteps: Math.floor(steps * 0.2),
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 6.25e-10,
    clipNorm: 1,
    auxCoefficient: 1 / 32,
    auxK: 512,
    deadAfterRows: Math.min(10_000_000, Math.ceil(options.rows / 8)),
    normFactor: 10,
    skipFirstPosition: true,
    scaleInput: true,
    medianRows: 8192,
    ...(given as unknown as TrainingOptions),
  };
  checkConfig(config);
  return Object.freeze(config);
}

/** Optimiser steps in the whole run. */
export function stepsOf(config: TrainingConfig): number {
  return Math.floor(config.rows / config.batchRows);
}

/** Linear rise over `warmupSteps`, flat, linear fall to 0 over the last `decaySteps`. */
export function scheduleOf(config: TrainingConfig): Schedule {
  const { learningRate: peak, warmupSteps, decaySteps } = config;
  return { peak, totalSteps: stepsOf(config), warmupSteps, decaySteps, shape: "linear" };
}

function checkConfig(config: TrainingConfig): void {
  const integers = { layer: 0, dModel: 1, width: 1, k: 1, rows: 1, seed: 0, batchRows: 2, microBatchRows: 2 };
  const more = { bufferRows: 1, warmupSteps: 0, decaySteps: 0, auxK: 1, deadAfterRows: 1, medianRows: 1 };
  for (const [name, least] of Object.entries({ ...integers, ...more })) {
    const value = config[name as keyof TrainingConfig] as number;
    if (!Number.isSafeInteger(value) || value < least) fail(name, `an integer of at least ${least}`, value);
  }
  for (const name of ["learningRate", "epsilon", "clipNorm", "normFactor"] as const) {
    // Finite: a checkpoint keeps the config as JSON, which has no infinity.
    if (!(config[name] > 0 && config[name] < Infinity)) fail(name, "finite and above 0", config[name]);
  }
  for (const name of ["beta1", "beta2"] as const) {
    if (!(config[name] >= 0 && config[name] < 1)) fail(name, "in [0, 1)", config[name]);
  }
  if (!(config.auxCoefficient >= 0)) fail("auxCoefficient", "at least 0", config.auxCoefficient);
  if (config.k > config.width) fail("k", `at most the width ${config.width}`, config.k);
  if (config.rows < config.batchRows) fail("rows", `at least one batch of ${config.batchRows}`, config.rows);
  if (config.bufferRows < config.batchRows)
    fail("bufferRows", `at least batchRows ${config.batchRows}`, config.bufferRows);
  const scheduled = config.warmupSteps + config.decaySteps;
  if (scheduled > stepsOf(config)) fail("warmupSteps + decaySteps", `at most the ${stepsOf(config)} steps`, scheduled);
  if (config.batchRows % config.microBatchRows !== 0) {
    fail("microBatchRows", `a divisor of batchRows ${config.batchRows}`, config.microBatchRows);
  }
}

function fail(name: string, expected: string, actual: unknown): never {
  throw new RangeError(`${name} must be ${expected}, got ${actual}`);
}
