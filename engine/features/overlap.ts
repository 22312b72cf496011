/**
 * How much the feature sets of benchmarks share, as matrices over benchmarks (D of them, row-major, D × D).
 *
 * Sources: Qwen-Scope, section 4, Eqs. 10 and 11. An empty F(D) makes its ratios undefined: the entry is NaN, which
 * the writers turn into `null` and an empty cell, never into a zero that reads as "no overlap".
 */
export interface OverlapMatrices {
  readonly size: number;
  /** |F(D_i)| */
  readonly features_D: Uint32Array;
  /** |F(D_i) ∩ F(D_j)| */
  readonly shared_DD: Uint32Array;
  /** overlap(i, j) = |F(D_i) ∩ F(D_j)| / |F(D_i)|: the share of i's features that j covers. Not symmetric (Eq. 10). */
  readonly overlap_DD: Float64Array;
  /** |F(D_i) ∩ F(D_j)| / min(|F(D_i)|, |F(D_j)|): 1 when one contains the other (Eq. 11). */
  readonly overlapMin_DD: Float64Array;
  /** |F(D_i) ∩ F(D_j)| / |F(D_i) ∪ F(D_j)| */
  readonly jaccard_DD: Float64Array;
  /** Features of F(D_i) that no other benchmark activates: what the suite loses without it. */
  readonly unique_D: Uint32Array;
  /** The same as a share of F(D_i). 1 for a single benchmark. */
  readonly uniqueness_D: Float64Array;
}

/**
 * All pairwise overlaps of the active features of several benchmarks.
 *
 * @param counts per benchmark m_j, as from `featureCounts`; all of one width
 * @throws RangeError when widths differ or there is no benchmark
 */
export function overlapMatrices(counts: readonly Uint32Array[]): OverlapMatrices {
  const size = counts.length;
  const width = counts[0]?.length;
  if (width === undefined) throw new RangeError("counts: expected at least one benchmark");
  const bits = counts.map((counts_F, i) => {
    if (counts_F.length !== width) {
      throw new RangeError(`counts of benchmark ${i}: expected ${width} features, got ${counts_F.length}`);
    }
    return activeBits(counts_F);
  });

  const shared_DD = new Uint32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const shared = sharedFeatures(bits[i]!, bits[j]!);
      shared_DD[i * size + j] = shared;
      shared_DD[j * size + i] = shared;
    }
  }
  const features_D = Uint32Array.from({ length: size }, (_, i) => shared_DD[i * size + i]!);

  const overlap_DD = new Float64Array(size * size);
  const overlapMin_DD = new Float64Array(size * size);
  const jaccard_DD = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const at = i * size + j;
      const shared = shared_DD[at]!;
      overlap_DD[at] = shared / features_D[i]!;
      overlapMin_DD[at] = shared / Math.min(features_D[i]!, features_D[j]!);
      jaccard_DD[at] = shared / (features_D[i]! + features_D[j]! - shared);
    }
  }
  const unique_D = uniqueFeatures(bits);
  const uniqueness_D = Float64Array.from(unique_D, (unique, i) => unique / features_D[i]!);
  return { size, features_D, shared_DD, overlap_DD, overlapMin_DD, jaccard_DD, unique_D, uniqueness_D };
}

/** A D × D matrix as nested arrays for JSON; undefined ratios become null. */
export function matrixRows(matrix_DD: Float64Array, size: number): (number | null)[][] {
  return Array.from({ length: size }, (_, i) =>
    Array.from(matrix_DD.subarray(i * size, (i + 1) * size), (value) => (Number.isNaN(value) ? null : value)),
  );
}

/** Features that any of the benchmarks activates. */
export function countTogether(counts: readonly Uint32Array[]): number {
  const any = new Uint8Array(counts[0]?.length ?? 0);
  for (const counts_F of counts) for (let f = 0; f < any.length; f++) any[f]! |= counts_F[f]! > 0 ? 1 : 0;
  return any.reduce((sum, one) => sum + one, 0);
}

function activeBits(counts_F: Uint32Array): Uint32Array {
  const bits = new Uint32Array(Math.ceil(counts_F.length / 32));
  for (let feature = 0; feature < counts_F.length; feature++) {
    if (counts_F[feature]! > 0) bits[feature >>> 5]! |= 1 << (feature & 31);
  }
  return bits;
}

/** |F_i ∩ F_j| of two sets as bits. */
export function sharedFeatures(a: Uint32Array, b: Uint32Array): number {
  let size = 0;
  for (let word = 0; word < a.length; word++) size += popCount(a[word]! & b[word]!);
  return size;
}

function uniqueFeatures(bits: readonly Uint32Array[]): Uint32Array {
  const words = bits[0]!.length;
  const once = new Uint32Array(words);
  const twice = new Uint32Array(words);
  for (const active of bits) {
    for (let word = 0; word < words; word++) {
      twice[word]! |= once[word]! & active[word]!;
      once[word]! |= active[word]!;
    }
  }
  return Uint32Array.from(bits, (active) => {
    let unique = 0;
    for (let word = 0; word < words; word++) unique += popCount(active[word]! & ~twice[word]!);
    return unique;
  });
}

/** Number of set bits of a 32-bit word, by adding neighbouring pairs, nibbles and bytes. */
function popCount(word: number): number {
  let v = word - ((word >>> 1) & 0x5555_5555);
  v = (v & 0x3333_3333) + ((v >>> 2) & 0x3333_3333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
