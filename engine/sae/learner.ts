// One sae that learns: its weights, the optimiser's memory, and how long each feature has been silent.

import { learningRate as rateAt } from "../optim/schedule.ts";
import type { Random } from "../runtime/random.ts";
import type { SparseAutoencoder } from "./architecture.ts";
import { noThreshold, type RunningThreshold, updateThreshold } from "./architectures/batch-topk.ts";
import { architectures } from "./architectures/table.ts";
import { kAt, scheduleOf, sparsityCoefficientAt, type TrainingConfig } from "./config.ts";
import { geometricMedian } from "./geometric-median.ts";
import { expectNoSpike, withLoss } from "./instability.ts";
import { zeroTensors } from "./kernels/memory.ts";
import { adamUpdate, createSaeOptimiser, norm, normaliseRows } from "./optimiser.ts";
import type { GradientWorkspace, SaeTensors } from "./workspace.ts";

export interface LearnerState {
  /** Optimiser steps made. */
  readonly step: number;
  /** The power of two by which activations are divided before they are learned from. */
  readonly inputScale: number;
  readonly weights: SaeTensors;
  readonly m: SaeTensors;
  readonly v: SaeTensors;
  /** Rows since each feature was last active. */
  readonly silentRows_F: Float64Array;
  /** Of jumprelu: a threshold per feature, in units of the divided activations, and its moments. */
  readonly thresholds: Thresholds | null;
  /** Of batch_topk: the mean of its batches' smallest activations. */
  readonly runningThreshold: RunningThreshold;
  /** fvu of the last steps, to know a spike by. */
  readonly recentFvu: readonly number[];
}

export interface Thresholds {
  readonly value_F: Float32Array;
  readonly m_F: Float32Array;
  readonly v_F: Float32Array;
}

export interface StepMetrics {
  /** Number of this step, from 1. */
  readonly step: number;
  /** Rows learned from so far, this step's included. */
  readonly rows: number;
  /** The architecture's own: reconstruction + auxCoefficient · aux + sparsityCoefficient · sparsity. */
  readonly loss: number;
  readonly fvu: number;
  readonly aux: number;
  /** Of jumprelu, before its weight; else 0. */
  readonly sparsity: number;
  readonly l0: number;
  /** Features silent for longer than `deadAfterRows`, after this step. */
  readonly dead: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/**
 * Weights to start from, given some rows of activations.
 *
 * b_dec is their geometric median; decoder rows are random unit vectors; the encoder is the decoder (tied at the start
 * only); b_enc = −W_enc · b_dec, so that features begin by reading x − b_dec although the forward pass takes nothing from x.
 * Source: Gao et al. 2024, appendix A; Qwen-Scope's forward pass.
 */
export function initialState(config: TrainingConfig, rows_BD: Float32Array, random: Random): LearnerState {
  const { dModel, width } = config;
  const sample = rows_BD.subarray(0, Math.min(rows_BD.length, config.medianRows * dModel));
  const { median_D, meanDistance } = geometricMedian(sample, dModel);
  // A power of two: dividing by it and folding it back changes no bit.
  const inputScale = config.scaleInput && meanDistance > 0 ? 2 ** Math.round(Math.log2(meanDistance)) : 1;

  const weights = zeroTensors(dModel, width, "weights");
  const start_D = decoderBiasStart(config, median_D, sample);
  for (let d = 0; d < dModel; d++) weights.b_dec_D[d] = start_D[d]! / inputScale;
  fillUnitRows(weights.W_dec_FD, dModel, random);
  if (config.tiedStart) weights.W_enc_FD.set(weights.W_dec_FD);
  else fillUnitRows(weights.W_enc_FD, dModel, random);
  for (let f = 0; f < width; f++) {
    let along = 0;
    for (let d = 0; d < dModel; d++) along += weights.W_enc_FD[f * dModel + d]! * weights.b_dec_D[d]!;
    weights.b_enc_F[f] = -along;
  }
  return {
    step: 0,
    inputScale,
    weights,
    m: zeroTensors(dModel, width, "m"),
    v: zeroTensors(dModel, width, "v"),
    silentRows_F: new Float64Array(width),
    thresholds: architectures[config.architecture].learnsThresholds
      ? {
          value_F: new Float32Array(width).fill(config.startThreshold),
          m_F: new Float32Array(width),
          v_F: new Float32Array(width),
        }
      : null,
    runningThreshold: noThreshold,
    recentFvu: [],
  };
}

function fillUnitRows(matrix_FD: Float32Array, dModel: number, random: Random): void {
  for (let i = 0; i < matrix_FD.length; i++) matrix_FD[i] = random.normal();
  normaliseRows(matrix_FD, dModel);
}

function decoderBiasStart(
  { decoderBiasStart: start, dModel }: TrainingConfig,
  median_D: Float64Array,
  rows_BD: Float32Array,
): Float64Array {
  if (start === "geometric_median") return median_D;
  const mean_D = new Float64Array(dModel);
  if (start === "zero") return mean_D;
  const rows = rows_BD.length / dModel;
  for (let i = 0; i < rows_BD.length; i++) mean_D[i % dModel]! += rows_BD[i]! / rows;
  return mean_D;
}

export interface Learner {
  readonly state: LearnerState;
  /** One optimiser step on [batchRows, dModel] rows that are already divided by `inputScale`. */
  step(x_BD: Float32Array): Promise<StepMetrics>;
  close(): void;
}

/** Changes the arrays of `state` in place; several learners may share a workspace, one step at a time. */
export function createLearner(
  config: TrainingConfig,
  state: LearnerState,
  workspace: GradientWorkspace,
  threads = 0,
): Learner {
  const { weights, m, v, silentRows_F } = state;
  const { gradients } = workspace;
  const { beta1, beta2, epsilon, batchRows, deadAfterRows } = config;
  const { thresholds } = state;
  const schedule = scheduleOf(config);
  let { step, runningThreshold, recentFvu } = state;

  const optimiser = createSaeOptimiser({ gradients, weights, m, v }, threads);

  return {
    get state() {
      return { ...state, step, runningThreshold, recentFvu };
    },
    async step(x_BD) {
      const dead = Int32Array.from(indicesAbove(silentRows_F, deadAfterRows));
      const sparsityCoefficient = sparsityCoefficientAt(config, step);
      const found = await workspace.compute(weights, x_BD, dead, {
        auxCoefficient: config.auxCoefficient,
        k: kAt(config, step),
        sparsityCoefficient,
        ...(thresholds ? { threshold_F: thresholds.value_F } : {}),
      });
      const { fvu, aux, l0, fired_F, sparsity = 0, reconstruction = fvu, dThreshold_F, batchThreshold } = found;

      const gradientNorm = optimiser.projectedNorm();
      const thresholdNorm = dThreshold_F ? norm(dThreshold_F) : 0;
      // Weights are changed only by what is finite, so that a bad batch cannot spoil what thousands of good ones made.
      if (!Number.isFinite(fvu + aux + gradientNorm + thresholdNorm)) {
        throw new RangeError(`step ${step + 1} is not finite: fvu ${fvu}, aux ${aux}, gradient norm ${gradientNorm}`);
      }
      expectNoSpike(fvu, recentFvu, config.spikeFactor);
      const learningRate = rateAt(schedule, step);
      const gradientScale = Math.min(1, config.clipNorm / gradientNorm);
      optimiser.update({ beta1, beta2, epsilon, step, learningRate, gradientScale });
      if (thresholds && dThreshold_F) {
        // Clipped apart: far from the target L0 the pull on the thresholds is thousands of times all other gradients.
        const gradientScale = Math.min(1, config.clipNorm / thresholdNorm);
        const moments = { m: thresholds.m_F, v: thresholds.v_F };
        const { value_F } = thresholds;
        adamUpdate(value_F, dThreshold_F, moments, { beta1, beta2, epsilon, step, learningRate, gradientScale });
        for (let f = 0; f < value_F.length; f++) value_F[f] = Math.max(0, value_F[f]!);
      }
      if (batchThreshold !== undefined) {
        // While k falls the smallest activations are those of larger k: they say nothing about the last one.
        const earlier = step === config.kAnnealSteps ? noThreshold : runningThreshold;
        runningThreshold = updateThreshold(earlier, batchThreshold, config.thresholdBeta);
      }
      recentFvu = withLoss(recentFvu, fvu);

      for (let f = 0; f < fired_F.length; f++) silentRows_F[f] = fired_F[f] ? 0 : silentRows_F[f]! + batchRows;
      step++;
      const loss = reconstruction + config.auxCoefficient * aux + sparsityCoefficient * sparsity;
      const deadNow = indicesAbove(silentRows_F, deadAfterRows).length;
      const rows = step * batchRows;
      return { step, rows, loss, fvu, aux, sparsity, l0, dead: deadNow, gradientNorm, learningRate };
    },
    close: () => optimiser.close(),
  };
}

function indicesAbove(values: Float64Array, limit: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i]! > limit) found.push(i);
  return found;
}

/**
 * The sae for activations as they are, not divided by the input scale s. Every rule commutes with a positive factor:
 * s · rule(W_enc·x/s + b) = rule(W_enc·x + s·b) with thresholds times s, so only biases and thresholds change, exactly,
 * since s is a power of two.
 */
export function toSparseAutoencoder(config: TrainingConfig, state: LearnerState): SparseAutoencoder {
  const { weights, inputScale } = state;
  const thresholds = { threshold_F: state.thresholds?.value_F ?? null, running: state.runningThreshold };
  return {
    dModel: config.dModel,
    width: config.width,
    rule: architectures[config.architecture].rule(config, thresholds, inputScale),
    W_enc_FD: weights.W_enc_FD.slice(),
    b_enc_F: weights.b_enc_F.map((bias) => bias * inputScale),
    W_dec_FD: weights.W_dec_FD.slice(),
    b_dec_D: weights.b_dec_D.map((bias) => bias * inputScale),
  };
}
