// TopK without most of the encoder's product: an 8-bit product says which features can be among a row's k largest, and only
// those get their pre-activation in float32. See kernels/screening-kernels.ts for the bounds.

import { openSession } from "../runtime/session.ts";
import { tensor } from "../runtime/tensor.ts";
import { integerProductGraph } from "./graphs.ts";
import { createKernelSet, type RunKernel } from "./kernels/kernel-set.ts";
import { placeArrays, readableWeights, tensorAddresses } from "./kernels/memory.ts";
import { screeningKernels } from "./kernels/screening-kernels.ts";
import type { Memory } from "./kernels/webassembly.ts";
import type { BatchShape, RunsOn, SaeTensors, Selector } from "./workspace.ts";

/**
 * How many standard deviations of the rounding errors' sum a bound allows for. Errors of D roundings add up like independent
 * ones, to 1/√D of their certain bound ‖δx‖‖w‖ + ‖x‖‖δw‖; where that many deviations are more than the certain bound, the
 * certain one is taken. What was rounded to 0 always has the certain one: see `createResidue`.
 */
const deviations = 6;

/** What can be screened: rows of whole vectors, and enough groups of features that k of them stand for the k largest. */
export function canBeScreened({ dModel, width, k, microBatchRows }: BatchShape): boolean {
  return dModel % 16 === 0 && dModel >= 64 && microBatchRows % 16 === 0 && groupSizeOf(width, k) !== null;
}

function groupSizeOf(width: number, k: number): number | null {
  return [16, 8, 4].find((size) => width % (size * parts) === 0 && width / size >= 4 * k) ?? null;
}

/** The dictionary in so many parts, whatever the threads: a part whose candidates do not fit must not depend on them. */
const parts = 8;
/** Room for candidates: one in so many pre-activations. Beyond it an exact product is as fast. */
const candidateShare = 8;

export interface Screening extends Selector {
  /** Since it was opened: rows selected, candidates valued, micro-batches whose candidates did not fit. */
  readonly counts: { readonly rows: number; readonly candidates: number; readonly overflows: number };
}

/**
 * Selects the k largest positive pre-activations of each row, in ascending order of features; among equals the lowest.
 * `dense` selects where the bounds leave too many candidates. Throws RangeError naming the row when a pre-activation may not be finite.
 */
export async function openScreenedTopK(shape: BatchShape, runsOn: RunsOn, dense: Selector): Promise<Screening> {
  const { dModel, width, k: most, batchRows, microBatchRows: rows } = shape;
  const groupSize = groupSizeOf(width, most)!;
  const weightLevels = (await keepsSumsOfBytes(runsOn)) ? 127 : 63;
  const session = await openSession(integerProductGraph(dModel, width, weightLevels + 1), runsOn);
  const partCapacity = Math.ceil((rows * width) / (parts * candidateShare)) + rows;
  const capacity = parts * partCapacity;
  const { memory, view, at } = placeArrays({
    x_BD: ["float32", rows * dModel],
    centre_D: ["float32", dModel],
    quantised_FD: ["uint8", width * dModel],
    scale_F: ["float32", width],
    norm_F: ["float32", width],
    residue_F: ["float32", width],
    bias_F: ["float32", width],
    slack_F: ["float32", width],
    quantised_DR: ["int8", dModel * rows],
    perScale_R: ["float32", rows],
    norm_R: ["float32", rows],
    residue_R: ["float32", rows],
    spread_R: ["float32", rows],
    acc_FR: ["int32", width * rows],
    maxima_RG: ["float32", (width / groupSize) * rows],
    least_R: ["float32", rows],
    candidatesFrom_F: ["int32", width],
    candidatesTo_F: ["int32", width],
    candidateLane_C: ["int32", capacity],
    candidateValue_C: ["float32", capacity],
    overflow: ["int32", 1],
    rowFrom_R: ["int32", rows],
    rowTo_R: ["int32", rows],
    rowFeature_C: ["int32", capacity + 4 * rows],
    rowValue_C: ["float32", capacity + 4 * rows],
    count_R: ["int32", rows],
    chosenFeature_RK: ["int32", rows * most],
    chosenValue_RK: ["float32", rows * most],
  });
  const margin = Math.min(1, deviations / Math.sqrt(dModel));
  const sizes = { dModel, width, rows, groupSize, parts, partCapacity, weightLevels, margin };
  const kernels = createKernelSet(
    ["batch", "gradients", "weights"],
    screeningKernels(sizes, at, tensorAddresses(dModel, width, "weights")),
    runsOn.threads ?? 0,
  );
  const bound = new WeakMap<Memory, RunKernel>();

  const z = new Float32Array(batchRows * most);
  const features = new Int32Array(batchRows * most);
  const offsets_B = new Int32Array(batchRows + 1);
  const counts = { rows: 0, candidates: 0, overflows: 0 };

  function bindTo(weights: SaeTensors): RunKernel {
    const weightMemory = readableWeights(weights);
    const run = bound.get(weightMemory) ?? kernels.on(memory, memory, weightMemory);
    bound.set(weightMemory, run);
    return run;
  }

  /** Fills slack and spread, so that slack_f · spread_b bounds the error of the pair in units of the row. */
  function boundErrors(firstRow: number): void {
    const { norm_F, residue_F, slack_F, perScale_R, norm_R, residue_R, spread_R } = view;
    let largestNorm = 0;
    for (let f = 0; f < width; f++) largestNorm = Math.max(largestNorm, norm_F[f]!);
    let ratio = 0;
    for (let r = 0; r < rows; r++) {
      if (!Number.isFinite(norm_R[r]! * largestNorm)) {
        throw new RangeError(`pre-activations of row ${firstRow + r} are not finite`);
      }
      // A row that rounding took nothing from still has its share of the weights' rounding.
      const residue = Math.max(residue_R[r]!, norm_R[r]! * 1e-4, 1e-30);
      ratio = Math.max(ratio, norm_R[r]! / residue);
      spread_R[r] = residue * perScale_R[r]!;
    }
    for (let f = 0; f < width; f++) slack_F[f] = norm_F[f]! + ratio * residue_F[f]!;
  }

  /** Candidates by feature become candidates by row, still in ascending order of features. */
  function groupByRow(): number {
    const { candidatesFrom_F, candidatesTo_F, candidateLane_C, candidateValue_C } = view;
    const { rowFrom_R, rowTo_R, rowFeature_C, rowValue_C, count_R } = view;
    count_R.fill(0);
    let candidates = 0;
    for (let part = 0; part < parts; part++) {
      const [first, last] = [(part * width) / parts, ((part + 1) * width) / parts - 1];
      for (let i = candidatesFrom_F[first]!; i < candidatesTo_F[last]!; i++) count_R[candidateLane_C[i]!]! += 1;
    }
    let start = 0;
    for (let r = 0; r < rows; r++) {
      rowFrom_R[r] = start;
      rowTo_R[r] = start;
      candidates += count_R[r]!;
      start += Math.ceil(count_R[r]! / 4) * 4;
      rowValue_C.fill(0, Math.max(rowFrom_R[r]!, start - 4), start);
    }
    for (let f = 0; f < width; f++) {
      for (let i = candidatesFrom_F[f]!; i < candidatesTo_F[f]!; i++) {
        const slot = rowTo_R[candidateLane_C[i]!]!++;
        rowFeature_C[slot] = f;
        rowValue_C[slot] = candidateValue_C[i]!;
      }
    }
    for (let r = 0; r < rows; r++) rowTo_R[r] = Math.ceil(rowTo_R[r]! / 4) * 4;
    return candidates;
  }

  return {
    counts,
    async select(weights, x_BD, k) {
      const run = bindTo(weights);
      fillWithMean(view.centre_D, x_BD);
      run("quantiseWeights", width);
      let held = 0;
      for (let b = 0; b < batchRows; b += rows) {
        const part_BD = x_BD.subarray(b * dModel, (b + rows) * dModel);
        view.x_BD.set(part_BD);
        run("quantiseRows", rows, 0);
        boundErrors(b);
        await session.run(
          {
            weights: tensor("uint8", view.quantised_FD, [width, dModel]),
            x: tensor("int8", view.quantised_DR, [dModel, rows]),
          },
          { fetch: [], into: { products: tensor("int32", view.acc_FR, [width, rows]) } },
        );
        run("groupMaxima", width / groupSize);
        run("leastOfRows", rows / 4, k);
        view.overflow[0] = 0;
        run("collect", parts);
        counts.rows += rows;
        if (view.overflow[0] !== 0) {
          counts.overflows++;
          held = await takeDense(dense, weights, part_BD, k, held, b);
          continue;
        }
        run("valueCandidates", width, 0);
        counts.candidates += groupByRow();
        run("chooseLargest", rows, k, most);
        for (let r = 0; r < rows; r++) {
          const [from, count] = [r * most, view.count_R[r]!];
          features.set(view.chosenFeature_RK.subarray(from, from + count), held);
          z.set(view.chosenValue_RK.subarray(from, from + count), held);
          held += count;
          offsets_B[b + r + 1] = held;
        }
      }
      return { offsets_B, features: features.subarray(0, held), z: z.subarray(0, held) };
    },
    async close() {
      kernels.close();
      await session.close();
      await dense.close();
    },
  };

  async function takeDense(
    selector: Selector,
    weights: SaeTensors,
    part_BD: Float32Array,
    k: number,
    held: number,
    firstRow: number,
  ): Promise<number> {
    const found = await selector.select(weights, part_BD, k);
    features.set(found.features, held);
    z.set(found.z, held);
    for (let r = 0; r < rows; r++) offsets_B[firstRow + r + 1] = held + found.offsets_B[r + 1]!;
    return held + found.features.length;
  }
}

function fillWithMean(mean_D: Float32Array, x_BD: Float32Array): void {
  const dModel = mean_D.length;
  const sum_D = new Float64Array(dModel);
  for (let i = 0; i < x_BD.length; i += dModel) for (let d = 0; d < dModel; d++) sum_D[d]! += x_BD[i + d]!;
  for (let d = 0; d < dModel; d++) mean_D[d] = (sum_D[d]! * dModel) / x_BD.length;
}

let keeps: Promise<boolean> | undefined;

/**
 * Whether this processor adds products of bytes in full. Those without dot-product instructions add them in pairs of 16
 * bits, which products of 255 and 127 overflow; with half the levels for weights they cannot.
 */
function keepsSumsOfBytes(runsOn: RunsOn): Promise<boolean> {
  keeps ??= (async () => {
    const [width, dModel, rows] = [64, 64, 16];
    const session = await openSession(integerProductGraph(dModel, width, 128), runsOn);
    const { products } = await session.run({
      weights: tensor("uint8", new Uint8Array(width * dModel).fill(255), [width, dModel]),
      x: tensor("int8", new Int8Array(dModel * rows).fill(127), [dModel, rows]),
    });
    await session.close();
    return (products!.data as Int32Array).every((product) => product === 127 * 127 * dModel);
  })();
  return keeps;
}
