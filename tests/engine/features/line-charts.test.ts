import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { niceTicks, shortNumber } from "../../../engine/features/charts/axis.ts";
import { barChartSvg } from "../../../engine/features/charts/bar-chart.ts";
import { lineChartSvg } from "../../../engine/features/charts/line-chart.ts";

const NASTY = `a<script>"x"&'\u0000 数学`;

function expectSafe(svg: string): void {
  expect(svg).not.toContain("<script");
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|url\(|href|@import/);
}

describe("marks of an axis", () => {
  it("span the numbers in equal steps of a round number, about as many as wanted", () => {
    const ends = fc.tuple(
      fc.double({ min: -1e9, max: 1e9, noNaN: true }),
      fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    );
    fc.assert(
      fc.property(ends, ([from, length]) => {
        fc.pre(length > Math.abs(from) * 1e-9);
        const to = from + length;
        const { values, low, high } = niceTicks(from, to);
        const slack = (high - low) * 1e-6;
        expect(low).toBeLessThanOrEqual(from + slack);
        expect(high).toBeGreaterThanOrEqual(to - slack);
        expect(values.length).toBeGreaterThanOrEqual(3);
        expect(values.length).toBeLessThanOrEqual(8);
        const step = values[1]! - values[0]!;
        for (let i = 1; i < values.length; i++)
          expect(Math.abs(values[i]! - values[i - 1]! - step)).toBeLessThan(slack);
      }),
    );
  });

  it("are there for one number alone", () => {
    const { low, high } = niceTicks(32, 32);
    expect(low).toBeLessThan(32);
    expect(high).toBeGreaterThan(32);
    expect(niceTicks(0, 0).low).toBe(0);
  });

  it("are written with as many digits as their step shows", () => {
    expect(niceTicks(0, 1).values.map(niceTicks(0, 1).label)).toEqual(["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    expect(shortNumber(3000)).toBe("3,000");
    expect(shortNumber(1_500_000, 500_000)).toBe("1.5 M");
  });
});

describe("a line chart", () => {
  const chart = (points: readonly { x: number; y: number }[], name = "layer 1") =>
    lineChartSvg({ title: "t", subtitle: "s", xLabel: "x", yLabel: "y", series: [{ name, points }] });

  it("says in words where each line ends, and takes no markup from names", () => {
    const svg = chart(
      [
        { x: 0, y: 1 },
        { x: 10, y: 0.2 },
      ],
      NASTY,
    );
    expectSafe(svg);
    expect(svg).toContain("ends at 0.2");
    expect(svg).toMatch(/<path class="line c0" d="M74 84L534 344"\/>/);
  });

  it("leaves out what is not a number, and draws nothing of a single point or none", () => {
    expectSafe(
      chart([
        { x: 0, y: Number.NaN },
        { x: 1, y: 1 },
      ]),
    );
    expect(
      chart([
        { x: 0, y: Number.NaN },
        { x: 1, y: 1 },
      ]),
    ).not.toMatch(/<path class="line c0" d="M74/);
    expectSafe(chart([]));
  });
});

describe("a bar chart", () => {
  it("has a bar for each value, as high as its share of the axis", () => {
    const bar = (value: number) => ({ label: NASTY, value, about: `${value} of them` });
    const svg = barChartSvg({ title: "t", subtitle: "s", xLabel: "x", yLabel: "y", bars: [bar(100), bar(50), bar(0)] });
    expectSafe(svg);
    expect([...svg.matchAll(/<rect class="bar"[^>]*height="([\d.]+)"/g)].map((match) => match[1])).toEqual([
      "200",
      "100",
      "0",
    ]);
    expectSafe(barChartSvg({ title: "t", subtitle: "s", xLabel: "x", yLabel: "y", bars: [] }));
  });
});
