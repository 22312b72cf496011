import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bootstrapMean, expandedTail, quantile } from "../../../engine/features/paired-bootstrap.ts";
import { distinctShare, longestRepetition, scriptShare } from "../../../engine/features/text-measures.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

interface Fixture {
  readonly tails: Readonly<Record<string, number>>;
  readonly cases: readonly { name: string; values: number[]; mean: number; low: number; high: number }[];
}
const fixture: Fixture = JSON.parse(readFileSync("tests/fixtures/statistics/bootstrap.json", "utf8"));
const draws = (count: number) => ({ draws: count, random: createRandom(1) });

describe("intervals of means", () => {
  it("are those of numpy with scipy's quantiles of Student's distribution", () => {
    for (const { name, values, mean, low, high } of fixture.cases) {
      const ours = bootstrapMean(values, draws(20_000));
      expect(ours.mean, name).toBeCloseTo(mean, 12);
      // 20,000 draws place a quantile of 1 % to about 2 % of the interval.
      const slack = 0.03 * (high - low);
      expect(Math.abs(ours.interval!.low - low), name).toBeLessThan(slack);
      expect(Math.abs(ours.interval!.high - high), name).toBeLessThan(slack);
    }
  });

  it("reach further out for few values, as far as Student's distribution says", () => {
    for (const [n, tail] of Object.entries(fixture.tails)) {
      expect(Math.abs(expandedTail(Number(n)) / tail - 1), n).toBeLessThan(0.01);
    }
    expect(expandedTail(1e6)).toBeCloseTo(0.025, 4);
  });

  it("of equal values are a point, of one value none", () => {
    expect(bootstrapMean([0.25, 0.25, 0.25], draws(100)).interval).toEqual({ low: 0.25, high: 0.25 });
    expect(bootstrapMean([0.5], draws(100))).toEqual({ mean: 0.5, interval: null });
    expect(bootstrapMean([], draws(100))).toEqual({ mean: 0, interval: null });
  });

  it("hold the mean, and depend on the seed alone", () => {
    const values = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(values, (own) => {
        const { mean, interval } = bootstrapMean(own, draws(100));
        expect(interval!.low).toBeLessThanOrEqual(mean);
        expect(interval!.high).toBeGreaterThanOrEqual(mean);
        expect(bootstrapMean(own, draws(100))).toEqual({ mean, interval });
      }),
      { numRuns: 30 },
    );
  });

  it("lie between order statistics as numpy.quantile puts them", () => {
    expect(quantile([1, 2, 4, 8], 0.5)).toBe(3);
    expect(quantile([1, 2, 4, 8], 0.9)).toBeCloseTo(6.8, 12);
    expect(quantile([5], 0.3)).toBe(5);
  });
});

describe("a text's script", () => {
  it("is counted over letters alone", () => {
    expect(scriptShare("猫 sat, 42!", "Han")).toBe(1 / 4);
    expect(scriptShare("Привет мир", "Cyrillic")).toBe(1);
    expect(scriptShare("𠀀𠀁", "Han")).toBe(1);
    expect(scriptShare("12 + 3 = 15 …", "Han")).toBeNull();
    expect(() => scriptShare("a", "Nowhere")).toThrow(SyntaxError);
  });
});

describe("repetition", () => {
  it("is seen in the share of distinct n-grams", () => {
    expect(distinctShare([1, 2, 1, 2], 1)).toBe(0.5);
    expect(distinctShare([1, 2, 1, 2], 2)).toBe(2 / 3);
    expect(distinctShare([1], 2)).toBe(1);
    // Not the same pair: 1, 23 and 12, 3.
    expect(distinctShare([1, 23, 12, 3], 2)).toBe(1);
  });

  it("is as long as the stretch that follows its own first period", () => {
    expect(longestRepetition([1, 2, 3, 4])).toBe(0);
    expect(longestRepetition([7, 7, 7, 7])).toBe(3);
    expect(longestRepetition([9, 1, 2, 3, 1, 2, 3, 1, 5])).toBe(4);
    // Two tokens of a period of three are no whole repetition.
    expect(longestRepetition([1, 2, 3, 1, 2, 9])).toBe(0);
  });

  it("is never longer than what follows one period", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }), (ids) => {
        expect(longestRepetition(ids)).toBeLessThanOrEqual(Math.max(0, ids.length - 1));
        const doubled = [...ids, ...ids];
        expect(longestRepetition(doubled)).toBeGreaterThanOrEqual(ids.length);
      }),
    );
  });
});
