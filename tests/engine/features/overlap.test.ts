import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clusterBenchmarks } from "../../../engine/features/clustering.ts";
import { matrixRows, overlapMatrices } from "../../../engine/features/overlap.ts";

// Beyond one 32-bit word and not a multiple of it.
const WIDTH = 75;
const benchmarks = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: WIDTH - 1 })), { minLength: 1, maxLength: 6 });

function countsOf(features: readonly number[]): Uint32Array {
  const counts = new Uint32Array(WIDTH);
  for (const feature of features) counts[feature]! += 1 + (feature % 3);
  return counts;
}

describe("overlap matrices", () => {
  it("equal the set operations of their definitions", () => {
    fc.assert(
      fc.property(benchmarks, (lists) => {
        const sets = lists.map((list) => new Set(list));
        const matrices = overlapMatrices(lists.map(countsOf));
        for (const [i, a] of sets.entries()) {
          for (const [j, b] of sets.entries()) {
            const shared = [...a].filter((feature) => b.has(feature)).length;
            const at = i * sets.length + j;
            expect(matrices.shared_DD[at]).toBe(shared);
            expect(matrices.overlap_DD[at]).toBe(shared / a.size);
            expect(matrices.overlapMin_DD[at]).toBe(shared / Math.min(a.size, b.size));
            expect(matrices.jaccard_DD[at]).toBe(shared / new Set([...a, ...b]).size);
          }
          const others = new Set(sets.filter((_, j) => j !== i).flatMap((set) => [...set]));
          expect(matrices.uniqueness_D[i]).toBe([...a].filter((feature) => !others.has(feature)).length / a.size);
        }
      }),
    );
  });

  it("stay within [0, 1]; overlap_min is symmetric and at least both overlaps", () => {
    fc.assert(
      fc.property(
        benchmarks.filter((lists) => lists.every((list) => list.length > 0)),
        (lists) => {
          const { size, overlap_DD, overlapMin_DD, jaccard_DD } = overlapMatrices(lists.map(countsOf));
          for (let i = 0; i < size; i++) {
            for (let j = 0; j < size; j++) {
              const at = i * size + j;
              const back = j * size + i;
              for (const matrix of [overlap_DD, overlapMin_DD, jaccard_DD]) {
                expect(matrix[at]).toBeGreaterThanOrEqual(0);
                expect(matrix[at]).toBeLessThanOrEqual(1);
              }
              expect(overlapMin_DD[at]).toBe(overlapMin_DD[back]);
              expect(overlapMin_DD[at]).toBe(Math.max(overlap_DD[at]!, overlap_DD[back]!));
              if (i === j) expect(overlap_DD[at]).toBe(1);
            }
          }
        },
      ),
    );
  });

  it("tell which direction is covered: a small benchmark inside a large one", () => {
    const small = countsOf([1, 2, 3, 4]);
    const large = countsOf(Array.from({ length: 40 }, (_, i) => i));
    const { overlap_DD, overlapMin_DD } = overlapMatrices([small, large]);
    expect(Array.from(overlap_DD)).toEqual([1, 1, 0.1, 1]);
    expect(overlapMin_DD[1]).toBe(1);
  });

  it("have no number where a benchmark has no features", () => {
    const { overlap_DD, size } = overlapMatrices([countsOf([]), countsOf([5])]);
    expect(matrixRows(overlap_DD, size)).toEqual([
      [null, null],
      [0, 1],
    ]);
  });

  it("refuse benchmarks of different dictionaries", () => {
    expect(() => overlapMatrices([new Uint32Array(4), new Uint32Array(5)])).toThrow("expected 4 features, got 5");
  });
});

describe("the order for display", () => {
  it("is a permutation, whatever the similarities", () => {
    const matrix = fc
      .integer({ min: 0, max: 9 })
      .chain((size) =>
        fc.tuple(
          fc.constant(size),
          fc.array(fc.double({ min: 0, max: 1 }), { minLength: size * size, maxLength: size * size }),
        ),
      );
    fc.assert(
      fc.property(matrix, ([size, values]) => {
        const { order } = clusterBenchmarks(Float64Array.from(values), size);
        expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
      }),
    );
  });

  it("makes neighbours of benchmarks that resemble each other", () => {
    // 0, 2, 4 form one block, 1, 3, 5 another.
    const similarity = Float64Array.from({ length: 36 }, (_, at) => {
      const [i, j] = [Math.floor(at / 6), at % 6];
      return i % 2 === j % 2 ? 0.9 : 0.1;
    });
    const { order } = clusterBenchmarks(similarity, 6);
    expect(order.slice(0, 3).map((i) => i % 2)).toEqual(Array(3).fill(order[0]! % 2));
    expect(new Set(order.slice(3).map((i) => i % 2)).size).toBe(1);
  });
});
