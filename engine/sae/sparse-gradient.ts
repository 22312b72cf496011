// Gradients of the two big matrices. Each is a sum of B·K rows into F rows, most of which get one, two or none.
//
// Ways measured for both matrices together, 1024 rows × 50 active at D 1024, F 16384 (2 cores shared with others, ms):
//   this loop, entries sorted by feature, 4 at a time        84–109
//   the same, one entry at a time                            123–190
//   gather + batched MatMul, features bucketed by count      105–199   (19 runs, 20–30 % padding)
//   ScatterND(add), sorted, one thread (2 × 39–64)            78–128   (more threads: races on repeated indices)
//   dense Gemm(transA) (2 × 145 quiet)                       290–1500  (and 128 MiB of mostly zeros)
// and at 2048 rows × 32, D 160, F 2048: 15–22, 30–50, 21–50, –, 63–170.
// The loop is also the only one whose result cannot depend on threads.

/** For each feature its entries: entry numbers `order[offsets[f] … offsets[f+1] − 1]` in ascending order. */
export interface EntriesByFeature {
  readonly offsets: Int32Array;
  readonly order: Int32Array;
}

/** Counting sort of the active entries (z > 0) of [B, K] by feature; equal features keep the order of their rows. */
export function sortByFeature(features_BK: Int32Array, z_BK: Float32Array, width: number): EntriesByFeature {
  const offsets = new Int32Array(width + 1);
  for (let i = 0; i < features_BK.length; i++) if (z_BK[i]! > 0) offsets[features_BK[i]! + 1]! += 1;
  for (let f = 0; f < width; f++) offsets[f + 1]! += offsets[f]!;
  const next = offsets.slice(0, width);
  const order = new Int32Array(offsets[width]!);
  for (let i = 0; i < features_BK.length; i++) {
    if (z_BK[i]! > 0) order[next[features_BK[i]!]!++] = i;
  }
  return { offsets, order };
}

/**
 * out_FD[f] = scale · Σ_{entries i of f} coefficient_BK[i] · rows_BD[⌊i/K⌋]
 *
 * Sums are formed in groups of four in float64 and kept in float32 between groups. Rows of features without entries are 0.
 */
export function sumRowsByFeature(
  out_FD: Float32Array,
  entries: EntriesByFeature,
  coefficient_BK: Float32Array,
  rows_BD: Float32Array,
  { k, dModel, scale }: { k: number; dModel: number; scale: number },
): void {
  const { offsets, order } = entries;
  out_FD.fill(0);
  for (let f = 0; f + 1 < offsets.length; f++) {
    const end = offsets[f + 1]!;
    const out = f * dModel;
    let i = offsets[f]!;
    // Four at a time: the sum is read and written once for four rows, which is what the loop spends its time on.
    for (; i + 4 <= end; i += 4) {
      const [i0, i1, i2, i3] = [order[i]!, order[i + 1]!, order[i + 2]!, order[i + 3]!];
      const c0 = coefficient_BK[i0]! * scale;
      const c1 = coefficient_BK[i1]! * scale;
      const c2 = coefficient_BK[i2]! * scale;
      const c3 = coefficient_BK[i3]! * scale;
      const r0 = Math.floor(i0 / k) * dModel;
      const r1 = Math.floor(i1 / k) * dModel;
      const r2 = Math.floor(i2 / k) * dModel;
      const r3 = Math.floor(i3 / k) * dModel;
      for (let d = 0; d < dModel; d++) {
        out_FD[out + d]! +=
          c0 * rows_BD[r0 + d]! + c1 * rows_BD[r1 + d]! + c2 * rows_BD[r2 + d]! + c3 * rows_BD[r3 + d]!;
      }
    }
    for (; i < end; i++) {
      const c = coefficient_BK[order[i]!]! * scale;
      const row = Math.floor(order[i]! / k) * dModel;
      for (let d = 0; d < dModel; d++) out_FD[out + d]! += c * rows_BD[row + d]!;
    }
  }
}

/** out_F[f] = scale · Σ_{entries i of f} coefficient_BK[i], in float64. */
export function sumByFeature(
  out_F: Float32Array,
  { offsets, order }: EntriesByFeature,
  coefficient_BK: Float32Array,
  scale: number,
): void {
  for (let f = 0; f < out_F.length; f++) {
    let sum = 0;
    for (let i = offsets[f]!; i < offsets[f + 1]!; i++) sum += coefficient_BK[order[i]!]!;
    out_F[f] = scale * sum;
  }
}
