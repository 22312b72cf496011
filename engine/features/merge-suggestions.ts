// Which benchmarks a suite could do without.

export interface MergeSuggestion {
  readonly drop: number;
  readonly keep: number;
  /** Share of the dropped one's features that the kept one covers. */
  readonly overlap: number;
  /** Features that the suite then loses, earlier suggestions already followed. */
  readonly lost: number;
}

export interface MergePlan {
  readonly suggestions: readonly MergeSuggestion[];
  readonly featuresLeft: number;
}

export const mergeRule =
  "Of all pairs in which one benchmark covers at least the given share of the other's features, the pair whose dropping loses the suite the fewest features comes first (then the larger overlap, then the earlier benchmark); the covered benchmark is dropped. Repeated among those that are left; what another one was dropped for stays.";

/**
 * @param counts m_j per benchmark
 * @param overlap_DD share of i's features that j covers, row-major; NaN for a benchmark without features, which is never suggested
 */
export function suggestMerges(counts: readonly Uint32Array[], overlap_DD: Float64Array, above: number): MergePlan {
  const size = counts.length;
  const holders_F = new Uint32Array(counts[0]?.length ?? 0);
  for (const counts_F of counts) for (let f = 0; f < holders_F.length; f++) holders_F[f]! += counts_F[f]! > 0 ? 1 : 0;
  let featuresLeft = holders_F.reduce((sum, holders) => sum + (holders > 0 ? 1 : 0), 0);
  const gone = new Set<number>();
  const kept = new Set<number>();
  const suggestions: MergeSuggestion[] = [];
  for (;;) {
    let best: MergeSuggestion | null = null;
    for (let drop = 0; drop < size; drop++) {
      if (gone.has(drop) || kept.has(drop)) continue;
      const lost = countLost(counts[drop]!, holders_F);
      for (let keep = 0; keep < size; keep++) {
        const overlap = overlap_DD[drop * size + keep]!;
        if (keep === drop || gone.has(keep) || !(overlap >= above)) continue;
        if (best === null || lost < best.lost || (lost === best.lost && overlap > best.overlap)) {
          best = { drop, keep, overlap, lost };
        }
      }
    }
    if (best === null) return { suggestions, featuresLeft };
    suggestions.push(best);
    gone.add(best.drop);
    kept.add(best.keep);
    featuresLeft -= best.lost;
    const dropped_F = counts[best.drop]!;
    for (let f = 0; f < holders_F.length; f++) if (dropped_F[f]! > 0) holders_F[f]! -= 1;
  }
}

function countLost(counts_F: Uint32Array, holders_F: Uint32Array): number {
  let lost = 0;
  for (let f = 0; f < counts_F.length; f++) if (counts_F[f]! > 0 && holders_F[f] === 1) lost += 1;
  return lost;
}
