// Adam and what belongs to it for an sae. One fused pass over the big matrices reads and writes each number once.

import { createKernelSet } from "./kernels/kernel-set.ts";
import { memoryOf, placeArrays, tensorAddresses } from "./kernels/memory.ts";
import { optimiserKernels } from "./kernels/optimiser-kernels.ts";
import type { SaeTensors } from "./workspace.ts";

export interface Moments {
  readonly m: Float32Array;
  readonly v: Float32Array;
}

export interface AdamStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Updates made before this one. */
  readonly step: number;
  /** Gradients are multiplied by this first: the factor of clipping. */
  readonly gradientScale: number;
}

export interface SaeOptimiser {
  /**
   * Removes from each row of the decoder's gradient its part along the decoder's unit row, g ← g − (g·d)d, and returns the norm
   * of all gradients after that, √Σ g². That part would only change a row's length, which `update` undoes, and would spoil
   * the moments meanwhile.
   */
  projectedNorm(): number;
  /** One Adam update of every tensor in place (see `adamUpdate`), then decoder rows scaled to length 1. float32. */
  update(options: AdamStep): void;
  close(): void;
}

interface Tensors {
  readonly gradients: SaeTensors;
  readonly weights: SaeTensors;
  readonly m: SaeTensors;
  readonly v: SaeTensors;
}

const roles = ["gradients", "weights", "m", "v"] as const;

/** Throws TypeError unless all four are made by `zeroTensors` or `copyTensors` for their roles. */
export function createSaeOptimiser({ gradients, weights, m, v }: Tensors, threads: number): SaeOptimiser {
  const dModel = weights.b_dec_D.length;
  const width = weights.b_enc_F.length;
  const partial = placeArrays({ squares_F: ["float64", width] });
  const at = tensorAddresses(dModel, width, "weights");
  const kernels = createKernelSet([...roles, "partial"], optimiserKernels(dModel, partial.at.squares_F, at), threads);
  const tensors = { gradients, weights, m, v };
  const run = kernels.on(...roles.map((role) => memoryOf(tensors[role], role)), partial.memory);
  const matrices = [
    { address: at.W_enc_FD, unit: 0 },
    { address: at.W_dec_FD, unit: 1 },
  ];
  const biases = [
    { address: at.b_enc_F, length: width },
    { address: at.b_dec_D, length: dModel },
  ];
  return {
    projectedNorm() {
      run("projectAndSquare", width);
      let squares = 0;
      for (const square of partial.view.squares_F) squares += square;
      for (const bias of [gradients.b_enc_F, gradients.b_dec_D]) for (const g of bias) squares += g * g;
      return Math.sqrt(squares);
    },
    update({ learningRate, beta1, beta2, epsilon, step, gradientScale }) {
      const rate = learningRate / (1 - beta1 ** (step + 1));
      const correction2 = 1 / (1 - beta2 ** (step + 1));
      const numbers = [gradientScale, beta1, 1 - beta1, beta2, 1 - beta2, rate, correction2, epsilon];
      for (const { address, unit } of matrices) run("adam", width, address, dModel, unit, ...numbers);
      for (const { address, length } of biases) run("adam", 1, address, length, 0, ...numbers);
    },
    close: () => kernels.close(),
  };
}

/**
 * One Adam update in place, with bias correction.
 *
 *     m ← β₁m + (1−β₁)g    v ← β₂v + (1−β₂)g²    p ← p − η · (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε)
 *
 * float32 arrays of equal length, arithmetic in float64. Source: Kingma and Ba 2015, algorithm 1.
 */
export function adamUpdate(param: Float32Array, gradient: Float32Array, { m, v }: Moments, options: AdamStep): void {
  const { beta1, beta2, epsilon, gradientScale } = options;
  const rate = options.learningRate / (1 - beta1 ** (options.step + 1));
  const correction2 = 1 / (1 - beta2 ** (options.step + 1));
  for (let i = 0; i < param.length; i++) {
    const g = gradient[i]! * gradientScale;
    const mNew = beta1 * m[i]! + (1 - beta1) * g;
    const vNew = beta2 * v[i]! + (1 - beta2) * g * g;
    m[i] = mNew;
    v[i] = vNew;
    param[i] = param[i]! - (rate * mNew) / (Math.sqrt(vNew * correction2) + epsilon);
  }
}

/** Scales each row to length 1. A row of zeros stays. */
export function normaliseRows(matrix_FD: Float32Array, dModel: number): void {
  for (let start = 0; start < matrix_FD.length; start += dModel) {
    let squares = 0;
    for (let i = start; i < start + dModel; i++) squares += matrix_FD[i]! * matrix_FD[i]!;
    if (squares === 0) continue;
    const factor = 1 / Math.sqrt(squares);
    for (let i = start; i < start + dModel; i++) matrix_FD[i]! *= factor;
  }
}

/** √ Σ g², in float64. */
export function norm(numbers: Float32Array): number {
  let squares = 0;
  for (let i = 0; i < numbers.length; i++) squares += numbers[i]! * numbers[i]!;
  return Math.sqrt(squares);
}
