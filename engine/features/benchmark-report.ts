import { toCsv } from "../../formats/csv-writer.ts";
import { coverageChartSvg } from "./charts/coverage-chart.ts";
import { heatMapSvg } from "./charts/heat-map.ts";
import { type CoverageCurve, coverageAuc, coverageCurve, featureRedundancy } from "./coverage.ts";
import { displayOrder } from "./display-order.ts";
import { matrixRows, type OverlapMatrices, overlapMatrices } from "./overlap.ts";

/** What the analysis needs of a benchmark: how many of its samples activate each feature. */
export interface CountedBenchmark {
  readonly name: string;
  readonly samples: number;
  /** m_j; see `createFeatureCounter`. */
  readonly counts_F: Uint32Array;
}

export interface AnalyzedBenchmark {
  readonly name: string;
  readonly samples: number;
  /** |F(D)| */
  readonly features: number;
  /** R̂(D), Eq. 9; unbounded; null without features. */
  readonly redundancy: number | null;
  /** AUC(c), Eq. 8. */
  readonly coverageAuc: number | null;
  /** Share of its features that no other benchmark activates; null without features. */
  readonly uniqueness: number | null;
  readonly curve: CoverageCurve;
}

export interface BenchmarkAnalysis {
  readonly benchmarks: readonly AnalyzedBenchmark[];
  readonly matrices: OverlapMatrices;
  /** The order in which pictures show the benchmarks: similar ones side by side. */
  readonly order: readonly number[];
}

/**
 * Redundancy of each benchmark and the overlaps between them (Qwen-Scope, section 4), from per-feature sample counts alone.
 *
 * @throws RangeError without a benchmark, for different widths, or for a count above the number of samples
 */
export function analyzeBenchmarks(counted: readonly CountedBenchmark[]): BenchmarkAnalysis {
  const matrices = overlapMatrices(counted.map(({ counts_F }) => counts_F));
  const benchmarks = counted.map(({ name, samples, counts_F }, i) => {
    const uniqueness = matrices.uniqueness_D[i]!;
    return {
      name,
      samples,
      features: matrices.features_D[i]!,
      redundancy: featureRedundancy(counts_F, samples),
      coverageAuc: coverageAuc(counts_F, samples),
      uniqueness: Number.isNaN(uniqueness) ? null : uniqueness,
      curve: coverageCurve(counts_F, samples),
    };
  });
  return { benchmarks, matrices, order: displayOrder(matrices.overlapMin_DD, matrices.size) };
}

export interface ReportFile {
  /** Key in the job's result. */
  readonly key: string;
  readonly name: string;
  readonly contentType: string;
  readonly text: string;
}

/**
 * The analysis as files: everything in one JSON document, tables as CSV, pictures as SVG.
 *
 * @param setting what the pictures say below their titles: position, saes, number of features
 * @param provenance recorded in the JSON document as it is: model, saes, templates, seed
 */
export function reportFiles(
  analysis: BenchmarkAnalysis,
  setting: string,
  provenance: Readonly<Record<string, unknown>>,
): ReportFile[] {
  const { benchmarks, matrices } = analysis;
  const csv = (key: string, name: string, text: string): ReportFile => ({ key, name, contentType: "text/csv", text });
  const svg = (key: string, name: string, text: string): ReportFile => ({
    key,
    name,
    contentType: "image/svg+xml",
    text,
  });
  return [
    {
      key: "report",
      name: "report.json",
      contentType: "application/json",
      text: `${JSON.stringify(reportDocument(analysis, provenance), null, 1)}\n`,
    },
    csv("benchmarks_csv", "benchmarks.csv", benchmarksCsv(benchmarks)),
    csv("overlap_csv", "overlap.csv", matrixCsv(benchmarks, matrices.overlap_DD)),
    csv("overlap_min_csv", "overlap-min.csv", matrixCsv(benchmarks, matrices.overlapMin_DD)),
    csv("coverage_csv", "coverage.csv", coverageCsv(benchmarks)),
    svg("heat_map_svg", "overlap.svg", overlapPicture(analysis, setting)),
    svg("heat_map_min_svg", "overlap-min.svg", overlapMinPicture(analysis, setting)),
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

function reportDocument(
  { benchmarks, matrices, order }: BenchmarkAnalysis,
  provenance: Readonly<Record<string, unknown>>,
) {
  const rows = (matrix: Float64Array) => matrixRows(matrix, matrices.size);
  return {
    ...provenance,
    definitions: DEFINITIONS,
    benchmarks: benchmarks.map((one) => ({
      name: one.name,
      samples: one.samples,
      features: one.features,
      redundancy: one.redundancy,
      coverage_auc: one.coverageAuc,
      uniqueness: one.uniqueness,
      coverage: one.curve,
    })),
    overlap: rows(matrices.overlap_DD),
    overlap_min: rows(matrices.overlapMin_DD),
    jaccard: rows(matrices.jaccard_DD),
    shared_features: rows(Float64Array.from(matrices.shared_DD)),
    display_order: order,
  };
}

const DEFINITIONS = {
  features: "|F(D)|: features above zero in at least one sample",
  redundancy: "(N + 1) / |F|^2 * sum over F of m / (m + 1), m = samples that activate the feature; not bounded by 1",
  coverage: "expected share of F that n samples drawn without replacement activate, exact",
  coverage_auc: "mean of the coverage over n = 1 .. N",
  uniqueness: "share of F that no other benchmark of this analysis activates",
  overlap: "[i][j] = |Fi and Fj| / |Fi|: share of i's features that j covers",
  overlap_min: "[i][j] = |Fi and Fj| / min(|Fi|, |Fj|)",
  jaccard: "[i][j] = |Fi and Fj| / |Fi or Fj|",
} as const;

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

function overlapPicture({ benchmarks, matrices, order }: BenchmarkAnalysis, setting: string): string {
  const name = (i: number) => benchmarks[i]!.name;
  return heatMapSvg({
    title: "Share of each benchmark's features that another covers",
    subtitle: `Row: whose features. Column: what covers them. ${setting}`,
    labels: benchmarks.map((one) => one.name),
    values: matrices.overlap_DD,
    order,
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

function overlapMinPicture({ benchmarks, matrices, order }: BenchmarkAnalysis, setting: string): string {
  const name = (i: number) => benchmarks[i]!.name;
  return heatMapSvg({
    title: "Overlap of benchmarks, relative to the smaller one",
    subtitle: `Shared features over the features of the smaller benchmark. ${setting}`,
    labels: benchmarks.map((one) => one.name),
    values: matrices.overlapMin_DD,
    order,
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
