// Other conventions rewritten as Qwen-Scope's, some features at a time. Each gives the same activations and
// reconstructions; arithmetic is in float64 and rounded once.

import type { FeatureBlock } from "./sae-reader.ts";

/** Pre-activations of x − b_dec become those of x: W_enc·(x − b_dec) + b_enc = W_enc·x + (b_enc − W_enc·b_dec). */
export function foldInputBias(block: FeatureBlock, b_dec_D: Float32Array): FeatureBlock {
  return { ...block, b_enc_N: shiftedBias(block, b_dec_D, -1) };
}

/**
 * The other way round, for files whose readers take b_dec from the input: b_enc + W_enc·b_dec. Folded again, it is the bias before
 * to within half a unit in the last place of the larger of the two: float32 cannot hold more.
 */
export function unfoldInputBias(block: FeatureBlock, b_dec_D: Float32Array): FeatureBlock {
  return { ...block, b_enc_N: shiftedBias(block, b_dec_D, 1) };
}

function shiftedBias({ W_enc_ND, b_enc_N }: FeatureBlock, b_dec_D: Float32Array, sign: number): Float32Array {
  const dModel = b_dec_D.length;
  return b_enc_N.map((bias, f) => {
    let shift = 0;
    for (let d = 0; d < dModel; d++) shift += W_enc_ND[f * dModel + d]! * b_dec_D[d]!;
    return bias + sign * shift;
  });
}

/**
 * Activations measured in decoder norms become plain ones: with n_f = ‖W_dec[f]‖, encoder rows and biases are multiplied
 * by n_f and decoder rows divided by it. Features compete in the same units as before. `from` is the number of the first feature.
 */
export function foldDecoderNorms(block: FeatureBlock, from: number): FeatureBlock {
  const features = block.b_enc_N.length;
  const dModel = block.W_dec_ND.length / features;
  const norms_N = new Float64Array(features);
  for (let i = 0; i < block.W_dec_ND.length; i++) norms_N[Math.floor(i / dModel)]! += block.W_dec_ND[i]! ** 2;
  for (let f = 0; f < features; f++) {
    norms_N[f] = Math.sqrt(norms_N[f]!);
    if (norms_N[f] === 0) throw new RangeError(`W_dec: row ${from + f} is zero, its norm cannot be divided out`);
  }
  const normOf = (i: number) => norms_N[Math.floor(i / dModel)]!;
  return {
    W_enc_ND: block.W_enc_ND.map((weight, i) => weight * normOf(i)),
    b_enc_N: block.b_enc_N.map((bias, f) => bias * norms_N[f]!),
    W_dec_ND: block.W_dec_ND.map((weight, i) => weight / normOf(i)),
  };
}
