import { createRandom } from "../../../engine/runtime/random.ts";
import type { ActivationRule, SparseAutoencoder } from "../../../engine/sae/architecture.ts";
import type { SparseRows } from "../../../engine/sae/open-sae.ts";

export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`lengths differ: ${a.length} and ${b.length}`);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** Sparse rows as [B, F]. */
export function densify({ rows, offsets, features, values }: SparseRows, width: number): Float32Array {
  const dense_BF = new Float32Array(rows * width);
  for (let b = 0; b < rows; b++) {
    for (let i = offsets[b]!; i < offsets[b + 1]!; i++) dense_BF[b * width + features[i]!] = values[i]!;
  }
  return dense_BF;
}

export function normals(count: number, seed: number, scale = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => scale * random.normal());
}

export function randomSae(dModel: number, width: number, rule: ActivationRule, seed = 5): SparseAutoencoder {
  return {
    dModel,
    width,
    rule,
    W_enc_FD: normals(width * dModel, seed, 0.5),
    b_enc_F: normals(width, seed + 1, 0.3),
    W_dec_FD: normals(width * dModel, seed + 2, 0.5),
    b_dec_D: normals(dModel, seed + 3, 0.3),
  };
}
