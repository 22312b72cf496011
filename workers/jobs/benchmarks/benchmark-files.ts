/** What an analysis leaves behind as files. */

import type { BenchmarkAnalysis } from "../../../domain/benchmark-analysis.ts";
import { type ReportFile, reportFiles } from "../../../engine/features/benchmark-report.ts";
import type { SuiteAnalysis } from "../../../engine/features/suite.ts";
import { toCsv } from "../../../formats/csv-writer.ts";
import { benchmarkPage } from "./benchmark-page.ts";

export function benchmarkFiles(analysis: BenchmarkAnalysis, suite: SuiteAnalysis): ReportFile[] {
  const pictures = reportFiles(suite, settingOf(analysis));
  const svgs = pictures.filter(({ contentType }) => contentType === "image/svg+xml").map(({ text }) => text);
  return [
    {
      key: "analysis",
      name: "analysis.json",
      contentType: "application/json",
      text: `${JSON.stringify(analysis)}\n`,
    },
    { key: "page", name: "report.html", contentType: "text/html", text: benchmarkPage(analysis, svgs) },
    ...pictures,
    { key: "pairs_csv", name: "pairs.csv", contentType: "text/csv", text: pairsCsv(analysis) },
    { key: "coreset_csv", name: "coreset.csv", contentType: "text/csv", text: coresetCsv(analysis) },
  ];
}

/** One row per pair: everything there is to correlate. */
function pairsCsv({ benchmarks, baselines, scores, ...matrices }: BenchmarkAnalysis): string {
  const header = ["a", "b", "shared_features", "a_covered_by_b", "b_covered_by_a", "overlap_min", "jaccard"];
  const baseline = ["tokens_overlap_min", "random_overlap_min"];
  const similarity = scores ? ["pearson", "spearman"] : [];
  const partial = scores?.partial ? ["partial_pearson", "partial_spearman"] : [];
  const rows = benchmarks.flatMap(({ name: a }, i) =>
    benchmarks.slice(i + 1).map(({ name: b }, offset) => {
      const j = i + 1 + offset;
      return [
        a,
        b,
        matrices.shared_features[i]![j],
        matrices.overlap[i]![j],
        matrices.overlap[j]![i],
        matrices.overlap_min[i]![j],
        matrices.jaccard[i]![j],
        baselines.tokens.overlap_min[i]![j],
        baselines.random.overlap_min[i]![j],
        ...(scores ? [scores.similarity.pearson[i]![j], scores.similarity.spearman[i]![j]] : []),
        ...(scores?.partial ? [scores.partial.pearson[i]![j], scores.partial.spearman[i]![j]] : []),
      ];
    }),
  );
  return toCsv([...header, ...baseline, ...similarity, ...partial], rows);
}

function coresetCsv({ benchmarks }: BenchmarkAnalysis): string {
  const rows = benchmarks.flatMap(({ name, greedy }) =>
    greedy.rows.map((row, i) => [name, i + 1, row, greedy.covered[i]!, greedy.covered[i]! / greedy.features]),
  );
  return toCsv(["benchmark", "order", "row", "features_covered", "share_covered"], rows);
}

function settingOf({ saes, position }: BenchmarkAnalysis): string {
  const tokens = position === "last" ? "Last token" : position === "mean" ? "Mean over tokens" : "Any token";
  const [first] = saes;
  const which = saes.length === 1 ? `${first!.name}, layer ${first!.layer}` : `${saes.length} saes together`;
  const width = saes.reduce((sum, sae) => sum + sae.width, 0);
  return `${tokens}; ${which}, ${width.toLocaleString("en")} features.`;
}
