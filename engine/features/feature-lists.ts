// The features to look at: those of one benchmark alone, and those that a pair shares.

export interface CountedFeature {
  readonly feature: number;
  /** Samples that activate it, per benchmark asked about. */
  readonly samples: readonly number[];
}

/** Features that only this benchmark activates, those of the most samples first. */
export function uniqueFeatures(counts: readonly Uint32Array[], benchmark: number, limit: number): CountedFeature[] {
  const own_F = counts[benchmark]!;
  const others = counts.filter((_, i) => i !== benchmark);
  return strongest(own_F.length, limit, (f) => {
    const own = own_F[f]!;
    return own > 0 && others.every((counts_F) => counts_F[f] === 0) ? own : 0;
  }).map((feature) => ({ feature, samples: [own_F[feature]!] }));
}

/** Features that both activate and that are not common in neutral text, those of the largest share of both benchmarks' samples first. */
export function sharedByPair(
  [a, b]: readonly [Uint32Array, Uint32Array],
  [samplesA, samplesB]: readonly [number, number],
  common_F: Uint8Array,
  limit: number,
): CountedFeature[] {
  return strongest(a.length, limit, (f) => (common_F[f] ? 0 : Math.min(a[f]! / samplesA, b[f]! / samplesB))).map(
    (feature) => ({ feature, samples: [a[feature]!, b[feature]!] }),
  );
}

/** The features of the largest scores above 0; among equals the lower number. */
function strongest(width: number, limit: number, scoreOf: (feature: number) => number): number[] {
  const best: { feature: number; score: number }[] = [];
  for (let feature = 0; feature < width; feature++) {
    const score = scoreOf(feature);
    if (!(score > 0) || (best.length === limit && best[limit - 1]!.score >= score)) continue;
    let at = best.length === limit ? limit - 1 : best.length;
    while (at > 0 && best[at - 1]!.score < score) {
      best[at] = best[at - 1]!;
      at -= 1;
    }
    best[at] = { feature, score };
  }
  return best.map(({ feature }) => feature);
}
