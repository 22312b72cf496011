/** The files of a sweep: JSON, CSV, every text, and a chart. */
import { newId } from "../../../domain/id.ts";
import type { SteeringSweepResult, SteeringSweepSettings, SweepVerdict } from "../../../domain/sweep.ts";
import { type SweepChart, sweepChartSvg } from "../../../engine/features/charts/sweep-chart.ts";
import { type CsvCell, toCsv } from "../../../formats/csv-writer.ts";
import type { JobOutput, ProducedArtifact } from "../../protocol.ts";
import type { JobContext } from "../handler.ts";
import type { Halves } from "./sweep-arms.ts";
import type { SweepRun } from "./sweep-run.ts";

export type FoundBySweep = Omit<SteeringSweepResult, "verdict" | "artifacts"> & {
  readonly verdict: SweepVerdict | null;
};

interface SweepFilesParts {
  readonly settings: SteeringSweepSettings;
  readonly run: SweepRun;
  readonly halves: Halves;
  readonly context: JobContext;
  readonly found: FoundBySweep;
  /** In words. */
  readonly goal: string;
}

/** `found.verdict` is null when the sweep was stopped before its end: then the files hold what was measured until there. */
export async function writeSweepFiles(parts: SweepFilesParts): Promise<JobOutput> {
  const { context, found } = parts;
  const artifacts: ProducedArtifact[] = [];
  const keep = async (name: string, contentType: string, text: string) => {
    const id = newId("artifact");
    artifacts.push({ id, name, contentType, blob: await context.blobs.put(Buffer.from(text)) });
    return id;
  };
  const links = {
    report: await keep("sweep.json", "application/json", `${JSON.stringify(reportOf(parts), null, 1)}\n`),
    table: await keep("sweep.csv", "text/csv; charset=utf-8", tableOf(found)),
    texts: await keep("texts.jsonl", "application/jsonl", textsOf(parts)),
    chart: await keep("sweep.svg", "image/svg+xml", sweepChartSvg(chartOf(parts))),
  };
  return { result: { ...found, artifacts: links }, artifacts };
}

function reportOf({ settings, run, halves, found }: SweepFilesParts) {
  const { modelRow, runtime } = run.bench;
  const scores = [...run.outcomes].flatMap(([arm, outcome]) =>
    "texts" in outcome
      ? [{ arm, prompts: outcome.texts.map(({ prompt }) => prompt), goal: outcome.texts.map(({ goal }) => goal) }]
      : [],
  );
  return {
    ...found,
    settings,
    model: { id: modelRow.id, name: modelRow.name, digest: modelRow.digest },
    runtime,
    compared_prompts: halves.compared,
    judged_prompts: halves.judged,
    scores,
  };
}

const columns = [
  "arm",
  "cell",
  "feature",
  "vector",
  "strength",
  "prompts",
  "goal",
  "goal_low",
  "goal_high",
  "effect",
  "effect_low",
  "effect_high",
  "lead",
  "lead_low",
  "lead_high",
  "perplexity",
  "perplexity_ratio",
  "distinct_1",
  "distinct_2",
  "longest_repetition",
  "tokens",
  "fluent",
] as const;

/** Cells first, on the prompts that compare; then the best and its controls on those that judge. */
function tableOf({ cells, arms }: FoundBySweep): string {
  const estimate = (one: { mean: number; interval: { low: number; high: number } | null } | null): CsvCell[] => [
    one?.mean,
    one?.interval?.low,
    one?.interval?.high,
  ];
  const rest = (one: FoundBySweep["cells"][number] | FoundBySweep["arms"][number]): CsvCell[] => [
    one.prompts,
    ...estimate(one.goal),
    ...estimate(one.effect),
    ...estimate("lead" in one ? one.lead : null),
    ...[one.perplexity, one.perplexity_ratio, one.distinct_1, one.distinct_2, one.longest_repetition, one.tokens],
    String(one.fluent),
  ];
  return toCsv(columns, [
    ...cells.map((one) => ["cell", one.cell, one.feature, one.vector, one.strength, ...rest(one)]),
    ...arms.map((one) => [one.arm, null, one.detail, null, null, ...rest(one)]),
  ]);
}

function textsOf({ run }: SweepFilesParts): string {
  const lines = [...run.outcomes].flatMap(([arm, outcome]) =>
    "texts" in outcome
      ? outcome.texts.map((one) => {
          const { goal, tokens, distinct1, distinct2, longestRepetition } = one;
          return JSON.stringify({
            ...{
              arm,
              prompt_index: one.prompt,
              prompt: run.bench.prompts[one.prompt]!.text,
              text: one.text,
              goal,
              tokens,
            },
            perplexity: tokens === 0 ? null : Math.exp(one.nats / tokens),
            ...{ distinct_1: distinct1, distinct_2: distinct2, longest_repetition: longestRepetition },
          });
        })
      : [],
  );
  return lines.map((line) => `${line}\n`).join("");
}

function chartOf({ settings, found, goal }: SweepFilesParts): SweepChart {
  const groups = Map.groupBy(found.cells, ({ feature, vector }) => feature ?? `vector ${vector}`);
  const reach = (cells: FoundBySweep["cells"]) => Math.max(...cells.map((one) => one.effect?.mean ?? 0));
  return {
    title: `Steering sweep: ${goal}`,
    subtitle: found.verdict?.summary ?? "Stopped before its end.",
    goal,
    strengthUnit: settings.unit?.replace("_", " ") ?? "",
    baseline: found.baseline.goal.mean,
    perplexityLimit: settings.limits.perplexity_ratio,
    series: [...groups]
      .sort(([, a], [, b]) => reach(b) - reach(a))
      .map(([name, cells]) => ({
        name,
        points: cells
          .toSorted((a, b) => (a.strength ?? 0) - (b.strength ?? 0))
          .map((one) => ({
            ...{ strength: one.strength, goal: one.goal.mean, interval: one.goal.interval, fluent: one.fluent },
            perplexityRatio: one.perplexity_ratio,
            isBest: one.cell === found.best?.cell,
          })),
      })),
  };
}
