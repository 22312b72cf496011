// The largest activations of a whole batch, found while its pre-activations pass by in parts.

import type { Selection } from "../workspace.ts";

/** How many candidates are held beyond those that will be kept: with room for as many again, few passes over them are made. */
const leastRoom = 65_536;

/**
 * Keeps the `count` largest of the positive numbers it is shown, among equals the one shown first. Exact: a candidate is
 * dropped only when `count` others rank above it. Rows are shown in order.
 */
export function createBatchSelection(count: number) {
  const capacity = count + Math.max(count, leastRoom);
  const values = new Float32Array(capacity);
  // Positive floats have the order of their bits, so their rank can be found by counting bits.
  const bits = new Uint32Array(values.buffer);
  const rows = new Int32Array(capacity);
  const features = new Int32Array(capacity);
  const histogram = new Int32Array(65_536);
  let held = 0;
  let bound = 0;

  /** The value that `count` candidates reach, by its upper 16 bits and then its lower ones. */
  function valueOfRank(): number {
    const upper = rankedBin(held, count, (i) => bits[i]! >>> 16, histogram);
    const lower = rankedBin(
      held,
      upper.left,
      (i) => (bits[i]! >>> 16 === upper.bin ? bits[i]! & 0xffff : -1),
      histogram,
    );
    return new Float32Array(Uint32Array.of(upper.bin * 65_536 + lower.bin).buffer)[0]!;
  }

  function compact(): void {
    if (held <= count) return;
    bound = valueOfRank();
    let above = 0;
    for (let i = 0; i < held; i++) if (values[i]! > bound) above++;
    let equals = count - above;
    let kept = 0;
    for (let i = 0; i < held; i++) {
      if (values[i]! < bound || (values[i] === bound && equals-- <= 0)) continue;
      values[kept] = values[i]!;
      rows[kept] = rows[i]!;
      features[kept++] = features[i]!;
    }
    held = kept;
  }

  return {
    /** Shows some whole rows, of `width` numbers each, the first of which is row `firstRow` of the batch. */
    add(pre_BF: Float32Array, firstRow: number, width: number): void {
      for (let i = 0, row = firstRow; i < pre_BF.length; row++) {
        for (let f = 0; f < width; f++, i++) {
          if (!(pre_BF[i]! > bound)) continue;
          if (held === capacity) compact();
          if (!(pre_BF[i]! > bound)) continue;
          values[held] = pre_BF[i]!;
          rows[held] = row;
          features[held++] = f;
        }
      }
    },
    /** What is kept of a batch of `batchRows` rows; the next batch begins afresh. */
    take(batchRows: number): Selection & { readonly batchThreshold: number } {
      compact();
      const offsets_B = new Int32Array(batchRows + 1);
      for (let i = 0; i < held; i++) offsets_B[rows[i]! + 1]! += 1;
      for (let b = 0; b < batchRows; b++) offsets_B[b + 1]! += offsets_B[b]!;
      let batchThreshold = held === 0 ? 0 : Infinity;
      for (let i = 0; i < held; i++) batchThreshold = Math.min(batchThreshold, values[i]!);
      const taken = { offsets_B, features: features.slice(0, held), z: values.slice(0, held), batchThreshold };
      held = 0;
      bound = 0;
      return taken;
    },
  };
}

/** The bin that holds the `rank`th largest of `length` keys (−1: not counted), and its rank among that bin's. */
function rankedBin(length: number, rank: number, keyOf: (i: number) => number, histogram: Int32Array) {
  histogram.fill(0);
  for (let i = 0; i < length; i++) {
    const key = keyOf(i);
    if (key >= 0) histogram[key]! += 1;
  }
  let bin = histogram.length - 1;
  let left = rank;
  while (histogram[bin]! < left) left -= histogram[bin--]!;
  return { bin, left };
}
