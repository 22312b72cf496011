// Other conventions rewritten as Qwen-Scope's. Each gives the same activations and reconstructions; arithmetic is in
// float64 and rounded once.

import type { SparseAutoencoder } from "../architecture.ts";

/** [rows, columns] → [columns, rows] */
export function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  // By square blocks: one of the two sides is always read or written across cache lines.
  const block = 32;
  for (let r0 = 0; r0 < rows; r0 += block) {
    for (let c0 = 0; c0 < columns; c0 += block) {
      for (let r = r0; r < Math.min(rows, r0 + block); r++) {
        for (let c = c0; c < Math.min(columns, c0 + block); c++) out[c * rows + r] = matrix[r * columns + c]!;
      }
    }
  }
  return out;
}

/** Pre-activations of x − b_dec become those of x: W_enc·(x − b_dec) + b_enc = W_enc·x + (b_enc − W_enc·b_dec). */
export function foldInputBias(sae: SparseAutoencoder): SparseAutoencoder {
  const { dModel, W_enc_FD, b_dec_D } = sae;
  const b_enc_F = sae.b_enc_F.map((bias, f) => {
    let shift = 0;
    for (let d = 0; d < dModel; d++) shift += W_enc_FD[f * dModel + d]! * b_dec_D[d]!;
    return bias - shift;
  });
  return { ...sae, b_enc_F };
}

/**
 * Activations measured in decoder norms become plain ones: with n_f = ‖W_dec[f]‖, encoder rows and biases are multiplied
 * by n_f and decoder rows divided by it. Features compete in the same units as before.
 */
export function foldDecoderNorms(sae: SparseAutoencoder): SparseAutoencoder {
  const { dModel, width } = sae;
  const norms_F = new Float64Array(width);
  for (let i = 0; i < sae.W_dec_FD.length; i++) norms_F[Math.floor(i / dModel)]! += sae.W_dec_FD[i]! ** 2;
  for (let f = 0; f < width; f++) {
    norms_F[f] = Math.sqrt(norms_F[f]!);
    if (norms_F[f] === 0) throw new RangeError(`W_dec: row ${f} is zero, its norm cannot be divided out`);
  }
  const normOf = (i: number) => norms_F[Math.floor(i / dModel)]!;
  return {
    ...sae,
    W_enc_FD: sae.W_enc_FD.map((weight, i) => weight * normOf(i)),
    b_enc_F: sae.b_enc_F.map((bias, f) => bias * norms_F[f]!),
    W_dec_FD: sae.W_dec_FD.map((weight, i) => weight / normOf(i)),
  };
}
