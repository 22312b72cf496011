// One sae that learns: its weights, the optimiser's memory, and how long each feature has been silent.

import { learningRate as rateAt } from "../optim/schedule.ts";
import type { Random } from "../runtime/random.ts";
import type { SparseAutoencoder } from "./architecture.ts";
import { scheduleOf, type TrainingConfig } from "./config.ts";
import { geometricMedian } from "./geometric-median.ts";
import { type GradientWorkspace, listTensors, type SaeTensors, zeroTensors } from "./gradients.ts";
import { adamUpdate, globalNorm, normaliseRows, projectOutRows } from "./optimiser.ts";

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
}

export interface StepMetrics {
  /** Number of this step, from 1. */
  readonly step: number;
  /** Rows learned from so far, this step's included. */
  readonly rows: number;
  /** fvu + auxCoefficient · aux */
  readonly loss: number;
  readonly fvu: number;
  readonly aux: number;
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

  const weights = zeroTensors(dModel, width);
  for (let d = 0; d < dModel; d++) weights.b_dec_D[d] = median_D[d]! / inputScale;
  for (let i = 0; i < weights.W_dec_FD.length; i++) weights.W_dec_FD[i] = random.normal();
  normaliseRows(weights.W_dec_FD, dModel);
  weights.W_enc_FD.set(weights.W_dec_FD);
  for (let f = 0; f < width; f++) {
    let along = 0;
    for (let d = 0; d < dModel; d++) along += weights.W_enc_FD[f * dModel + d]! * weights.b_dec_D[d]!;
    weights.b_enc_F[f] = -along;
  }
  return {
    step: 0,
    inputScale,
    weights,
    m: zeroTensors(dModel, width),
    v: zeroTensors(dModel, width),
    silentRows_F: new Float64Array(width),
  };
}

export interface Learner {
  readonly state: LearnerState;
  /** One optimiser step on [batchRows, dModel] rows that are already divided by `inputScale`. */
  step(x_BD: Float32Array): Promise<StepMetrics>;
}

/** Changes the arrays of `state` in place; several learners may share a workspace, one step at a time. */
export function createLearner(config: TrainingConfig, state: LearnerState, workspace: GradientWorkspace): Learner {
  const { weights, m, v, silentRows_F } = state;
  const { gradients } = workspace;
  const { beta1, beta2, epsilon, batchRows, deadAfterRows } = config;
  const schedule = scheduleOf(config);
  let step = state.step;

  const update = (name: keyof SaeTensors, options: { learningRate: number; gradientScale: number }) =>
    adamUpdate(weights[name], gradients[name], { m: m[name], v: v[name] }, { beta1, beta2, epsilon, step, ...options });

  return {
    get state() {
      return { ...state, step };
    },
    async step(x_BD) {
      const dead = Int32Array.from(indicesAbove(silentRows_F, deadAfterRows));
      const { fvu, aux, l0, fired_F } = await workspace.compute(weights, x_BD, dead, config.auxCoefficient);

      projectOutRows(gradients.W_dec_FD, weights.W_dec_FD, config.dModel);
      const gradientNorm = globalNorm(listTensors(gradients));
      // Weights are changed only by what is finite, so that a bad batch cannot spoil what thousands of good ones made.
      if (!Number.isFinite(fvu + aux + gradientNorm)) {
        throw new RangeError(`step ${step + 1} is not finite: fvu ${fvu}, aux ${aux}, gradient norm ${gradientNorm}`);
      }
      const learningRate = rateAt(schedule, step);
      const options = { learningRate, gradientScale: Math.min(1, config.clipNorm / gradientNorm) };
      update("W_enc_FD", options);
      update("b_enc_F", options);
      update("W_dec_FD", options);
      update("b_dec_D", options);
      normaliseRows(weights.W_dec_FD, config.dModel);

      for (let f = 0; f < fired_F.length; f++) silentRows_F[f] = fired_F[f] ? 0 : silentRows_F[f]! + batchRows;
      step++;
      const loss = fvu + config.auxCoefficient * aux;
      const deadNow = indicesAbove(silentRows_F, deadAfterRows).length;
      return { step, rows: step * batchRows, loss, fvu, aux, l0, dead: deadNow, gradientNorm, learningRate };
    },
  };
}

function indicesAbove(values: Float64Array, limit: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) if (values[i]! > limit) found.push(i);
  return found;
}

/**
 * The sae for activations as they are, not divided by the input scale s. TopK commutes with a positive factor:
 * s · TopK(W_enc·x/s + b) = TopK(W_enc·x + s·b), so only the biases change, exactly, since s is a power of two.
 */
export function toSparseAutoencoder(config: TrainingConfig, { weights, inputScale }: LearnerState): SparseAutoencoder {
  return {
    dModel: config.dModel,
    width: config.width,
    rule: { kind: "topk", k: config.k },
    W_enc_FD: weights.W_enc_FD.slice(),
    b_enc_F: weights.b_enc_F.map((bias) => bias * inputScale),
    W_dec_FD: weights.W_dec_FD.slice(),
    b_dec_D: weights.b_dec_D.map((bias) => bias * inputScale),
  };
}
