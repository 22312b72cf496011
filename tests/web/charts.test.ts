import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { histogramGeometry } from "../../web/charts/histogram-geometry.ts";
import { lineGeometry, nearestX } from "../../web/charts/line-geometry.ts";
import { niceTicks, percent, shortNumber } from "../../web/charts/ticks.ts";
import { curvesOf, happenings } from "../../web/train/curves.ts";

const value = fc.double({ min: -1e9, max: 1e9, noNaN: true });

describe("axes", () => {
  test("span their numbers in a few equal steps", () => {
    fc.assert(
      fc.property(value, value, (a, b) => {
        const { values, low, high, step } = niceTicks(Math.min(a, b), Math.max(a, b));
        expect(low).toBeLessThanOrEqual(Math.min(a, b) + Math.abs(step) * 1e-6);
        expect(high).toBeGreaterThanOrEqual(Math.max(a, b) - Math.abs(step) * 1e-6);
        expect(values.length).toBeLessThanOrEqual(9);
        expect(high).toBeGreaterThan(low);
      }),
      { seed: 1 },
    );
  });

  test("numbers are short and keep what a step changes", () => {
    expect([0.25, 3000, 1_500_000].map((one) => shortNumber(one))).toEqual(["0.25", "3,000", "1.5 M"]);
    expect(shortNumber(10, 2.5)).toBe("10");
    expect([0, 0.5, 0.0123, 0.000001].map(percent)).toEqual(["0 %", "50 %", "1.2 %", "< 0.001 %"]);
  });
});

describe("lines", () => {
  test("lie within their frame, and what a logarithm cannot show is left out", () => {
    const point = fc.record({ x: fc.nat(1000), y: fc.double({ min: -5, max: 5, noNaN: true }) });
    fc.assert(
      fc.property(fc.array(point), fc.constantFrom("linear" as const, "log" as const), (points, scale) => {
        const { frame, lines } = lineGeometry([{ name: "a", points }], { scale });
        const numbers = (lines[0]!.path.match(/-?[\d.]+ -?[\d.]+/g) ?? []).map((pair) => pair.split(" ").map(Number));
        expect(numbers).toHaveLength(scale === "log" ? points.filter(({ y }) => y > 0).length : points.length);
        for (const [x, y] of numbers) {
          expect(x! >= frame.left - 0.1 && x! <= frame.width - frame.right + 0.1).toBe(true);
          expect(y! >= frame.top - 0.1 && y! <= frame.height - frame.bottom + 0.1).toBe(true);
        }
      }),
      { seed: 2 },
    );
  });

  test("the nearest value to the pointer is found", () => {
    const series = [{ name: "a", points: [0, 10, 20].map((x) => ({ x, y: x })) }];
    const geometry = lineGeometry(series);
    expect(nearestX(series, geometry, geometry.toX(12))).toBe(10);
    expect(nearestX([], geometry, 5)).toBeNull();
  });
});

test("bars of a histogram rise by the root of their counts, empty bins have none", () => {
  const { bars, frame, xMarks } = histogramGeometry({ edges: [1, 2, 4, 8], counts: [100, 0, 25] });
  expect(bars.map(({ from, count }) => [from, count])).toEqual([
    [1, 100],
    [4, 25],
  ]);
  expect(bars[0]!.height).toBeCloseTo(frame.height - frame.top - frame.bottom);
  expect(bars[1]!.height / bars[0]!.height).toBeCloseTo(0.5);
  expect(xMarks.map(({ label }) => label)).toEqual(["1", "2", "4", "8"]);
});

describe("a training's curves", () => {
  let id = 0;
  const metrics = (tokens: number, loss: number | null, more: object = {}) => ({
    ...{ id: ++id, object: "job.event" as const, type: "metrics", created_at: "2026-11-22T12:00:00.000Z" },
    data: { layer: 2, width: 64, k: 4, step: tokens, tokens, loss, ...more },
  });

  test("are one per sae, and steps that were undone are taken back", () => {
    const events = [metrics(1, 5), metrics(2, 4), metrics(3, 9), metrics(2, 3), metrics(1, 7, { layer: 3 })];
    expect(curvesOf(events, "loss")).toEqual([
      {
        name: "layer 2",
        points: [
          { x: 1, y: 5 },
          { x: 2, y: 3 },
        ],
      },
      { name: "layer 3", points: [{ x: 1, y: 7 }] },
    ]);
    expect(curvesOf([metrics(1, null)], "loss")).toEqual([]);
    expect(curvesOf([metrics(1, 1), metrics(1, 1, { k: 8 })], "loss").map(({ name }) => name)).toEqual([
      "layer 2, width 64, k 4",
      "layer 2, width 64, k 8",
    ]);
  });

  test("what happened is told newest first", () => {
    const event = (type: string, data: object) => ({ ...metrics(1, 1), type, data: data as Record<string, unknown> });
    const told = happenings([event("checkpoint", { step: 7 }), metrics(1, 1), event("rolled_back", { to_step: 3 })]);
    expect(told.map(({ words }) => words)).toEqual(["Went back to step 3", "Checkpoint at step 7"]);
  });
});
