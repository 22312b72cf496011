import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { associate, associateMatrices } from "../../../engine/features/association.ts";
import { clusterBenchmarks } from "../../../engine/features/clustering.ts";
import { kendallTauB, partialCorrelation, pearson, spearman } from "../../../engine/features/correlation.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

/** Written by scipy: tests/fixtures/statistics/correlations.py. */
interface Reference {
  pairs: { x: number[]; y: number[]; pearson: number; spearman: number; kendall: number }[];
  partial: { a: number[]; b: number[]; c: number[]; value: number };
  mantel: { x: number[]; y: number[]; size: number } & Record<"pearson" | "spearman", { value: number; p: number }>;
  permutation: { x: number[]; y: number[]; value: number; p: number };
  clustering: { similarity: number[]; size: number; merges: number[]; neighbours: number };
}
const file = join(import.meta.dirname, "../../fixtures/statistics/correlations.json");
const reference = JSON.parse(readFileSync(file, "utf8")) as Reference;

const options = (method: "pearson" | "spearman", permutations = 9999) => ({
  permutations,
  random: createRandom(3),
  method,
});

describe("correlations", () => {
  it("are those of scipy, with ties, large means and 0/1 scores", () => {
    for (const one of reference.pairs) {
      expect(pearson(one.x, one.y)).toBeCloseTo(one.pearson, 6);
      expect(spearman(one.x, one.y)).toBeCloseTo(one.spearman, 12);
      expect(kendallTauB(one.x, one.y)).toBeCloseTo(one.kendall, 12);
    }
  });

  it("are undefined, not NaN, where one side is constant, also to rounding", () => {
    for (const constant of [
      [3, 3, 3],
      [0.1 + 0.2, 0.3, 0.3],
    ]) {
      expect(pearson(constant, [1, 2, 3])).toBeNull();
    }
    expect(spearman([1, 2, 3], [5, 5, 5])).toBeNull();
    expect(kendallTauB([1, 2, 3], [5, 5, 5])).toBeNull();
    expect([pearson([], []), kendallTauB([1], [2])]).toEqual([null, null]);
  });

  it("lie within −1 and 1, and do not depend on scale or order of the models", () => {
    const vector = fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 })), { minLength: 3 });
    fc.assert(
      fc.property(vector, (pairs) => {
        const [x, y] = [pairs.map(([a]) => a), pairs.map(([, b]) => b)];
        for (const correlation of [pearson, spearman, kendallTauB]) {
          const value = correlation(x, y);
          if (value === null) continue;
          expect(Math.abs(value)).toBeLessThanOrEqual(1);
          expect(correlation(y, x)).toBeCloseTo(value, 12);
          expect(correlation(x.toReversed(), y.toReversed())).toBeCloseTo(value, 12);
          expect(
            correlation(
              x,
              y.map((one) => 7 - 2 * one),
            ),
          ).toBeCloseTo(-value, 12);
        }
      }),
    );
  });

  it("given a third are those of what regression on the third leaves", () => {
    const { a, b, c, value } = reference.partial;
    expect(partialCorrelation(pearson(a, b)!, pearson(a, c)!, pearson(b, c)!)).toBeCloseTo(value, 12);
  });

  it("given one that explains everything are undefined", () => {
    expect(partialCorrelation(0.5, 1, 0.5)).toBeNull();
    expect(partialCorrelation(0.5, 0.2, -1 + 1e-12)).toBeNull();
    expect(partialCorrelation(1, 0.999, 0.999)).toBeCloseTo(1, 9);
  });
});

describe("a permutation test", () => {
  it("tries every permutation where there are few, and gives the exact p of scipy's enumeration", () => {
    const { x, y, value, p } = reference.permutation;
    const found = associate(x, y, options("pearson"));
    expect(found).toMatchObject({ exact: true, benchmarks: 6, reason: null });
    expect(found.value).toBeCloseTo(value, 12);
    expect(found.pValue).toBeCloseTo(p, 12);
  });

  it("of matrices permutes whole benchmarks", () => {
    const { x, y, size, ...methods } = reference.mantel;
    for (const method of ["pearson", "spearman"] as const) {
      const found = associateMatrices(x, y, size, options(method));
      expect(found.value).toBeCloseTo(methods[method].value, 12);
      expect(found.pValue).toBeCloseTo(methods[method].p, 12);
    }
  });

  it("draws permutations where there are too many, and comes close to the exact p", () => {
    const { x, y, p } = reference.permutation;
    const found = associate(x, y, options("pearson", 700));
    expect(found.exact).toBe(false);
    expect(Math.abs(found.pValue! - p)).toBeLessThan(0.01);
  });

  it("leaves out benchmarks that lack a figure, and says why there is no value", () => {
    expect(associate([1, 2, null, 4], [2, 4, 9, 8], options("pearson"))).toMatchObject({ value: 1, benchmarks: 3 });
    expect(associate([1, null, null, 4], [2, 4, 9, 8], options("pearson"))).toMatchObject({
      value: null,
      pValue: null,
      reason: "fewer than 3 benchmarks have both figures",
    });
    expect(associate([1, 1, 1, 1], [2, 4, 9, 8], options("pearson")).reason).toContain("the same everywhere");
    // Benchmark 1 has no similarity to any other: it goes, and the other three stay.
    const holes = Float64Array.from({ length: 16 }, (_, at) => (at % 4 === 1 || at >> 2 === 1 ? Number.NaN : at % 5));
    expect(
      associateMatrices(
        holes,
        Float64Array.from({ length: 16 }, (_, at) => at),
        4,
        options("pearson"),
      ),
    ).toMatchObject({ benchmarks: 3, reason: null });
  });
});

describe("the tree of benchmarks", () => {
  const { similarity, size, merges, neighbours } = reference.clustering;
  const found = clusterBenchmarks(Float64Array.from(similarity), size);

  it("joins at the heights of scipy's average linkage", () => {
    expect(found.merges).toHaveLength(size - 1);
    for (const [i, merge] of found.merges.entries()) expect(merge.similarity).toBeCloseTo(merges[i]!, 12);
  });

  it("is laid out as well as scipy's optimal leaf order", () => {
    const sum = found.order.slice(1).reduce((all, leaf, i) => all + similarity[found.order[i]! * size + leaf]!, 0);
    expect(sum).toBeCloseTo(neighbours, 12);
  });
});
