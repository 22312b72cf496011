import { expect, test } from "vitest";
import {
  MAX_SERIES,
  type SweepChart,
  type SweepPoint,
  sweepChartSvg,
} from "../../../engine/features/charts/sweep-chart.ts";

const point = (strength: number | null, goal: number, changes: Partial<SweepPoint> = {}): SweepPoint => ({
  ...{
    strength,
    goal,
    interval: { low: goal - 0.1, high: goal + 0.1 },
    perplexityRatio: 1.2,
    fluent: true,
    isBest: false,
  },
  ...changes,
});
const chart = (changes: Partial<SweepChart> = {}): SweepChart => ({
  ...{ title: "Steering sweep", subtitle: "It works.", goal: "Han among letters", strengthUnit: "residual norm" },
  ...{ baseline: 0.05, perplexityLimit: 3 },
  series: [{ name: "sae:1", points: [point(1, 0.2), point(2, 0.9, { isBest: true }), point(3, 1, { fluent: false })] }],
  ...changes,
});
const count = (text: string, what: string) => text.split(what).length - 1;

test("each cell is a mark for its score and one for its cost, hollow where the text suffered, ringed where it is best", () => {
  const svg = sweepChartSvg(chart());
  expect(count(svg, '<circle class="line c0 full"')).toBe(4);
  expect(count(svg, '<circle class="line c0 hollow"')).toBe(2);
  expect(count(svg, '<circle class="best"')).toBe(1);
  expect(svg).toContain("sae:1 at 3: 1.00, perplexity × 1.20, beyond the limits");
});

test("higher scores stand higher, and what is beyond the axis stays on the paper", () => {
  const marks = [...sweepChartSvg(chart()).matchAll(/c0 (?:full|hollow)" cx="([\d.]+)" cy="([\d.]+)"/g)];
  const [first, , second] = marks.map(([, x, y]) => ({ x: Number(x), y: Number(y) }));
  expect(second!.x).toBeGreaterThan(first!.x);
  expect(second!.y).toBeLessThan(first!.y);
  const wild = sweepChartSvg(chart({ series: [{ name: "a", points: [point(1, 0.5, { perplexityRatio: 9e9 })] }] }));
  const height = Number(/viewBox="0 0 [\d.]+ ([\d.]+)"/.exec(wild)![1]);
  for (const [, y] of wild.matchAll(/cy="([\d.]+)"/g)) expect(Number(y)).toBeLessThan(height);
});

test("names from outside are text, an op without strengths and a sweep without cells are drawn, and many series are cut", () => {
  const nasty = sweepChartSvg(chart({ title: `<script>"&`, series: [{ name: "<b>", points: [point(null, 0.3)] }] }));
  expect(nasty).not.toMatch(/<script|<b>/);
  expect(sweepChartSvg(chart({ series: [] }))).not.toMatch(/NaN|Infinity|undefined/);
  const many = Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, points: [point(1, 0.5), point(2, 0.6)] }));
  expect(sweepChartSvg(chart({ series: many }))).not.toContain(`f${MAX_SERIES}`);
});
