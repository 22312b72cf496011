// analysis.json: everything that the page shows of a finished analysis.
import type { BenchmarkAnalysis } from "../../domain/benchmark-analysis.ts";
import { expectOk, fetchWithKey } from "../api/client.ts";
import type { Job } from "../api/follow-job.ts";
import { type Resource, useResource } from "../api/use-resource.ts";

export type Analysis = BenchmarkAnalysis;
export type Analyzed = BenchmarkAnalysis["benchmarks"][number];
export type Interval = { readonly low: number; readonly high: number } | null;

export function useAnalysis(job: Job): Resource<Analysis> {
  const id = (job.result as { artifacts?: Record<string, string> } | null)?.artifacts?.analysis ?? null;
  return useResource(id, async (signal) => {
    const response = await expectOk(await fetchWithKey(`/v1/artifacts/${id}/content`, { signal }));
    return (await response.json()) as Analysis;
  });
}

/** What the heat map can show. Of overlap a row is read: so much of the row's features the column has too. */
export const measures = {
  overlap: { title: "Covered by", words: "share of the row's features that the column activates too" },
  overlap_min: { title: "Smaller of both", words: "shared features over those of the smaller benchmark" },
  jaccard: { title: "Jaccard", words: "shared features over those of either" },
} as const;
export type Measure = keyof typeof measures;

export function matrixOf(analysis: Analysis, measure: Measure, specific: boolean) {
  return (specific ? analysis.specific : analysis)[measure];
}

export function intervalOf(analysis: Analysis, measure: Measure, row: number, column: number): Interval {
  if (measure === "jaccard") return null;
  const { low, high } = measure === "overlap" ? analysis.overlap_interval : analysis.overlap_min_interval;
  const [from, to] = [low[row]?.[column] ?? null, high[row]?.[column] ?? null];
  return from === null || to === null ? null : { low: from, high: to };
}
