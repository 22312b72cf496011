import { describe, expect, it } from "vitest";
import { featureRedundancy } from "../../../engine/features/coverage.ts";
import { countActive, type FeatureSets, featureCounts, featureSetsOf } from "../../../engine/features/feature-sets.ts";
import { halfSamples, positiveInterval } from "../../../engine/features/half-samples.ts";
import { analyzeSuite, reduceBenchmark } from "../../../engine/features/suite.ts";
import { createRandom, type Random } from "../../../engine/runtime/random.ts";

const WIDTH = 1500;
const SAMPLES = 150;
const ACTIVE = 12;
const TOPICS = 4;

/** Samples of a source with some topics: a third of a sample's features is of all topics, skewed like real firing rates. */
function drawBenchmark(random: Random, shift = 0): FeatureSets {
  const skewed = () => Math.floor(WIDTH * random.float() ** 4);
  const rows = Array.from({ length: SAMPLES }, () => {
    const topic = random.int(TOPICS);
    const own = (i: number) => (i % 3 === 0 ? skewed() : (skewed() * 7 + shift + topic * 371) % WIDTH);
    return Array.from({ length: ACTIVE }, (_, i) => own(i));
  });
  return featureSetsOf(WIDTH, rows);
}

const suiteOf = (random: Random) =>
  analyzeSuite(
    [0, 50].map((shift, i) => reduceBenchmark(`${i}`, drawBenchmark(random, shift), { random, keptDraws: 64 })),
    new Uint8Array(WIDTH),
  );

describe("intervals by random halves", () => {
  it("hold the mean over fresh draws of all samples about as often as they say", () => {
    // 95 % of 120: 114 expected. The spread of the halves is itself known within a tenth only, and a normal interval is not exact.
    const random = createRandom(11);
    const draws = Array.from({ length: 120 }, () => suiteOf(random));
    const coverage = (
      value: (one: (typeof draws)[number]) => number,
      interval: (one: (typeof draws)[number]) => { low: number; high: number } | null,
    ) => {
      const mean = draws.reduce((sum, one) => sum + value(one), 0) / draws.length;
      return draws.filter((one) => interval(one)!.low <= mean && mean <= interval(one)!.high).length / draws.length;
    };
    const benchmark = (one: (typeof draws)[number]) => one.benchmarks[0]!;
    const found = {
      features: coverage(
        (one) => benchmark(one).features,
        (one) => benchmark(one).featuresInterval,
      ),
      redundancy: coverage(
        (one) => benchmark(one).redundancy!,
        (one) => benchmark(one).redundancyInterval,
      ),
      auc: coverage(
        (one) => benchmark(one).coverageAuc!,
        (one) => benchmark(one).coverageAucInterval,
      ),
      overlap: coverage(
        (one) => one.matrices.overlap_DD[1]!,
        ({ overlapInterval: { low_DD, high_DD } }) => ({ low: low_DD[1]!, high: high_DD[1]! }),
      ),
      overlapMin: coverage(
        (one) => one.matrices.overlapMin_DD[1]!,
        ({ overlapMinInterval: { low_DD, high_DD } }) => ({ low: low_DD[1]!, high: high_DD[1]! }),
      ),
    };
    for (const [figure, share] of Object.entries(found)) {
      expect(share, figure).toBeGreaterThanOrEqual(0.87);
    }
    expect(found.redundancy).toBeLessThan(1);
  });

  it("are not those of the bootstrap, which repeats samples and so always finds more redundancy", () => {
    const random = createRandom(4);
    const sets = drawBenchmark(random);
    const rows = Array.from({ length: SAMPLES }, (_, s) => [
      ...sets.indices_Z.subarray(sets.offsets_S1[s]!, sets.offsets_S1[s + 1]!),
    ]);
    const redundancy = featureRedundancy(featureCounts(sets), SAMPLES)!;
    const repeated = Array.from({ length: 40 }, () => {
      const drawn = featureSetsOf(
        WIDTH,
        rows.map(() => rows[random.int(SAMPLES)]!),
      );
      return featureRedundancy(featureCounts(drawn), SAMPLES)!;
    });
    expect(Math.min(...repeated)).toBeGreaterThan(redundancy);
    const halves = halfSamples(sets, featureCounts(sets), { random, keptDraws: 0 })!;
    const { low, high } = positiveInterval(redundancy, halves.redundancy)!;
    expect(low).toBeLessThan(redundancy);
    expect(high).toBeLessThan(Math.max(...repeated));
  });

  it("count the features of a half as if it were a benchmark of its own", () => {
    const sets = drawBenchmark(createRandom(8));
    const halves = halfSamples(sets, featureCounts(sets), { random: createRandom(1), keptDraws: 2 })!;
    // The same order as the draws above: a shuffle of all samples, its first and its second half.
    const order = createRandom(1).shuffle(Uint32Array.from({ length: SAMPLES }, (_, s) => s));
    for (const draw of [0, 1]) {
      const chosen = [...order.subarray(draw * 75, (draw + 1) * 75)];
      const half = featureSetsOf(
        WIDTH,
        chosen.map((s) => sets.indices_Z.subarray(sets.offsets_S1[s]!, sets.offsets_S1[s + 1]!)),
      );
      const counts = featureCounts(half);
      // Features of more than 32 samples are taken as present, with half their count.
      expect(halves.features[draw]).toBe(countActive(counts));
      expect(halves.redundancy[draw]! / featureRedundancy(counts, 75)!).toBeCloseTo(1, 3);
      const bits = halves.active[draw]!;
      for (let f = 0; f < WIDTH; f++) expect((bits[f >>> 5]! >>> (f & 31)) & 1).toBe(counts[f]! > 0 ? 1 : 0);
    }
    expect(halves.active).toHaveLength(2);
  });

  it("are absent where there are too few samples to say, and for a benchmark without features", () => {
    const few = featureSetsOf(
      4,
      Array.from({ length: 19 }, () => [1]),
    );
    expect(halfSamples(few, featureCounts(few), { random: createRandom(0), keptDraws: 1 })).toBeNull();
    const silent = featureSetsOf(
      4,
      Array.from({ length: 30 }, () => []),
    );
    const halves = halfSamples(silent, featureCounts(silent), { random: createRandom(0), keptDraws: 1 });
    expect(positiveInterval(null, halves?.redundancy)).toBeNull();
    expect(positiveInterval(1, Float64Array.of(1, 0))).toBeNull();
  });
});
