// The active entries of a batch by feature instead of by row.

interface EntryArrays {
  /** Entries of row b and block m: segments_BM[b · M + m] … [b · M + m + 1] − 1. */
  readonly segments_BM: Int32Array;
  readonly features_N: Int32Array;
  /** Entries of feature f, in ascending order of rows: slots offsets_F[f] … offsets_F[f + 1] − 1 of the two below. */
  readonly offsets_F: Int32Array;
  readonly sortedEntry_N: Int32Array;
  readonly sortedRow_N: Int32Array;
}

/** Counting sort by feature of the first `entries` entries; equal features keep the order of their rows. */
export function sortByFeature(
  { segments_BM, features_N, offsets_F, sortedEntry_N, sortedRow_N }: EntryArrays,
  entries: number,
  { batchRows, blocks, width }: { batchRows: number; blocks: number; width: number },
): void {
  // Counted one place on, so that while entries are placed each feature's own number moves from its start to its end.
  offsets_F.fill(0);
  for (let i = 0; i < entries; i++) if (features_N[i]! + 2 <= width) offsets_F[features_N[i]! + 2]! += 1;
  for (let f = 2; f <= width; f++) offsets_F[f]! += offsets_F[f - 1]!;
  for (let b = 0; b < batchRows; b++) {
    for (let i = segments_BM[b * blocks]!; i < segments_BM[(b + 1) * blocks]!; i++) {
      const slot = offsets_F[features_N[i]! + 1]!++;
      sortedEntry_N[slot] = i;
      sortedRow_N[slot] = b;
    }
  }
}
