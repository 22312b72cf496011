import { describe, expect, it } from "vitest";
import { analyzeBenchmarks, reportFiles } from "../../../engine/features/benchmark-report.ts";

const analysis = analyzeBenchmarks([
  { name: "a, quoted", samples: 4, counts_F: Uint32Array.of(4, 2, 0, 0, 1) },
  { name: "=b", samples: 2, counts_F: Uint32Array.of(1, 0, 2, 0, 0) },
  { name: "silent", samples: 3, counts_F: new Uint32Array(5) },
]);

describe("the analysis of benchmarks", () => {
  it("gives each one's figures, and null where there are no features", () => {
    const [a, , silent] = analysis.benchmarks;
    expect(a).toMatchObject({ samples: 4, features: 3, uniqueness: 2 / 3 });
    expect(a!.redundancy).toBeCloseTo((5 / 9) * (4 / 5 + 2 / 3 + 1 / 2), 14);
    expect(silent).toMatchObject({ features: 0, redundancy: null, coverageAuc: null, uniqueness: null });
  });
});

describe("the files of a report", () => {
  const files = new Map(
    reportFiles(analysis, "Last token.", { model: { id: "model_a" } }).map((file) => [file.key, file]),
  );

  it("hold everything in one JSON document, with what it was made from and what its words mean", () => {
    const report = JSON.parse(files.get("report")!.text);
    expect(report.model).toEqual({ id: "model_a" });
    expect(report.overlap).toEqual([
      [1, 1 / 3, 0],
      [1 / 2, 1, 0],
      [null, null, null],
    ]);
    expect(report.overlap_min[0]).toEqual([1, 1 / 2, null]);
    expect(report.shared_features[0]).toEqual([3, 1, 0]);
    expect(report.benchmarks[2].coverage).toEqual({ samples: [], coverage: [] });
    expect(report.definitions.redundancy).toContain("not bounded by 1");
    expect(report.display_order.toSorted()).toEqual([0, 1, 2]);
  });

  it("hold tables with escaped names and empty cells for what is undefined", () => {
    const lines = files.get("overlap_csv")!.text.split("\r\n");
    expect(lines[0]).toBe(`benchmark,"a, quoted",'=b,silent`);
    expect(lines[3]).toBe("silent,,,");
    expect(files.get("coverage_csv")!.text.split("\r\n")[1]).toMatch(/^"a, quoted",1,0\.58/);
    expect(files.get("benchmarks_csv")!.text).toContain("silent,3,0,,,");
  });

  it("have distinct keys and names, and pictures that say their setting", () => {
    expect(new Set([...files.values()].map(({ name }) => name)).size).toBe(files.size);
    for (const { contentType, text } of files.values()) {
      if (contentType === "image/svg+xml") expect(text).toContain("Last token.");
    }
  });
});
