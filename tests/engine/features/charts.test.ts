import { describe, expect, it } from "vitest";
import { contrast, scaleColours, scaleStep } from "../../../engine/features/charts/colour-scale.ts";
import { coverageChartSvg } from "../../../engine/features/charts/coverage-chart.ts";
import { type HeatMap, heatMapSvg } from "../../../engine/features/charts/heat-map.ts";
import { escapeXml, fitText, textWidthEm } from "../../../engine/features/charts/svg.ts";
import { coverageAuc, coverageCurve } from "../../../engine/features/coverage.ts";

const NASTY = `a<script>"x"&'\u0000 数学`;

function heatMap(change: Partial<HeatMap> = {}): string {
  return heatMapSvg({
    title: "Overlap",
    subtitle: "rows by columns",
    labels: ["gsm8k", "math", NASTY],
    values: Float64Array.of(1, 0.63, 0.999, 0.1, 1, Number.NaN, 0, 0.5, 1),
    describe: (row, column, value) => `${row} in ${column}: ${value}`,
    scale: { low: "0", high: "1" },
    ...change,
  });
}

/** Tags and their attributes, checked for well-formedness the simple way: every tag closes, nothing is left over. */
function tagsOf(svg: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = svg.replaceAll(
    /<(\/?)([a-z]+)((?:\s+[a-zA-Z:-]+="[^"<&]*(?:&[a-z]+;[^"<&]*)*")*)\s*(\/?)>/g,
    (_, closing, name, _attributes, empty) => {
      if (closing) expect(open.pop()).toBe(name);
      else {
        names.push(name);
        if (!empty) open.push(name);
      }
      return "";
    },
  );
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]/);
  expect(rest.replaceAll(/&(?:amp|lt|gt|quot);/g, "")).not.toContain("&");
  return names;
}

describe("the heat map", () => {
  it("is well-formed, self-contained, and says in words what it shows", () => {
    const svg = heatMap();
    const names = tagsOf(svg);
    expect(names).toContain("desc");
    expect(names).not.toContain("script");
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|url\(|href|@import/);
    expect(svg).toContain("<desc>rows by columns 3 by 3 cells. The largest: 0 in 2: 0.999; 0 in 1: 0.63;");
  });

  it("writes every number, none rounded up to a false 1, and leaves undefined cells empty", () => {
    const numbers = [...heatMap().matchAll(/>(\d\.\d\d)<\/text>/g)].map(([, number]) => number);
    expect(numbers).toEqual(["1.00", "0.63", "0.99", "0.10", "1.00", "0.00", "0.50", "1.00"]);
    expect(heatMap().match(/class="none"/g)).toHaveLength(1);
  });

  it("lays out rows and columns in the given order", () => {
    const svg = heatMap({ order: [1, 0, 2], columns: [{ title: "features", values: ["10", "20", "30"] }] });
    const numbers = [...svg.matchAll(/middle" [^>]*>(\d\.\d\d)<\/text>/g)].map(([, number]) => number);
    expect(numbers.slice(0, 2)).toEqual(["1.00", "0.10"]);
    expect([...svg.matchAll(/number end"[^>]*>(\d+)</g)].map(([, number]) => number)).toEqual(["20", "10", "30"]);
  });

  it("refuses values or an order that do not fit the labels", () => {
    expect(() => heatMap({ values: Float64Array.of(1) })).toThrow("expected 9 for 3 labels, got 1");
    expect(() => heatMap({ order: [0, 0, 1] })).toThrow("expected a permutation");
  });

  it("stays readable with many benchmarks", () => {
    const labels = Array.from({ length: 50 }, (_, i) => `benchmark ${i}`);
    const svg = heatMap({ labels, values: new Float64Array(2_500).fill(0.25) });
    tagsOf(svg);
    expect(svg.match(/>\.25<\/text>/g)).toHaveLength(2_500);
  });
});

describe("the coverage chart", () => {
  const counts = Uint32Array.of(1, 2, 50, 100);
  const one = { name: NASTY, samples: 100, curve: coverageCurve(counts, 100), auc: coverageAuc(counts, 100) };

  it("draws a line per benchmark from the origin to full coverage, and lists the areas", () => {
    const empty = { name: "empty", samples: 3, curve: { samples: [], coverage: [] }, auc: null };
    const svg = coverageChartSvg("Coverage", "closed form", [empty, one, { ...one, name: "second", auc: 0.9 }]);
    tagsOf(svg);
    expect(svg.match(/ d="M68 414L/g)).toHaveLength(2);
    expect(svg.match(/L528 84"/g)).toHaveLength(2);
    expect(svg).toContain("second 0.900");
    expect(svg).toContain("empty without features");
  });
});

describe("the colour scale", () => {
  it.each(["light", "dark"] as const)("gets steadily stronger and keeps its numbers legible on a %s page", (mode) => {
    const paper = mode === "light" ? ([255, 255, 255] as const) : ([18, 24, 31] as const);
    const colours = scaleColours(mode);
    for (const [step, { fill, ink }] of colours.entries()) {
      expect(contrast(fill, ink)).toBeGreaterThan(4.5);
      if (step > 0) expect(contrast(fill, paper)).toBeGreaterThan(contrast(colours[step - 1]!.fill, paper));
    }
  });

  it("clamps what is outside [0, 1]", () => {
    expect([-1, 0, 0.5, 1, 2].map(scaleStep)).toEqual([0, 0, 10, 20, 20]);
  });
});

describe("text in pictures", () => {
  it("is escaped, and characters that XML forbids are dropped", () => {
    expect(escapeXml(NASTY)).toBe("a&lt;script&gt;&quot;x&quot;&amp;' 数学");
  });

  it("is cut by width, counting wide characters as wide", () => {
    expect(fitText("short", 20)).toBe("short");
    expect(fitText("数学应用题数学应用题", 6)).toBe("数学应用题…");
    expect(textWidthEm(fitText("x".repeat(100), 10))).toBeLessThanOrEqual(10);
  });
});
