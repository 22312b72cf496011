// Every knob of training: what the caller may say (`TrainingOptions`) and what follows from it (`TrainingConfig`). knobs.ts explains them.

import type { Schedule } from "../optim/schedule.ts";
import { defaultPrefixes } from "./architectures/matryoshka.ts";
import { type ArchitectureName, architectureNames } from "./architectures/names.ts";

export const decoderBiasStarts = ["geometric_median", "mean", "zero"] as const;

export interface TrainingConfig {
  readonly architecture: ArchitectureName;
  readonly layer: number;
  readonly dModel: number;
  readonly width: number;
  readonly k: number;
  readonly kStart: number;
  readonly kAnnealSteps: number;
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
  readonly decoderBiasStart: (typeof decoderBiasStarts)[number];
  readonly tiedStart: boolean;
  readonly spikeFactor: number;
  readonly thresholdBeta: number;
  readonly prefixes: readonly number[];
  readonly startThreshold: number;
  readonly bandwidth: number;
  readonly sparsityCoefficient: number;
  readonly sparsityWarmupSteps: number;
}

const required = ["layer", "dModel", "width", "k", "rows"] as const;
type Required = (typeof required)[number];
export type TrainingOptions = Pick<TrainingConfig, Required> & Partial<Omit<TrainingConfig, Required>>;

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
  const batchRows = options.batchRows ?? 4096;
  const steps = Math.floor(options.rows / batchRows);
  const architecture = options.architecture ?? "topk";
  const defaults: Omit<TrainingConfig, Required> = {
    architecture,
    kStart: options.k,
    kAnnealSteps: 0,
    seed: 0,
    batchRows,
    microBatchRows: largestDivisor(batchRows, 512),
    bufferRows: 16 * batchRows,
    learningRate: learningRateFor(options.width),
    warmupSteps: Math.min(1000, Math.ceil(steps * 0.05)),
    decaySteps: Math.floor(steps * 0.2),
    beta1: architecture === "jumprelu" ? 0 : 0.9,
    beta2: 0.999,
    epsilon: 6.25e-10,
    clipNorm: 1,
    auxCoefficient: architecture === "jumprelu" ? 0 : 1 / 32,
    auxK: 512,
    deadAfterRows: Math.min(10_000_000, Math.ceil(options.rows / 8)),
    normFactor: 10,
    skipFirstPosition: true,
    scaleInput: true,
    medianRows: 8192,
    decoderBiasStart: "geometric_median",
    tiedStart: true,
    spikeFactor: 10,
    thresholdBeta: 0.99,
    prefixes: architecture === "matryoshka_topk" ? defaultPrefixes(options.width) : [options.width],
    startThreshold: 0.001,
    bandwidth: 0.001,
    sparsityCoefficient: 1,
    sparsityWarmupSteps: Math.min(2000, Math.ceil(steps * 0.1)),
  };
  const names: readonly string[] = [...required, ...Object.keys(defaults)];
  for (const name of Object.keys(given)) if (!names.includes(name)) throw new RangeError(`there is no knob ${name}`);
  const asked = given as unknown as TrainingOptions;
  // First as well as last: what was asked for is then compared before what follows from it.
  const config: TrainingConfig = { ...asked, ...defaults, ...asked };
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

/** Features per row at a step counted from 0: `kStart` falling linearly to `k` over `kAnnealSteps`. */
export function kAt({ k, kStart, kAnnealSteps }: TrainingConfig, step: number): number {
  if (step >= kAnnealSteps) return k;
  return Math.round(kStart + ((k - kStart) * step) / kAnnealSteps);
}

/** Weight of the sparsity loss at a step counted from 0: a linear rise over `sparsityWarmupSteps`. */
export function sparsityCoefficientAt(
  { sparsityCoefficient, sparsityWarmupSteps }: TrainingConfig,
  step: number,
): number {
  return sparsityCoefficient * Math.min(1, (step + 1) / Math.max(1, sparsityWarmupSteps));
}

function checkConfig(config: TrainingConfig): void {
  const integers = { layer: 0, dModel: 1, width: 1, k: 1, rows: 1, seed: 0, batchRows: 2, microBatchRows: 2 };
  const more = { bufferRows: 1, warmupSteps: 0, decaySteps: 0, auxK: 1, deadAfterRows: 1, medianRows: 1 };
  const steps = { kStart: 1, kAnnealSteps: 0, sparsityWarmupSteps: 0 };
  for (const [name, least] of Object.entries({ ...integers, ...more, ...steps })) {
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
  checkArchitecture(config);
  if (config.rows < config.batchRows) fail("rows", `at least one batch of ${config.batchRows}`, config.rows);
  if (config.bufferRows < config.batchRows)
    fail("bufferRows", `at least batchRows ${config.batchRows}`, config.bufferRows);
  const scheduled = config.warmupSteps + config.decaySteps;
  if (scheduled > stepsOf(config)) fail("warmupSteps + decaySteps", `at most the ${stepsOf(config)} steps`, scheduled);
  if (config.batchRows % config.microBatchRows !== 0) {
    fail("microBatchRows", `a divisor of batchRows ${config.batchRows}`, config.microBatchRows);
  }
}

function checkArchitecture(config: TrainingConfig): void {
  const { architecture, width, k, kStart, prefixes, spikeFactor } = config;
  if (!architectureNames.includes(architecture)) {
    fail("architecture", `one of ${architectureNames.join(", ")}`, architecture);
  }
  if (!decoderBiasStarts.includes(config.decoderBiasStart)) {
    fail("decoderBiasStart", `one of ${decoderBiasStarts.join(", ")}`, config.decoderBiasStart);
  }
  if (kStart < k || kStart > width) fail("kStart", `at least k ${k} and at most the width ${width}`, kStart);
  if (architecture === "jumprelu" && kStart !== k) fail("kStart", "k for jumprelu, which has no k to anneal", kStart);
  if (!(spikeFactor === 0 || (spikeFactor > 1 && spikeFactor < Infinity)))
    fail("spikeFactor", "0 or above 1", spikeFactor);
  if (!(config.thresholdBeta >= 0 && config.thresholdBeta < 1))
    fail("thresholdBeta", "in [0, 1)", config.thresholdBeta);
  for (const name of ["startThreshold", "bandwidth"] as const) {
    if (!(config[name] > 0 && config[name] < Infinity)) fail(name, "finite and above 0", config[name]);
  }
  const { sparsityCoefficient } = config;
  if (!(sparsityCoefficient >= 0 && sparsityCoefficient < Infinity)) {
    fail("sparsityCoefficient", "finite and at least 0", sparsityCoefficient);
  }
  const ascend = prefixes.every((end, i) => Number.isInteger(end) && end > (prefixes[i - 1] ?? 0));
  if (!ascend || prefixes.at(-1) !== width || prefixes.length > 32) {
    fail("prefixes", `at most 32 ascending integers that end with the width ${width}`, prefixes.join(", "));
  }
}

function fail(name: string, expected: string, actual: unknown): never {
  throw new RangeError(`${name} must be ${expected}, got ${actual}`);
}
