// Loss and gradients of a batch whose active features somebody selected: everything after the selection, over any number of
// entries per row and any number of nested prefixes of the dictionary.

import type { AuxLoss } from "./aux-loss.ts";
import { sortByFeature } from "./entries.ts";
import { createKernelSet, type RunKernel } from "./kernels/kernel-set.ts";
import { memoryOf, placeArrays, readableWeights, tensorAddresses, zeroTensors } from "./kernels/memory.ts";
import { rowKernels } from "./kernels/row-kernels.ts";
import type { Memory } from "./kernels/webassembly.ts";
import { totalVariance } from "./variance.ts";
import type { BatchShape, GradientWorkspace, RunsOn, SaeTensors, Selection, Selector } from "./workspace.ts";

interface Parts {
  readonly selector: Selector;
  readonly aux: AuxLoss;
  /** Where each nested part of the dictionary ends; the last is the width. */
  readonly prefixEnds: readonly number[];
}

/**
 * Gradients of Σ_m fvu_m + auxCoefficient · aux, where fvu_m is the loss of the features below `prefixEnds[m]` alone.
 *
 *     error_m = Σ_{f < end_m} z_f · W_dec[f] + b_dec − x       S_j = Σ_{m ≥ j} error_m
 *     for f in block j (end_{j−1} ≤ f < end_j):   dz = 2/variance · S_j · W_dec[f],   dW_dec[f] = 2/variance · Σ_b z · S_j,b
 *
 * At most `shape.k` · batchRows entries. The sums are formed by kernels whose order depends on the entries alone.
 */
export function createSparseWorkspace(shape: BatchShape, runsOn: RunsOn, parts: Parts): GradientWorkspace {
  const { dModel, width, batchRows, k } = shape;
  const { selector, aux, prefixEnds } = parts;
  const blocks = prefixEnds.length;
  const capacity = batchRows * k;
  const gradients = zeroTensors(dModel, width, "gradients");
  const { memory, view, at } = placeArrays({
    x_BD: ["float32", batchRows * dModel],
    errors_MBD: ["float32", blocks * batchRows * dModel],
    segments_BM: ["int32", batchRows * blocks + 1],
    features_N: ["int32", capacity],
    z_N: ["float32", capacity],
    dz_N: ["float32", capacity],
    offsets_F: ["int32", width + 1],
    sortedEntry_N: ["int32", capacity],
    sortedRow_N: ["int32", capacity],
    blockOf_F: ["uint8", width],
    keep_F: ["uint8", width],
    squares_BM: ["float32", batchRows * blocks],
  });
  for (let f = 0; f < width; f++) view.blockOf_F[f] = prefixEnds.findIndex((end) => f < end);
  const kernels = createKernelSet(
    ["batch", "gradients", "weights"],
    rowKernels(
      { dModel, batchRows, blocks },
      at,
      tensorAddresses(dModel, width, "weights"),
      tensorAddresses(dModel, width, "gradients"),
    ),
    runsOn.threads ?? 0,
  );
  const bound = new WeakMap<Memory, RunKernel>();

  function on(weights: SaeTensors): RunKernel {
    const weightMemory = readableWeights(weights);
    const run = bound.get(weightMemory) ?? kernels.on(memory, memoryOf(gradients, "gradients"), weightMemory);
    bound.set(weightMemory, run);
    return run;
  }

  /** Takes the selection over, each row's entries in order of their blocks. */
  function place({ offsets_B, features, z }: Selection): number {
    if (features.length > capacity) throw new RangeError(`at most ${capacity} entries, got ${features.length}`);
    const { features_N, z_N, segments_BM, blockOf_F } = view;
    if (blocks === 1) {
      features_N.set(features);
      z_N.set(z);
      segments_BM.set(offsets_B);
      return features.length;
    }
    let held = 0;
    for (let b = 0; b < batchRows; b++) {
      for (let m = 0; m < blocks; m++) {
        segments_BM[b * blocks + m] = held;
        for (let i = offsets_B[b]!; i < offsets_B[b + 1]!; i++) {
          if (blockOf_F[features[i]!] !== m) continue;
          features_N[held] = features[i]!;
          z_N[held++] = z[i]!;
        }
      }
    }
    segments_BM[batchRows * blocks] = held;
    return held;
  }

  /** Σ_b ‖error_m,b‖² of each block m. */
  function squaredErrors(): number[] {
    const squared_M = prefixEnds.map(() => 0);
    for (let i = 0; i < batchRows * blocks; i++) squared_M[i % blocks]! += view.squares_BM[i]!;
    return squared_M;
  }

  /** AuxK's gradients are written first, to rows that the kernel then adds to. */
  async function addAux(weights: SaeTensors, dead: Int32Array, coefficient: number, perVariance: number) {
    view.keep_F.fill(0);
    if (coefficient === 0 || dead.length === 0) return 0;
    for (const f of dead) {
      view.keep_F[f] = 1;
      gradients.W_enc_FD.fill(0, f * dModel, (f + 1) * dModel);
      gradients.W_dec_FD.fill(0, f * dModel, (f + 1) * dModel);
      gradients.b_enc_F[f] = 0;
    }
    const lastError_BD = view.errors_MBD.subarray((blocks - 1) * batchRows * dModel);
    return aux.add(gradients, weights, view.x_BD, lastError_BD, dead, { perVariance, coefficient });
  }

  return {
    gradients,
    async compute(weights, x_BD, dead, { auxCoefficient, k: kNow }) {
      if (x_BD.length !== batchRows * dModel) {
        throw new RangeError(`a batch must be [${batchRows}, ${dModel}], got ${x_BD.length} numbers`);
      }
      view.x_BD.set(x_BD);
      const run = on(weights);
      const selection = await selector.select(weights, view.x_BD, kNow);
      const entries = place(selection);
      run("decode", batchRows);
      const squared_M = squaredErrors();
      const perVariance = 1 / totalVariance(x_BD, dModel);
      const auxLoss = await addAux(weights, dead, auxCoefficient, perVariance);

      // fvu = perVariance · Σ‖error‖², so everything that follows from ½‖error‖² is scaled by 2 · perVariance.
      const scale = 2 * perVariance;
      sortByFeature(view, entries, { batchRows, blocks, width });
      run("sumByFeature", width, scale);
      sumRows(gradients.b_dec_D, view.errors_MBD.subarray(0, batchRows * dModel), scale);

      const fired_F = new Uint8Array(width);
      for (let f = 0; f < width; f++) if (view.offsets_F[f + 1]! > view.offsets_F[f]!) fired_F[f] = 1;
      const { batchThreshold } = selection;
      return {
        fvu: squared_M.at(-1)! * perVariance,
        reconstruction: squared_M.reduce((sum, squared) => sum + squared, 0) * perVariance,
        aux: auxLoss,
        l0: entries / batchRows,
        fired_F,
        ...(batchThreshold === undefined ? {} : { batchThreshold }),
      };
    },
    async close() {
      kernels.close();
      await selector.close();
      await aux.close();
    },
  };
}

function sumRows(out_D: Float32Array, rows_BD: Float32Array, scale: number): void {
  const sum_D = new Float64Array(out_D.length);
  for (let i = 0; i < rows_BD.length; i += out_D.length) {
    for (let d = 0; d < out_D.length; d++) sum_D[d]! += rows_BD[i + d]!;
  }
  for (let d = 0; d < out_D.length; d++) out_D[d] = sum_D[d]! * scale;
}
