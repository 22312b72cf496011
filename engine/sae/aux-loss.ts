// AuxK: dead features learn to reconstruct what the living ones missed. Dense over the gathered dead rows (see auxGraph).

import { openSession, type Session } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";
import { auxGraph } from "./graphs.ts";
import type { BatchShape, RunsOn, SaeTensors } from "./workspace.ts";

/** Dead rows are padded to a multiple of this: products with a single row may depend on the number of threads. */
const deadRowsMultiple = 16;

export interface AuxLoss {
  /**
   * Adds the gradients of coefficient · aux, aux = perVariance · Σ_b ‖ê_b + error_b‖², and returns aux. `dead` lists the features
   * that reconstruct; with none nothing is run.
   */
  add(
    gradients: SaeTensors,
    weights: SaeTensors,
    x_BD: Float32Array,
    error_BD: Float32Array,
    dead: Int32Array,
    weight: { readonly perVariance: number; readonly coefficient: number },
  ): Promise<number>;
  close(): Promise<void>;
}

export function createAuxLoss(
  { dModel, microBatchRows, auxK }: Pick<BatchShape, "dModel" | "microBatchRows" | "auxK">,
  runsOn: RunsOn,
): AuxLoss {
  // Opened when the first feature dies: many runs never need them.
  let all: Session | undefined;
  let largest: Session | undefined;

  return {
    async add(gradients, weights, x_BD, error_BD, dead, { perVariance, coefficient }) {
      if (dead.length === 0) return 0;
      const n = Math.ceil(dead.length / deadRowsMultiple) * deadRowsMultiple;
      const W_enc_ND = gatherRows(weights.W_enc_FD, dead, dModel, n);
      const W_dec_ND = gatherRows(weights.W_dec_FD, dead, dModel, n);
      // A padding row's pre-activation is −1 for every input: it is never active and so has no gradient.
      const b_enc_N = new Float32Array(n).fill(-1);
      for (let i = 0; i < dead.length; i++) b_enc_N[i] = weights.b_enc_F[dead[i]!]!;

      if (dead.length > auxK) largest ??= await openSession(auxGraph(dModel, auxK), runsOn);
      else all ??= await openSession(auxGraph(dModel, null), runsOn);
      const session = dead.length > auxK ? largest! : all!;

      let loss = 0;
      for (let start = 0; start < x_BD.length; start += microBatchRows * dModel) {
        const rowsOf = (all_BD: Float32Array) =>
          tensor("float32", all_BD.subarray(start, start + microBatchRows * dModel), [microBatchRows, dModel]);
        const found = await session.run({
          x: rowsOf(x_BD),
          error: rowsOf(error_BD),
          weight: tensor("float32", Float32Array.of(perVariance), []),
          W_enc: tensor("float32", W_enc_ND, [n, dModel]),
          b_enc: tensor("float32", b_enc_N),
          W_dec: tensor("float32", W_dec_ND, [n, dModel]),
        });
        loss += found.loss!.data[0] as number;
        addRows(gradients.W_enc_FD, dead, found.dW_enc!.data as Float32Array, dModel, coefficient);
        addRows(gradients.W_dec_FD, dead, found.dW_dec!.data as Float32Array, dModel, coefficient);
        addRows(gradients.b_enc_F, dead, found.db_enc!.data as Float32Array, 1, coefficient);
      }
      return loss;
    },
    async close() {
      await all?.close();
      await largest?.close();
    },
  };
}

function gatherRows(from_FD: Float32Array, rows: Int32Array, dModel: number, count: number): Float32Array {
  const out = new Float32Array(count * dModel);
  for (let i = 0; i < rows.length; i++) {
    out.set(from_FD.subarray(rows[i]! * dModel, (rows[i]! + 1) * dModel), i * dModel);
  }
  return out;
}

function addRows(to_FD: Float32Array, rows: Int32Array, from_ND: Float32Array, rowLength: number, scale: number): void {
  for (let i = 0; i < rows.length; i++) {
    const to = rows[i]! * rowLength;
    for (let d = 0; d < rowLength; d++) to_FD[to + d]! += scale * from_ND[i * rowLength + d]!;
  }
}
