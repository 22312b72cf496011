import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  coverageAuc,
  coverageCurve,
  featureRedundancy,
  logMissProbability,
  MAX_CURVE_POINTS,
} from "../../../engine/features/coverage.ts";
import { countActive, featureCounts, featureSetsOf } from "../../../engine/features/feature-sets.ts";

const WIDTH = 12;

/** Up to 8 samples over 12 features, at least one of which is active. */
const smallBenchmark = fc
  .array(fc.uniqueArray(fc.integer({ min: 0, max: WIDTH - 1 }), { maxLength: 6 }), { minLength: 1, maxLength: 8 })
  .filter((rows) => rows.some((row) => row.length > 0));

/** c_n by definition: the mean over every subset of size n of |F(S)| / |F(D)| (Eq. 7). */
function coverageByEnumeration(rows: readonly number[][]): number[] {
  const all = new Set(rows.flat()).size;
  const sums = new Float64Array(rows.length + 1);
  const subsets = new Float64Array(rows.length + 1);
  for (let mask = 1; mask < 2 ** rows.length; mask++) {
    const chosen = rows.filter((_, i) => (mask >> i) & 1);
    sums[chosen.length]! += new Set(chosen.flat()).size / all;
    subsets[chosen.length]! += 1;
  }
  return Array.from(sums.subarray(1), (sum, i) => sum / subsets[i + 1]!);
}

function countsOf(rows: readonly number[][], width = WIDTH): Uint32Array {
  return featureCounts(featureSetsOf(width, rows));
}

describe("the expected coverage of random subsets", () => {
  it("equals the mean over every subset of every size", () => {
    fc.assert(
      fc.property(smallBenchmark, (rows) => {
        const curve = coverageCurve(countsOf(rows), rows.length);
        const expected = coverageByEnumeration(rows);
        expect(curve.samples).toEqual(expected.map((_, i) => i + 1));
        for (const [i, value] of expected.entries()) expect(curve.coverage[i]).toBeCloseTo(value, 12);
      }),
    );
  });

  it("gives Eq. 8 and Eq. 9 of the enumerated curve in closed form", () => {
    fc.assert(
      fc.property(smallBenchmark, (rows) => {
        const counts = countsOf(rows);
        const sum = coverageByEnumeration(rows).reduce((a, b) => a + b, 0);
        expect(coverageAuc(counts, rows.length)).toBeCloseTo(sum / rows.length, 12);
        expect(featureRedundancy(counts, rows.length)).toBeCloseTo(sum / countActive(counts), 12);
      }),
    );
  });

  it("never falls, stays within (0, 1], and reaches 1 with the whole benchmark", () => {
    const counts = fc.integer({ min: 1, max: 5_000 }).chain((total) =>
      fc.record({
        total: fc.constant(total),
        counts: fc.array(fc.integer({ min: 0, max: total }), { minLength: 1, maxLength: 40 }),
      }),
    );
    fc.assert(
      fc.property(counts, ({ total, counts }) => {
        fc.pre(counts.some((count) => count > 0));
        const { samples, coverage } = coverageCurve(Uint32Array.from(counts), total, 64);
        expect(samples.length).toBeLessThanOrEqual(64);
        expect(samples[0]).toBe(1);
        expect(samples.at(-1)).toBe(total);
        expect(coverage.at(-1)).toBe(1);
        for (let i = 0; i < coverage.length; i++) {
          expect(coverage[i]).toBeGreaterThan(0);
          expect(coverage[i]).toBeLessThanOrEqual(1);
          if (i > 0) expect(coverage[i]! - coverage[i - 1]!).toBeGreaterThanOrEqual(-1e-15);
          if (i > 0) expect(samples[i]).toBeGreaterThan(samples[i - 1]!);
        }
      }),
    );
  });

  it("does not depend on the order of samples or on the names of features", () => {
    fc.assert(
      fc.property(smallBenchmark, fc.integer({ min: 1, max: WIDTH - 1 }), (rows, shift) => {
        const renamed = rows.toReversed().map((row) => row.map((feature) => (feature + shift) % WIDTH));
        expect(coverageCurve(countsOf(renamed), rows.length)).toEqual(coverageCurve(countsOf(rows), rows.length));
        expect(featureRedundancy(countsOf(renamed), rows.length)).toBe(featureRedundancy(countsOf(rows), rows.length));
      }),
    );
  });

  it("matches exact rational arithmetic", () => {
    // Python: from fractions import Fraction; from math import comb
    //   m = [1, 1, 2, 3, 5, …, 377]; N = 500
    //   sum(1 - Fraction(comb(N - x, n), comb(N, n)) for x in m) / len(m), and Eqs. 8 and 9 summed over n
    const counts = Uint32Array.of(1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377);
    const { samples, coverage } = coverageCurve(counts, 500);
    const golden = [
      [1, 0.14085714285714285],
      [2, 0.21615917549384484],
      [10, 0.4284686431346393],
      [100, 0.7640109981481744],
      [250, 0.8994165845799538],
      [499, 0.9997142857142857],
      [500, 1.0],
    ] as const;
    for (const [drawn, expected] of golden) {
      expect(Math.abs(coverage[samples.indexOf(drawn)]! - expected) / expected).toBeLessThan(1e-13);
    }
    expect(coverageAuc(counts, 500)).toBeCloseTo(0.8553251308488993, 12);
    expect(featureRedundancy(counts, 500)).toBeCloseTo(30.547326101746403, 10);
  });
});

describe("a million samples", () => {
  const total = 1_000_000;
  // Python, exact: float(1 - Fraction(comb(N - m, n), comb(N, n)))
  it.each([
    [3, 100000, 0.271000243000387],
    [2, 1, 2e-6],
    [5000, 137, 0.4967987292026406],
    [137, 5000, 0.4967987292026406],
    [1, 999999, 0.999999],
    [700000, 1, 0.7],
    [40, 2, 7.999843999844e-5],
  ])("loses no accuracy with m = %i and n = %i", (activating, drawn, expected) => {
    expect(Math.abs(-Math.expm1(logMissProbability(total, activating, drawn)) - expected) / expected).toBeLessThan(
      1e-11,
    );
  });

  it("has the same values on the curve as for each feature alone", () => {
    const counts = Uint32Array.from({ length: 3_000 }, (_, i) => 1 + Math.floor((total - 1) * (i / 2_999) ** 6));
    const { samples, coverage } = coverageCurve(counts, total);
    expect(samples.length).toBeLessThanOrEqual(MAX_CURVE_POINTS);
    for (const at of [0, 1, 5, 40, 200, 400, samples.length - 1]) {
      let expected = 0;
      for (const count of counts) expected += -Math.expm1(logMissProbability(total, count, samples[at]!));
      expect(Math.abs(coverage[at]! * counts.length - expected) / expected).toBeLessThan(1e-11);
    }
  });
});

describe("feature redundancy", () => {
  it("is not bounded by 1: samples that all repeat one feature have R̂ = N", () => {
    expect(featureRedundancy(Uint32Array.of(0, 50, 0), 50)).toBeCloseTo(50, 12);
  });

  it("falls when every sample brings features of its own", () => {
    const rows = (perSample: number) =>
      Array.from({ length: 20 }, (_, i) => Array.from({ length: perSample }, (_, j) => i * perSample + j));
    const one = featureRedundancy(countsOf(rows(1), 200), 20)!;
    const ten = featureRedundancy(countsOf(rows(10), 200), 20)!;
    // Same normalised curve, ten times the features: the reason for the factor N / |F(D)| in Eq. 9.
    expect(one / ten).toBeCloseTo(10, 10);
  });

  it("is absent, not zero, for a benchmark that activates nothing", () => {
    expect(featureRedundancy(new Uint32Array(4), 7)).toBeNull();
    expect(coverageAuc(new Uint32Array(4), 0)).toBeNull();
    expect(coverageCurve(new Uint32Array(4), 7)).toEqual({ samples: [], coverage: [] });
  });

  it("refuses a feature that more samples activate than there are", () => {
    expect(() => featureRedundancy(Uint32Array.of(1, 9), 8)).toThrow("feature 1 is active in 9 of only 8 samples");
  });
});
