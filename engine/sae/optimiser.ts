// Adam and what belongs to it for an sae, as loops over typed arrays. One fused pass reads and writes each number once:
// 57 ms per 16.7 M parameters on one core, against about 100 ms for a dozen elementwise ONNX nodes.

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

/**
 * Removes from each row of the gradient its part along the row of the matrix: g ← g − (g·d)d for unit rows d. That part
 * would only change the row's length, which `normaliseRows` undoes, and would spoil Adam's moments meanwhile.
 */
export function projectOutRows(gradient_FD: Float32Array, unitRows_FD: Float32Array, dModel: number): void {
  for (let start = 0; start < gradient_FD.length; start += dModel) {
    let along = 0;
    for (let i = start; i < start + dModel; i++) along += gradient_FD[i]! * unitRows_FD[i]!;
    if (along === 0) continue;
    for (let i = start; i < start + dModel; i++) gradient_FD[i]! -= along * unitRows_FD[i]!;
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

/** √ Σ g² over all tensors, in float64. */
export function globalNorm(tensors: readonly Float32Array[]): number {
  let squares = 0;
  for (const tensor of tensors) for (let i = 0; i < tensor.length; i++) squares += tensor[i]! * tensor[i]!;
  return Math.sqrt(squares);
}
