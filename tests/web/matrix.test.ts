import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { csvOf } from "../../web/charts/csv.ts";
import { heatColour } from "../../web/charts/heat-colours.ts";
import { heatMapGeometry, stepCell } from "../../web/charts/heat-map-geometry.ts";
import { samplesFor } from "../../web/coverage/coreset-rows.ts";
import { parseCsv } from "./parse-csv.ts";

describe("the colours of a heat map", () => {
  const channel = (hex: string, at: number) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  const luminance = (hex: string) => 0.2126 * channel(hex, 1) + 0.7152 * channel(hex, 3) + 0.0722 * channel(hex, 5);

  test.each(["light", "dark"] as const)(
    "in the %s theme every value can be read on its cell, and more is never less",
    (theme) => {
      const shades = Array.from({ length: 201 }, (_, i) => heatColour(i / 200, theme));
      for (const { fill, ink } of shades) {
        const [low, high] = [luminance(fill), luminance(ink)].sort((a, b) => a - b) as [number, number];
        expect((high + 0.05) / (low + 0.05), `${ink} on ${fill}`).toBeGreaterThanOrEqual(4.5);
      }
      const depth = shades.map(({ fill }) => luminance(fill) * (theme === "light" ? -1 : 1));
      expect(depth.every((value, i) => i === 0 || value >= depth[i - 1]!)).toBe(true);
    },
  );
});

describe("a heat map", () => {
  const matrix = [
    [1, 0.5, null],
    [0.25, 1, 0],
    [0, 0, 1],
  ];

  test("draws rows and columns in the order of the clustering", () => {
    const { cells, size, left, top } = heatMapGeometry(["a", "b", "c"], matrix, [2, 0, 1]);
    expect(cells).toHaveLength(9);
    const cell = cells.find(({ row, column }) => row === 0 && column === 1);
    expect(cell).toEqual({ row: 0, column: 1, value: 0.5, x: left + 2 * size, y: top + size });
  });

  test("a merge of the tree never lies left of the merges that it joins", () => {
    const tree = [
      { left: 0, right: 1, similarity: 0.2 },
      { left: 3, right: 2, similarity: 0.9 },
    ];
    const depths = heatMapGeometry(["a", "b", "c"], matrix, [0, 1, 2], tree).tree.map((path) =>
      Number(/H([\d.]+)V/.exec(path)?.[1]),
    );
    expect(depths[1]).toBeGreaterThanOrEqual(depths[0]!);
  });

  test("arrows walk over the drawing and stop at its edge", () => {
    const order = [2, 0, 1];
    expect(stepCell(order, [2, 2], "ArrowDown")).toEqual([0, 2]);
    expect(stepCell(order, [0, 1], "ArrowRight")).toEqual([0, 1]);
    expect(stepCell(order, [0, 1], "Home")).toBeNull();
  });
});

test("a CSV file gives back what was put in, whatever the names hold", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.string(), { minLength: 1 }), { minLength: 1 }), (rows) => {
      expect(parseCsv(csvOf(rows))).toEqual(rows);
    }),
  );
});

test("a smaller set is the shortest beginning that reaches the share", () => {
  const gains = fc
    .array(fc.integer({ min: 0, max: 5 }), { minLength: 1 })
    .filter((list) => list.some((gain) => gain > 0));
  fc.assert(
    fc.property(gains, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, share) => {
      let sum = 0;
      const covered = list.map((gain) => (sum += gain));
      const order = {
        name: "x",
        covered,
        features: sum,
        samples: list.length,
        sampleAt: () => ({ benchmark: 0, row: 0 }),
      };
      const count = samplesFor(order, share);
      expect(covered[count - 1]).toBeGreaterThanOrEqual(share * sum - 1e-6);
      if (count > 1) expect(covered[count - 2]).toBeLessThan(share * sum);
    }),
  );
});
