import { describe, expect, it } from "vitest";
import {
  countActive,
  createFeatureCounter,
  createFeatureSetBuilder,
  featureCounts,
  featureSetsOf,
} from "../../../engine/features/feature-sets.ts";

describe("feature sets", () => {
  it("keep each sample's features sorted and once, and keep empty samples", () => {
    const sets = featureSetsOf(10, [[7, 1, 7, 3], [], [9]]);
    expect(sets.samples).toBe(3);
    expect(Array.from(sets.offsets_S1)).toEqual([0, 3, 3, 4]);
    expect(Array.from(sets.indices_Z)).toEqual([1, 3, 7, 9]);
  });

  it("count only activations above zero, as F(x) = { j : z_j > 0 }", () => {
    const builder = createFeatureSetBuilder(8);
    builder.addActivations([5, 2, 6], [0.5, 0, -1]);
    expect(Array.from(builder.finish().indices_Z)).toEqual([5]);
  });

  it("count a feature once per sample that activates it", () => {
    const counts = featureCounts(featureSetsOf(4, [[0, 0, 1], [1], [1, 3]]));
    expect(Array.from(counts)).toEqual([1, 3, 0, 1]);
    expect(countActive(counts)).toBe(3);
  });

  it("grow with the benchmark", () => {
    const builder = createFeatureSetBuilder(1_000, 1);
    for (let sample = 0; sample < 500; sample++) builder.add([sample, 999 - sample, 3]);
    const sets = builder.finish();
    expect(sets.samples).toBe(500);
    expect(featureCounts(sets)[3]).toBe(500);
  });

  it("refuse an index beyond the width, and a NaN that would pass for silence", () => {
    const builder = createFeatureSetBuilder(8);
    expect(() => builder.add([8])).toThrow("expected an integer in [0, 8), got 8");
    expect(() => builder.addActivations([1], [Number.NaN])).toThrow("activation 0 of sample 0 is NaN");
    expect(() => builder.addActivations([1, 2], [1])).toThrow("2 indices but 1 values");
    expect(() => createFeatureSetBuilder(0)).toThrow(RangeError);
  });
});

describe("a feature counter", () => {
  it("counts the same as the sets it does not keep", () => {
    const rows = [
      { indices: [3, 1, 3], values: [1, 2, 0.5] },
      { indices: [1, 2], values: [0, 4] },
      { indices: [], values: [] },
    ];
    const counter = createFeatureCounter(5);
    const builder = createFeatureSetBuilder(5);
    for (const { indices, values } of rows) {
      counter.add(indices, values);
      builder.addActivations(indices, values);
    }
    expect(counter.samples).toBe(3);
    expect(Array.from(counter.counts_F)).toEqual(Array.from(featureCounts(builder.finish())));
  });

  it("refuses what the builder refuses", () => {
    const counter = createFeatureCounter(5);
    expect(() => counter.add([5], [1])).toThrow("expected an integer in [0, 5), got 5");
    expect(() => counter.add([1], [Number.NaN])).toThrow("is NaN");
    expect(() => counter.add([1], [])).toThrow("1 indices but 0 values");
  });
});
