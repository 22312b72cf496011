import { toCsv } from "../../formats/csv-writer.ts";
import { coverageChartSvg } from "./charts/coverage-chart.ts";
import { heatMapSvg } from "./charts/heat-map.ts";
import { matrixRows, type OverlapMatrices } from "./overlap.ts";
import type { AnalyzedBenchmark, SuiteAnalysis } from "./suite.ts";

export interface ReportFile {
  /** Key in the job's result. */
  readonly key: string;
  readonly name: string;
  readonly contentType: string;
  readonly text: string;
}

/**
 * The figures as tables (CSV) and pictures (SVG).
 *
 * @param setting what the pictures say below their titles: position, saes, number of features
 */
export function reportFiles(suite: SuiteAnalysis, setting: string): ReportFile[] {
  const { benchmarks, matrices } = suite;
  const csv = (key: string, name: string, text: string): ReportFile => ({ key, name, contentType: "text/csv", text });
  const svg = (key: string, name: string, text: string): ReportFile => ({
    key,
    name,
    contentType: "image/svg+xml",
    text,
  });
  return [
    csv("benchmarks_csv", "benchmarks.csv", benchmarksCsv(benchmarks)),
    csv("overlap_csv", "overlap.csv", matrixCsv(benchmarks, matrices.overlap_DD)),
    csv("overlap_min_csv", "overlap-min.csv", matrixCsv(benchmarks, matrices.overlapMin_DD)),
    csv("jaccard_csv", "jaccard.csv", matrixCsv(benchmarks, matrices.jaccard_DD)),
    csv("coverage_csv", "coverage.csv", coverageCsv(benchmarks)),
    svg("heat_map_svg", "overlap.svg", overlapPicture(suite, setting)),
    svg("heat_map_min_svg", "overlap-min.svg", overlapMinPicture(suite, setting)),
    svg(
      "coverage_svg",
      "coverage.svg",
      coverageChartSvg(
        "How soon random samples cover a benchmark's features",
        `${setting} Exact expectation; a line that rises early means redundant samples.`,
        benchmarks.map((one) => ({ ...one, auc: one.coverageAuc })),
      ),
    ),
  ];
}

function benchmarksCsv(benchmarks: readonly AnalyzedBenchmark[]): string {
  return toCsv(
    ["benchmark", "samples", "features", "redundancy", "coverage_auc", "uniqueness"],
    benchmarks.map((one) => [one.name, one.samples, one.features, one.redundancy, one.coverageAuc, one.uniqueness]),
  );
}

function matrixCsv(benchmarks: readonly AnalyzedBenchmark[], matrix_DD: Float64Array): string {
  const names = benchmarks.map(({ name }) => name);
  const rows = matrixRows(matrix_DD, names.length);
  return toCsv(
    ["benchmark", ...names],
    rows.map((row, i) => [names[i]!, ...row]),
  );
}

function coverageCsv(benchmarks: readonly AnalyzedBenchmark[]): string {
  return toCsv(
    ["benchmark", "samples_drawn", "coverage"],
    benchmarks.flatMap(({ name, curve }) => curve.samples.map((drawn, i) => [name, drawn, curve.coverage[i]!])),
  );
}

function overlapPicture({ benchmarks, matrices, clustering }: SuiteAnalysis, setting: string): string {
  const name = (i: number) => benchmarks[i]!.name;
  return heatMapSvg({
    title: "Share of each benchmark's features that another covers",
    subtitle: `Row: whose features. Column: what covers them. ${setting}`,
    labels: benchmarks.map((one) => one.name),
    values: matrices.overlap_DD,
    order: clustering.order,
    describe: (row, column, value) =>
      Number.isNaN(value)
        ? `${name(row)} activates no feature`
        : `${name(column)} covers ${count(matrices, row, column)} of ${name(row)}'s ${matrices.features_D[row]} features (${value.toFixed(3)})`,
    scale: { low: "0, nothing in common", high: "1, fully covered" },
    columns: [
      { title: "samples", values: benchmarks.map((one) => one.samples.toLocaleString("en")) },
      { title: "features", values: benchmarks.map((one) => one.features.toLocaleString("en")) },
      { title: "redundancy", values: benchmarks.map((one) => one.redundancy?.toFixed(3) ?? "–") },
    ],
  });
}

function overlapMinPicture({ benchmarks, matrices, clustering }: SuiteAnalysis, setting: string): string {
  const name = (i: number) => benchmarks[i]!.name;
  return heatMapSvg({
    title: "Overlap of benchmarks, relative to the smaller one",
    subtitle: `Shared features over the features of the smaller benchmark. ${setting}`,
    labels: benchmarks.map((one) => one.name),
    values: matrices.overlapMin_DD,
    order: clustering.order,
    describe: (row, column, value) =>
      Number.isNaN(value)
        ? `${name(row)} or ${name(column)} activates no feature`
        : `${name(row)} and ${name(column)} share ${count(matrices, row, column)} features (${value.toFixed(3)} of the smaller)`,
    scale: { low: "0, nothing in common", high: "1, one contains the other" },
  });
}

function count(matrices: OverlapMatrices, row: number, column: number): number {
  return matrices.shared_DD[row * matrices.size + column]!;
}
