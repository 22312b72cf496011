import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countSpareSamples, greedyCoreset, greedyGuarantee } from "../../../engine/features/coreset.ts";
import { featureCounts, featureSetsOf } from "../../../engine/features/feature-sets.ts";
import { suggestMerges } from "../../../engine/features/merge-suggestions.ts";
import { overlapMatrices } from "../../../engine/features/overlap.ts";

const WIDTH = 14;
const rows = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: WIDTH - 1 }), { maxLength: 6 }), {
  minLength: 1,
  maxLength: 9,
});

/** For each number of samples, the most features that any choice of so many covers. */
function bestCover(samples: readonly number[][]): number[] {
  const best = Array<number>(samples.length + 1).fill(0);
  for (let mask = 0; mask < 2 ** samples.length; mask++) {
    const chosen = samples.filter((_, i) => (mask >> i) & 1);
    const covered = new Set(chosen.flat()).size;
    best[chosen.length] = Math.max(best[chosen.length]!, covered);
  }
  return best;
}

describe("the greedy choice of samples", () => {
  it("takes at every step a sample that adds most, until every feature is covered", () => {
    fc.assert(
      fc.property(rows, (samples) => {
        const { samples: order, covered, features } = greedyCoreset([featureSetsOf(WIDTH, samples)]);
        const seen = new Set<number>();
        for (const [i, sample] of order.entries()) {
          const gains = samples.map((row) => row.filter((feature) => !seen.has(feature)).length);
          expect(gains[sample]).toBe(Math.max(...gains));
          for (const feature of samples[sample]!) seen.add(feature);
          expect(covered[i]).toBe(seen.size);
        }
        expect(seen.size).toBe(new Set(samples.flat()).size);
        expect(features).toBe(seen.size);
      }),
    );
  });

  it("keeps its guarantees against the best of all choices", () => {
    fc.assert(
      fc.property(rows, (samples) => {
        const { covered, features, targets } = greedyCoreset([featureSetsOf(WIDTH, samples)]);
        const best = bestCover(samples);
        for (const [i, count] of covered.entries()) {
          expect(count).toBeGreaterThanOrEqual(greedyGuarantee * best[i + 1]! - 1e-9);
        }
        for (const { share, samples: needed, atLeast, timesOptimum } of targets) {
          const optimum = best.findIndex((count) => count >= share * features - 1e-9);
          expect(atLeast).toBeLessThanOrEqual(optimum);
          expect(needed).toBeLessThanOrEqual(timesOptimum * optimum + 1e-9);
          expect(needed).toBeGreaterThanOrEqual(optimum);
        }
      }),
    );
  });

  it("over several benchmarks is that over all of their samples", () => {
    fc.assert(
      fc.property(rows, rows, (a, b) => {
        const apart = greedyCoreset([featureSetsOf(WIDTH, a), featureSetsOf(WIDTH, b)]);
        const together = greedyCoreset([featureSetsOf(WIDTH, [...a, ...b])]);
        expect([...apart.samples].map((sample, i) => sample + apart.set[i]! * a.length)).toEqual([...together.samples]);
        expect(apart.covered).toEqual(together.covered);
      }),
    );
  });

  it("knows the samples that could go one at a time, and the empty benchmark", () => {
    const sets = featureSetsOf(WIDTH, [[0, 1], [0], [1], [2], []]);
    expect(countSpareSamples(sets, featureCounts(sets))).toBe(4);
    expect(greedyCoreset([sets]).samples).toHaveLength(2);
    expect(greedyCoreset([featureSetsOf(WIDTH, [[], []])])).toMatchObject({ features: 0, targets: [] });
  });
});

describe("benchmarks to merge", () => {
  const counts = [
    Uint32Array.of(1, 1, 1, 1, 0, 0), // the whole
    Uint32Array.of(1, 1, 0, 0, 0, 0), // a part of it
    Uint32Array.of(1, 1, 1, 0, 1, 0), // three quarters of it, and one feature of its own
    Uint32Array.of(0, 0, 0, 0, 0, 1), // apart
  ];
  const { overlap_DD } = overlapMatrices(counts);

  it("are those that lose least first, and what another was dropped for stays", () => {
    expect(suggestMerges(counts, overlap_DD, 0.75)).toEqual({
      suggestions: [
        { drop: 1, keep: 0, overlap: 1, lost: 0 },
        { drop: 2, keep: 0, overlap: 0.75, lost: 1 },
      ],
      featuresLeft: 5,
    });
  });

  it("are none where nobody covers enough, and never one without features", () => {
    expect(suggestMerges(counts.slice(2), overlapMatrices(counts.slice(2)).overlap_DD, 0.1).suggestions).toEqual([]);
    const empty = [counts[0]!, new Uint32Array(6)];
    expect(suggestMerges(empty, overlapMatrices(empty).overlap_DD, 0.1).suggestions).toEqual([]);
  });
});
