import { describe, expect, it } from "vitest";
import { createBenchmarkCollector, unitedSets } from "../../../engine/features/benchmark-features.ts";
import { sharedByPair, uniqueFeatures } from "../../../engine/features/feature-lists.ts";
import { featureCounts, featureSetsOf } from "../../../engine/features/feature-sets.ts";
import { randomBaseline } from "../../../engine/features/random-baseline.ts";
import { stabilityOf } from "../../../engine/features/stability.ts";

const WIDTH = 9;
const ROWS = [[0, 1], [0, 2, 3], [0], [4, 5], [0, 4], [1, 4, 6], [7]];

describe("overlap expected of random features of equal firing rates", () => {
  it("is the mean over every way of dealing the samples to the benchmarks", () => {
    const sizes = [3, 4] as const;
    const counts = [ROWS.slice(0, 3), ROWS.slice(3)].map((rows) => featureCounts(featureSetsOf(WIDTH, rows)));
    const [sum, deals] = [new Float64Array(3), { count: 0 }];
    for (let mask = 0; mask < 2 ** ROWS.length; mask++) {
      const first = ROWS.filter((_, i) => (mask >> i) & 1);
      if (first.length !== sizes[0]) continue;
      const a = new Set(first.flat());
      const b = new Set(ROWS.filter((row) => !first.includes(row)).flat());
      sum[0]! += a.size;
      sum[1]! += b.size;
      sum[2]! += [...a].filter((feature) => b.has(feature)).length;
      deals.count += 1;
    }
    const { features_D, overlap_DD, overlapMin_DD } = randomBaseline(counts, sizes);
    expect(features_D[0]).toBeCloseTo(sum[0]! / deals.count, 12);
    expect(features_D[1]).toBeCloseTo(sum[1]! / deals.count, 12);
    expect(overlap_DD[1]).toBeCloseTo(sum[2]! / sum[0]!, 12);
    expect(overlap_DD[2]).toBeCloseTo(sum[2]! / sum[1]!, 12);
    expect(overlapMin_DD[1]).toBeCloseTo(sum[2]! / Math.min(sum[0]!, sum[1]!), 12);
    expect(overlap_DD[0]).toBe(1);
  });

  it("is undefined where nothing fires", () => {
    expect(randomBaseline([new Uint32Array(3), new Uint32Array(3)], [2, 2]).overlap_DD[1]).toBeNaN();
  });
});

describe("what is collected of a benchmark", () => {
  function collected(k: number | null) {
    const collector = createBenchmarkCollector(WIDTH, k);
    // Two tokens in the first sample, in no order of value; 0 is not active.
    collector.addToken([2, 5, 1, 7], [1, 4, 3, 0]);
    collector.addToken([5, 8], [6, 2]);
    collector.endSample();
    collector.endSample();
    collector.addToken([5, 2], [5, 2]);
    collector.endSample();
    return collector.finish();
  }

  it("is the set of each sample, and the samples in which a feature is strongest, strongest first", () => {
    const { sets, examples } = collected(null);
    expect([...sets.offsets_S1]).toEqual([0, 4, 4, 6]);
    expect([...sets.indices_Z]).toEqual([1, 2, 5, 8, 2, 5]);
    expect([...examples.features_A]).toEqual([1, 2, 5, 8]);
    expect([...examples.samples_AE]).toEqual([0, -1, -1, 2, 0, -1, 0, 2, -1, 0, -1, -1]);
    expect([...examples.activations_AE.subarray(6, 8)]).toEqual([6, 5]);
  });

  it("and how many samples have a feature among the strongest half and quarter of a token's", () => {
    const { levels } = collected(4);
    expect(levels.map(({ k, features_A, counts_A }) => [k, [...features_A], [...counts_A]])).toEqual([
      [2, [1, 2, 5, 8], [1, 1, 2, 1]],
      [1, [5], [2]],
    ]);
    expect(collected(null).levels).toEqual([]);
  });

  it("refuses a feature that the sae does not have, and a NaN", () => {
    const collector = createBenchmarkCollector(WIDTH, null);
    expect(() => collector.addToken([WIDTH], [1])).toThrow("expected an integer in [0, 9), got 9");
    expect(() => collector.addToken([1], [Number.NaN])).toThrow("NaN");
  });

  it("of several saes is one set over all of their features", () => {
    const a = featureSetsOf(3, [[0, 2], [1]]);
    const b = featureSetsOf(2, [[1], [0, 1]]);
    const union = unitedSets([a, b]);
    expect(union.width).toBe(5);
    expect([...union.indices_Z]).toEqual([0, 2, 4, 1, 3, 4]);
    expect([...union.offsets_S1]).toEqual([0, 3, 6]);
    expect(unitedSets([a])).toBe(a);
  });
});

describe("features to look at", () => {
  const a = Uint32Array.of(10, 4, 0, 6, 6);
  const b = Uint32Array.of(20, 0, 3, 18, 6);

  it("are those that one benchmark alone activates, of the most samples first", () => {
    expect(uniqueFeatures([a, b], 0, 5)).toEqual([{ feature: 1, samples: [4] }]);
    expect(uniqueFeatures([Uint32Array.of(1, 3, 3, 2), new Uint32Array(4)], 0, 3).map((one) => one.feature)).toEqual([
      1, 2, 3,
    ]);
  });

  it("or that a pair shares, by the share of both, without what is common in neutral text", () => {
    const common_F = Uint8Array.of(1, 0, 0, 0, 0);
    expect(sharedByPair([a, b], [10, 20], common_F, 5)).toEqual([
      { feature: 3, samples: [6, 18] },
      { feature: 4, samples: [6, 6] },
    ]);
  });
});

describe("stability", () => {
  it("is 1 between variants that rank alike, −1 between opposites, absent where all are the same", () => {
    const counts = [Uint32Array.of(5, 5, 0), Uint32Array.of(5, 0, 0), Uint32Array.of(1, 1, 1)];
    const { redundancySpearman, variants } = stabilityOf(
      [
        { counts },
        { counts: counts.map((own) => own.map((one) => 2 * one)) },
        { counts: counts.map(() => counts[0]!) },
      ],
      [10, 10, 10],
    );
    expect(redundancySpearman[0]).toEqual([1, 1, null]);
    expect([...variants[0]!.features_D]).toEqual([2, 1, 3]);
  });
});
