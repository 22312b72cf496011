/** A training's report as one HTML file for people: no script, nothing loaded from anywhere, light and dark. */
import { type MetricName, metricTable } from "../../../domain/metric.ts";
import { shortNumber } from "../../../engine/features/charts/axis.ts";
import { barChartSvg } from "../../../engine/features/charts/bar-chart.ts";
import { lineChartSvg } from "../../../engine/features/charts/line-chart.ts";
import { escapeXml } from "../../../engine/features/charts/svg.ts";
import type { RateHistogram } from "../../../engine/sae/feature-table.ts";
import { pageCss } from "../page-style.ts";
import type { CurvePoint } from "./training-curve.ts";

interface ReportedSae {
  readonly name: string;
  readonly layer: number;
  readonly firing_rate_histogram?: RateHistogram;
  readonly [metric: string]: unknown;
}

/** What the page shows of a report; the JSON beside it has everything. */
export interface PageReport {
  readonly model: { readonly name: string };
  readonly dataset: { readonly name: string };
  readonly samples: { readonly training: number; readonly held_out: number };
  readonly settings: { readonly tokens: number; readonly evaluation_tokens: number };
  readonly runtime: string;
  readonly saes: readonly ReportedSae[];
  readonly curve: readonly CurvePoint[];
}

/** Columns of the first table, and those of the second: what the sae is, and what it costs the model. */
const quality: readonly MetricName[] = [
  "fraction_variance_unexplained",
  "fraction_variance_unexplained_all",
  "cosine_similarity",
  "l0_per_token",
  "dead_fraction",
  "inactive_fraction",
  "dense_fraction",
  "encoder_decoder_cosine",
];
const cost: readonly MetricName[] = [
  "cross_entropy_nats",
  "cross_entropy_spliced_nats",
  "cross_entropy_ablated_nats",
  "cross_entropy_recovered",
  "cross_entropy_recovered_inliers",
  "kl_divergence_spliced_nats",
  "kl_divergence_spliced_inliers_nats",
];

export function reportPage(report: PageReport): string {
  const { model, dataset, samples, saes } = report;
  const title = `${saes.length === 1 ? "A sparse autoencoder" : `${saes.length} sparse autoencoders`} of ${model.name}`;
  const { tokens, evaluation_tokens } = report.settings;
  const counted = (count: number) => count.toLocaleString("en");
  const trained = `Trained on ${counted(tokens)} tokens from ${counted(samples.training)} samples of ${dataset.name}.`;
  const held = `Measured on ${counted(evaluation_tokens)} tokens, in whole sequences, of its ${counted(samples.held_out)} held-out samples, or on all where they have fewer.`;
  const about = `${trained} ${held} Runtime ${report.runtime}.`;
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title>`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<style>${pageCss}</style></head><body><main>`,
    `<h1>${escapeXml(title)}</h1><p>${escapeXml(about)}</p>`,
    `<h2>How well they reconstruct</h2>${metricsTable(saes, quality)}`,
    `<h2>What they cost the model</h2>${metricsTable(saes, cost)}`,
    ...section("Layer by layer", layerCharts(saes)),
    ...section("While training", curveCharts(report.curve)),
    ...section("How often features fire", saes.flatMap(rateChart)),
    `<h2>Settings</h2>${settingsTable(report.settings)}`,
    `<h2>Definitions</h2>${definitions()}`,
    "</main></body></html>\n",
  ].join("\n");
}

function section(title: string, charts: readonly string[]): string[] {
  if (charts.length === 0) return [];
  return [
    `<h2>${escapeXml(title)}</h2>`,
    `<div class="charts">${charts.map((svg) => `<figure>${svg}</figure>`).join("")}</div>`,
  ];
}

function metricsTable(saes: readonly ReportedSae[], names: readonly MetricName[]): string {
  const head = names.map((name) => {
    const { title, unit, definition } = metricTable[name];
    return `<th scope="col" title="${escapeXml(definition)}">${escapeXml(title)}<small>${escapeXml(unit)}</small></th>`;
  });
  const rows = saes.map((sae) => {
    const cells = names.map((name) => `<td>${numberCell(sae[name])}</td>`);
    return `<tr><th scope="row">${escapeXml(sae.name)}<small>layer ${sae.layer}</small></th>${cells.join("")}</tr>`;
  });
  return `<div class="wide"><table><thead><tr><th scope="col">sae</th>${head.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

/** Four digits that matter; what could not be measured is a dash. */
function numberCell(value: unknown): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** Only for several layers: one point is no line. */
function layerCharts(saes: readonly ReportedSae[]): string[] {
  if (new Set(saes.map(({ layer }) => layer)).size < 2) return [];
  const chart = (title: string, yLabel: string, names: readonly MetricName[]) =>
    lineChartSvg({
      title,
      subtitle: "Held-out text.",
      xLabel: "layer",
      yLabel,
      series: names.map((name) => ({
        name: metricTable[name].title,
        points: saes.map((sae) => ({ x: sae.layer, y: Number(sae[name] ?? Number.NaN) })).sort((a, b) => a.x - b.x),
      })),
    });
  return [
    chart("Variance that is left", "fraction", ["fraction_variance_unexplained", "fraction_variance_unexplained_all"]),
    chart("Cross-entropy recovered", "fraction", ["cross_entropy_recovered", "cross_entropy_recovered_inliers"]),
  ];
}

function curveCharts(curve: readonly CurvePoint[]): string[] {
  const lines = new Map<string, CurvePoint[]>();
  for (const point of curve) {
    const name = `layer ${point.layer}, ${point.width} features, k ${point.k}`;
    lines.set(name, [...(lines.get(name) ?? []), point]);
  }
  const chart = (title: string, yLabel: string, y: (point: CurvePoint) => number) =>
    lineChartSvg({
      title,
      subtitle: "Batches as they were learned from.",
      xLabel: "activations seen",
      yLabel,
      series: [...lines].map(([name, points]) => ({
        name,
        points: points.map((one) => ({ x: one.tokens, y: y(one) })),
      })),
    });
  if (curve.length === 0) return [];
  return [
    chart("Variance that is left", "fraction", (point) => point.fraction_variance_unexplained),
    chart("Dead features", "features", (point) => point.dead_features),
    chart("Active features", "per activation", (point) => point.l0_per_token),
  ];
}

function rateChart({ name, firing_rate_histogram: histogram }: ReportedSae): string[] {
  if (!histogram) return [];
  const { never, edges, counts } = histogram;
  const percent = (power: number) => `${shortNumber(Number((100 * 10 ** power).toPrecision(2)))} %`;
  const bars = edges.map((edge, i) => ({
    label: Number.isInteger(edge) ? percent(edge) : "",
    value: counts[i]!,
    about: `${counts[i]} features fire on ${percent(edge)} to ${percent(edge + 0.25)} of the tokens`,
  }));
  return [
    barChartSvg({
      title: name,
      subtitle: "Features by the share of held-out tokens on which they are active.",
      xLabel: "share of tokens, a quarter of a decade a bar",
      yLabel: "features",
      bars: [{ label: "never", value: never, about: `${never} features never fire`, apart: true }, ...bars],
    }),
  ];
}

function settingsTable(settings: object): string {
  const rows = Object.entries(settings).map(([name, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return `<tr><th scope="row">${escapeXml(name)}</th><td>${escapeXml(text)}</td></tr>`;
  });
  return `<div class="wide"><table class="settings"><tbody>${rows.join("")}</tbody></table></div>`;
}

function definitions(): string {
  const entries = [...quality, ...cost].map((name) => {
    const { title, unit, definition } = metricTable[name];
    return `<dt>${escapeXml(title)} <small>${escapeXml(`${name}, ${unit}`)}</small></dt><dd>${escapeXml(definition)}</dd>`;
  });
  return `<dl>${entries.join("")}</dl>`;
}
