// The curves of a training out of its job's events.
import type { JobEvent } from "../api/follow-job.ts";
import type { Point, Series } from "../charts/line-geometry.ts";

export const curveMetrics = ["fraction_variance_unexplained", "loss", "dead_fraction", "l0_per_token"] as const;
export type CurveMetric = (typeof curveMetrics)[number];

interface MetricsData extends Partial<Record<CurveMetric, number | null>> {
  readonly layer: number;
  readonly width: number;
  readonly k: number;
  readonly step: number;
  readonly tokens: number;
}

/** One curve per sae over the tokens it has learned from. What a roll back or a resume has undone is taken back. */
export function curvesOf(events: readonly JobEvent[], metric: CurveMetric): Series[] {
  const byName = new Map<string, Point[]>();
  const several = new Set(metricsIn(events).map(({ width, k }) => `${width}/${k}`)).size > 1;
  for (const { data } of events.filter(({ type }) => type === "metrics")) {
    const { layer, width, k, tokens, [metric]: value } = data as unknown as MetricsData;
    if (value === undefined || value === null) continue;
    const name = several ? `layer ${layer}, width ${width}, k ${k}` : `layer ${layer}`;
    const before = (byName.get(name) ?? []).filter(({ x }) => x < tokens);
    byName.set(name, [...before, { x: tokens, y: value }]);
  }
  return [...byName].map(([name, points]) => ({ name, points }));
}

function metricsIn(events: readonly JobEvent[]): MetricsData[] {
  return events.filter(({ type }) => type === "metrics").map(({ data }) => data as unknown as MetricsData);
}

/** What has happened besides progress, in words, newest first. */
export function happenings(events: readonly JobEvent[]): { readonly id: number; readonly words: string }[] {
  return events
    .flatMap(({ id, type, data }) => {
      const words = inWords(type, data);
      return words === null ? [] : [{ id, words }];
    })
    .reverse();
}

function inWords(type: string, data: Readonly<Record<string, unknown>>): string | null {
  switch (type) {
    case "checkpoint":
      return `Checkpoint at step ${data.step}`;
    case "unstable":
      return `Unstable: ${data.detail}`;
    case "rolled_back":
      return `Went back to step ${data.to_step}`;
    case "evaluating":
      return `Measuring sae ${data.sae} of ${data.of} on held-out text`;
    case "preempted":
      return "Preempted; it goes on from its checkpoint";
    case "crashed":
      return "The worker was lost; it goes on from its checkpoint";
    case "resumed":
      return "Resumed";
    default:
      return null;
  }
}
