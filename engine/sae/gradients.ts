// Loss and gradients of one batch: dense products by ONNX Runtime in micro-batches, sparse sums by loops over the batch.

import { openSession } from "../runtime/session.ts";
import { type Tensor, tensor } from "../runtime/tensor.ts";
import { createAuxLoss } from "./aux-loss.ts";
import { trainingGraph } from "./graphs.ts";
import { sortByFeature, sumByFeature, sumRowsByFeature } from "./sparse-gradient.ts";
import type { BatchShape, GradientWorkspace, RunsOn, SaeTensors } from "./workspace.ts";

export function zeroTensors(dModel: number, width: number): SaeTensors {
  return {
    W_enc_FD: new Float32Array(width * dModel),
    b_enc_F: new Float32Array(width),
    W_dec_FD: new Float32Array(width * dModel),
    b_dec_D: new Float32Array(dModel),
  };
}

export function copyTensors({ W_enc_FD, b_enc_F, W_dec_FD, b_dec_D }: SaeTensors): SaeTensors {
  return { W_enc_FD: W_enc_FD.slice(), b_enc_F: b_enc_F.slice(), W_dec_FD: W_dec_FD.slice(), b_dec_D: b_dec_D.slice() };
}

export function listTensors(tensors: SaeTensors): Float32Array[] {
  return [tensors.W_enc_FD, tensors.b_enc_F, tensors.W_dec_FD, tensors.b_dec_D];
}

export async function openGradients(shape: BatchShape, runsOn: RunsOn): Promise<GradientWorkspace> {
  const { dModel, width, k, batchRows, microBatchRows: rows } = shape;
  const forward = await openSession(trainingGraph(shape, k), runsOn);
  const aux = createAuxLoss(shape, runsOn);

  const gradients = zeroTensors(dModel, width);
  const error_BD = new Float32Array(batchRows * dModel);
  const z_BK = new Float32Array(batchRows * k);
  const dz_BK = new Float32Array(batchRows * k);
  const features_BK = new Int32Array(batchRows * k);

  async function runForward(weights: SaeTensors, x_BD: Float32Array): Promise<number> {
    let squaredError = 0;
    for (let b = 0; b < batchRows; b += rows) {
      const part = <T extends Float32Array | Int32Array>(all: T, size: number) =>
        all.subarray(b * size, (b + rows) * size);
      const found = await forward.run(
        {
          x: tensor("float32", part(x_BD, dModel), [rows, dModel]),
          W_enc: tensor("float32", weights.W_enc_FD, [width, dModel]),
          b_enc: tensor("float32", weights.b_enc_F),
          W_dec: tensor("float32", weights.W_dec_FD, [width, dModel]),
          b_dec: tensor("float32", weights.b_dec_D),
        },
        {
          fetch: ["sum", "squaredError"],
          into: {
            z: tensor("float32", part(z_BK, k), [rows, k]),
            dz: tensor("float32", part(dz_BK, k), [rows, k]),
            features: tensor("int32", part(features_BK, k), [rows, k]),
            error: tensor("float32", part(error_BD, dModel), [rows, dModel]),
          },
        },
      );
      expectFinitePreActivations(found.sum!, b);
      for (const square of found.squaredError!.data as Float32Array) squaredError += square;
    }
    return squaredError;
  }

  return {
    gradients,
    async compute(weights, x_BD, dead, { auxCoefficient }) {
      if (x_BD.length !== batchRows * dModel) {
        throw new RangeError(`a batch must be [${batchRows}, ${dModel}], got ${x_BD.length} numbers`);
      }
      const squaredError = await runForward(weights, x_BD);
      const perVariance = 1 / totalVariance(x_BD, dModel);

      // fvu = perVariance · Σ‖error‖², so everything that follows from ½‖error‖² is scaled by 2 · perVariance.
      const scale = 2 * perVariance;
      const entries = sortByFeature(features_BK, z_BK, width);
      sumRowsByFeature(gradients.W_dec_FD, entries, z_BK, error_BD, { k, dModel, scale });
      sumRowsByFeature(gradients.W_enc_FD, entries, dz_BK, x_BD, { k, dModel, scale });
      sumByFeature(gradients.b_enc_F, entries, dz_BK, scale);
      sumRows(gradients.b_dec_D, error_BD, scale);

      const weight = { perVariance, coefficient: auxCoefficient };
      const auxLoss = auxCoefficient > 0 ? await aux.add(gradients, weights, x_BD, error_BD, dead, weight) : 0;

      const fired_F = new Uint8Array(width);
      for (let f = 0; f < width; f++) if (entries.offsets[f + 1]! > entries.offsets[f]!) fired_F[f] = 1;
      return { fvu: squaredError * perVariance, aux: auxLoss, l0: entries.order.length / batchRows, fired_F };
    },
    async close() {
      await forward.close();
      await aux.close();
    },
  };
}

/** Throws RangeError naming the first row whose sum over features is NaN or infinite; rows count from `firstRow`. */
export function expectFinitePreActivations(sum_B: Tensor, firstRow: number): void {
  const row = (sum_B.data as Float32Array).findIndex((sum) => !Number.isFinite(sum));
  if (row >= 0) throw new RangeError(`pre-activations of row ${firstRow + row} are not finite`);
}

/** Σ_b ‖x_b − x̄‖² in float64. Throws RangeError when the rows are all the same: there is nothing to explain. */
export function totalVariance(x_BD: Float32Array, dModel: number): number {
  const rows = x_BD.length / dModel;
  const sum_D = new Float64Array(dModel);
  let squares = 0;
  for (let i = 0; i < x_BD.length; i += dModel) {
    for (let d = 0; d < dModel; d++) {
      const x = x_BD[i + d]!;
      sum_D[d]! += x;
      squares += x * x;
    }
  }
  let meanSquares = 0;
  for (let d = 0; d < dModel; d++) meanSquares += (sum_D[d]! * sum_D[d]!) / rows;
  const variance = squares - meanSquares;
  if (!(variance > squares * 1e-12))
    throw new RangeError(`activations must differ between rows, their variance is ${variance}`);
  return variance;
}

function sumRows(out_D: Float32Array, rows_BD: Float32Array, scale: number): void {
  const sum_D = new Float64Array(out_D.length);
  for (let i = 0; i < rows_BD.length; i += out_D.length) {
    for (let d = 0; d < out_D.length; d++) sum_D[d]! += rows_BD[i + d]!;
  }
  for (let d = 0; d < out_D.length; d++) out_D[d] = sum_D[d]! * scale;
}
