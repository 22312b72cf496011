// Loss and gradients of a batch whose active features somebody selected: everything after the selection, over any number of
// entries per row and any number of nested prefixes of the dictionary.

import type { AuxLoss } from "./aux-loss.ts";
import { totalVariance } from "./gradients.ts";
import type { BatchShape, GradientWorkspace, SaeTensors, Selection, Selector } from "./workspace.ts";

interface Parts {
  readonly selector: Selector;
  readonly aux: AuxLoss;
  readonly gradients: SaeTensors;
  /** Where each nested part of the dictionary ends; the last is the width. */
  readonly prefixEnds: readonly number[];
}

/**
 * Gradients of Σ_m fvu_m + auxCoefficient · aux, where fvu_m is the loss of the features below `prefixEnds[m]` alone.
 *
 *     error_m = Σ_{f < end_m} z_f · W_dec[f] + b_dec − x       S_j = Σ_{m ≥ j} error_m
 *     for f in block j (end_{j−1} ≤ f < end_j):   dz = 2/variance · S_j · W_dec[f],   dW_dec[f] = 2/variance · Σ_b z · S_j,b
 */
export function createSparseWorkspace({ dModel, width, batchRows }: BatchShape, parts: Parts): GradientWorkspace {
  const { selector, aux, gradients, prefixEnds } = parts;
  const blocks = prefixEnds.length;
  const errors_MBD = prefixEnds.map(() => new Float32Array(batchRows * dModel));
  const suffix_D = new Float64Array(dModel);
  const blockOf_F = Uint8Array.from({ length: width }, (_, f) => prefixEnds.findIndex((end) => f < end));

  function decode(weights: SaeTensors, x_BD: Float32Array, { offsets_B, features, z }: Selection): number[] {
    const squared_M = prefixEnds.map(() => 0);
    for (let b = 0; b < batchRows; b++) {
      const row = b * dModel;
      for (let m = 0; m < blocks; m++) {
        const error_BD = errors_MBD[m]!;
        for (let d = 0; d < dModel; d++) {
          error_BD[row + d] = m === 0 ? weights.b_dec_D[d]! - x_BD[row + d]! : errors_MBD[m - 1]![row + d]!;
        }
        for (let i = offsets_B[b]!; i < offsets_B[b + 1]!; i++) {
          if (blockOf_F[features[i]!] !== m) continue;
          const from = features[i]! * dModel;
          for (let d = 0; d < dModel; d++) error_BD[row + d]! += z[i]! * weights.W_dec_FD[from + d]!;
        }
        for (let d = 0; d < dModel; d++) squared_M[m]! += error_BD[row + d]! ** 2;
      }
    }
    return squared_M;
  }

  /** Turns errors of prefixes into sums over all prefixes that a block's features belong to. */
  function sumSuffixes(): void {
    for (let b = 0; b < batchRows * dModel; b += dModel) {
      suffix_D.fill(0);
      for (let m = blocks - 1; m >= 0; m--) {
        for (let d = 0; d < dModel; d++) {
          suffix_D[d]! += errors_MBD[m]![b + d]!;
          errors_MBD[m]![b + d] = suffix_D[d]!;
        }
      }
    }
  }

  return {
    gradients,
    async compute(weights, x_BD, dead, { auxCoefficient, k }) {
      const selection = await selector.select(weights, x_BD, k);
      const { offsets_B, features, z, batchThreshold } = selection;
      const perVariance = 1 / totalVariance(x_BD, dModel);
      const squared_M = decode(weights, x_BD, selection);
      const lastError_BD = errors_MBD.at(-1)!.slice();
      sumSuffixes();
      const scale = 2 * perVariance;
      const { W_enc_FD, b_enc_F, W_dec_FD, b_dec_D } = gradients;
      for (const tensor of [W_enc_FD, b_enc_F, W_dec_FD, b_dec_D]) tensor.fill(0);
      const fired_F = new Uint8Array(width);
      for (let b = 0; b < batchRows; b++) {
        const row = b * dModel;
        for (let d = 0; d < dModel; d++) b_dec_D[d]! += scale * errors_MBD[0]![row + d]!;
        for (let i = offsets_B[b]!; i < offsets_B[b + 1]!; i++) {
          const f = features[i]!;
          const from = f * dModel;
          const S_BD = errors_MBD[blockOf_F[f]!]!;
          let dz = 0;
          for (let d = 0; d < dModel; d++) dz += S_BD[row + d]! * weights.W_dec_FD[from + d]!;
          for (let d = 0; d < dModel; d++) {
            W_dec_FD[from + d]! += scale * z[i]! * S_BD[row + d]!;
            W_enc_FD[from + d]! += scale * dz * x_BD[row + d]!;
          }
          b_enc_F[f]! += scale * dz;
          fired_F[f] = 1;
        }
      }
      const weight = { perVariance, coefficient: auxCoefficient };
      return {
        fvu: squared_M.at(-1)! * perVariance,
        reconstruction: squared_M.reduce((sum, squared) => sum + squared, 0) * perVariance,
        aux: auxCoefficient > 0 ? await aux.add(gradients, weights, x_BD, lastError_BD, dead, weight) : 0,
        l0: features.length / batchRows,
        fired_F,
        ...(batchThreshold === undefined ? {} : { batchThreshold }),
      };
    },
    async close() {
      await selector.close();
      await aux.close();
    },
  };
}
