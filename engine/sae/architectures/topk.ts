// TopK: the k largest activations of each row.

import { openSession } from "../../runtime/session.ts";
import { tensor } from "../../runtime/tensor.ts";
import { topKGraph } from "../graphs.ts";
import { expectFinitePreActivations } from "../pre-activations.ts";
import { canBeScreened, openScreenedTopK } from "../screened-topk.ts";
import type { BatchShape, RunsOn, Selector } from "../workspace.ts";

/**
 * Selects the k largest positive pre-activations of each row.
 *
 *     z = pre where pre is among the k largest of ReLU(pre_F), else 0          loss = fvu + auxCoefficient · aux
 *
 * [B, D] float32 in, entries by row out; throws RangeError naming the row when a pre-activation is not finite.
 * Source: Gao et al. 2024, §2.3; Qwen-Scope §2.
 */
export async function openTopK(shape: BatchShape, runsOn: RunsOn): Promise<Selector> {
  if ((runsOn.device ?? "cpu") !== "cpu" || !canBeScreened(shape)) return openDenseTopK(shape, runsOn);
  return openScreenedTopK(shape, runsOn, await openDenseTopK({ ...shape, batchRows: shape.microBatchRows }, runsOn));
}

/** The same by one product with all features and the runtime's own TopK. */
export async function openDenseTopK(shape: BatchShape, runsOn: RunsOn): Promise<Selector> {
  const { dModel, width, batchRows, microBatchRows: rows, k: most } = shape;
  const session = await openSession(topKGraph(shape, most), runsOn);
  const z_BK = new Float32Array(rows * most);
  const features_BK = new Int32Array(rows * most);
  const into = { z: tensor("float32", z_BK, [rows, most]), features: tensor("int32", features_BK, [rows, most]) };
  const z = new Float32Array(batchRows * most);
  const features = new Int32Array(batchRows * most);
  const offsets_B = new Int32Array(batchRows + 1);

  return {
    async select(weights, x_BD, k) {
      let held = 0;
      for (let b = 0; b < batchRows; b += rows) {
        const found = await session.run(
          {
            x: tensor("float32", x_BD.subarray(b * dModel, (b + rows) * dModel), [rows, dModel]),
            W_enc: tensor("float32", weights.W_enc_FD, [width, dModel]),
            b_enc: tensor("float32", weights.b_enc_F),
          },
          { fetch: ["sum"], into },
        );
        expectFinitePreActivations(found.sum!, b);
        for (let row = 0; row < rows; row++) {
          // Largest first: while k is annealed the first of them are a smaller k's.
          for (let i = row * most; i < row * most + k && z_BK[i]! > 0; i++) {
            z[held] = z_BK[i]!;
            features[held++] = features_BK[i]!;
          }
          offsets_B[b + row + 1] = held;
        }
      }
      return { offsets_B, features: features.subarray(0, held), z: z.subarray(0, held) };
    },
    close: () => session.close(),
  };
}
