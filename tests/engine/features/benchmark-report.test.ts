import { describe, expect, it } from "vitest";
import { reportFiles } from "../../../engine/features/benchmark-report.ts";
import { featureSetsOf } from "../../../engine/features/feature-sets.ts";
import { matrixRows } from "../../../engine/features/overlap.ts";
import { analyzeSuite, reduceBenchmark } from "../../../engine/features/suite.ts";
import { createRandom } from "../../../engine/runtime/random.ts";

const reduced = (name: string, rows: readonly number[][]) =>
  reduceBenchmark(name, featureSetsOf(5, rows), { random: createRandom(0), keptDraws: 4 });
// m of "a, quoted" is 4, 2, 0, 0, 1 and of "=b" 1, 0, 2, 0, 0.
const analysis = analyzeSuite(
  [reduced("a, quoted", [[0, 1, 4], [0, 1], [0], [0]]), reduced("=b", [[0, 2], [2]]), reduced("silent", [[], [], []])],
  Uint8Array.of(1, 0, 0, 0, 0),
);

describe("the analysis of benchmarks", () => {
  it("gives each one's figures, and null where there are no features", () => {
    const [a, , silent] = analysis.benchmarks;
    expect(a).toMatchObject({ samples: 4, features: 3, uniqueness: 2 / 3 });
    expect(a!.redundancy).toBeCloseTo((5 / 9) * (4 / 5 + 2 / 3 + 1 / 2), 14);
    expect(silent).toMatchObject({ features: 0, redundancy: null, coverageAuc: null, uniqueness: null });
    expect(silent!.curve).toEqual({ samples: [], coverage: [] });
  });

  it("gives overlaps of sets, undefined for an empty one, and their order for display", () => {
    const { matrices, clustering } = analysis;
    expect(matrixRows(matrices.overlap_DD, 3)).toEqual([
      [1, 1 / 3, 0],
      [1 / 2, 1, 0],
      [null, null, null],
    ]);
    expect(matrixRows(matrices.overlapMin_DD, 3)[0]).toEqual([1, 1 / 2, null]);
    expect([...matrices.shared_DD.subarray(0, 3)]).toEqual([3, 1, 0]);
    expect([...matrices.unique_D]).toEqual([2, 1, 0]);
    expect(clustering.order.toSorted()).toEqual([0, 1, 2]);
  });

  it("gives the same without the features that are common in neutral text", () => {
    const [a, b] = analysis.benchmarks;
    expect(a!.specific).toMatchObject({ features: 2, redundancy: (5 / 4) * (2 / 3 + 1 / 2) });
    expect(b!.specific.features).toBe(1);
    expect(analysis.specific.overlap_DD[1]).toBe(0);
  });
});

describe("the files of a report", () => {
  const files = new Map(reportFiles(analysis, "Last token.").map((file) => [file.key, file]));

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
