/** The analysis as one HTML file for people: no script, nothing loaded from anywhere. The JSON beside it has everything. */
import type { BenchmarkAnalysis } from "../../../domain/benchmark-analysis.ts";
import { escapeXml } from "../../../engine/features/charts/svg.ts";
import { pageCss } from "../page-style.ts";

type Benchmark = BenchmarkAnalysis["benchmarks"][number];
type Interval = { readonly low: number; readonly high: number } | null;

/** @param pictures SVG documents, the heat maps and curves */
export function benchmarkPage(analysis: BenchmarkAnalysis, pictures: readonly string[]): string {
  const { model, saes, benchmarks, position, suite, merge, specific } = analysis;
  const title = `${benchmarks.length === 1 ? "A benchmark" : `${benchmarks.length} benchmarks`} through the features of ${model.name}`;
  const which = saes.length === 1 ? `${saes[0]!.name}, layer ${saes[0]!.layer}` : `${saes.length} saes`;
  const about = `${count(suite.samples)} samples activate ${count(suite.features)} features (${which}; position: ${position}). Runtime ${analysis.runtime}.`;
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title>`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<style>${pageCss}</style></head><body><main>`,
    `<h1>${escapeXml(title)}</h1><p>${escapeXml(about)}</p>`,
    "<h2>Redundancy and coverage</h2>",
    "<p>R̂ is not a share: it can be above 1, and compares only benchmarks of one model, sae and position. High redundancy is not low quality. Intervals, 95 %: other draws of as many samples.</p>",
    table(FIGURES, benchmarks),
    `<h2>Overlap</h2><div class="charts">${pictures.map((svg) => `<figure>${svg}</figure>`).join("")}</div>`,
    `<h2>Without what is common in neutral text</h2><p>${specific.common_features.length} features fire on more than ${percent(specific.common_above)} of ${count(specific.neutral_tokens)} neutral tokens, or are registers.</p>`,
    table(SPECIFIC, benchmarks),
    "<h2>Fewer samples</h2>",
    `<p>Samples that greedy choice needs, and what no choice can go below. Any number of samples of the greedy order covers at least ${percent(1 - 1 / Math.E)} of what as many can.</p>`,
    table(CORESET, benchmarks),
    "<h2>Benchmarks to merge</h2>",
    merges(analysis),
    `<p><small>${escapeXml(merge.rule)}</small></p>`,
    ...scores(analysis),
    ...stability(analysis),
    "<h2>Features of one benchmark alone</h2>",
    ...benchmarks.map(unique),
    `<h2>Definitions</h2><dl>${definitions(analysis)}</dl>`,
    "</main></body></html>\n",
  ].join("\n");
}

type Column<T> = readonly [title: string, text: (one: T) => string];

const FIGURES: readonly Column<Benchmark>[] = [
  ["samples", ({ samples }) => count(samples)],
  ["features", ({ features, features_interval }) => withInterval(count(features), features_interval, count)],
  ["R̂", ({ redundancy, redundancy_interval }) => withInterval(short(redundancy), redundancy_interval, short)],
  [
    "area",
    ({ coverage_auc, coverage_auc_interval }) => withInterval(short(coverage_auc), coverage_auc_interval, short),
  ],
  ["its own alone", ({ uniqueness }) => (uniqueness === null ? "–" : percent(uniqueness))],
  ["lost without it", ({ lost_without }) => count(lost_without)],
  ["prompts cut", ({ cut }) => count(cut)],
  ["repeated prompts", ({ duplicates }) => count(duplicates)],
];
const SPECIFIC: readonly Column<Benchmark>[] = [
  ["features", ({ specific }) => count(specific.features)],
  ["R̂", ({ specific }) => short(specific.redundancy)],
  ["area", ({ specific }) => short(specific.coverage_auc)],
];
const CORESET: readonly Column<Benchmark>[] = [
  ...[0.9, 0.95, 0.99, 1].map((share): Column<Benchmark> => [percent(share), ({ greedy }) => target(greedy, share)]),
  ["add nothing together", ({ adds_nothing }) => count(adds_nothing.together)],
  ["add nothing alone", ({ adds_nothing }) => count(adds_nothing.alone)],
];

function table<T extends { readonly name: string }>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const head = columns.map(([title]) => `<th scope="col">${escapeXml(title)}</th>`).join("");
  const body = rows.map((row) => {
    const cells = columns.map(([, text]) => `<td>${text(row)}</td>`).join("");
    return `<tr><th scope="row">${escapeXml(row.name)}</th>${cells}</tr>`;
  });
  return `<div class="wide"><table><thead><tr><th scope="col"></th>${head}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
}

function target({ targets }: Benchmark["greedy"], share: number): string {
  const found = targets.find((one) => one.share === share);
  return found ? `${count(found.samples)}<small>at least ${count(found.at_least)}</small>` : "–";
}

function merges({ merge, suite }: BenchmarkAnalysis): string {
  if (merge.suggestions.length === 0)
    return `<p>No benchmark covers ${percent(merge.above)} of another's features.</p>`;
  const lines = merge.suggestions.map(({ drop, keep, overlap, lost }) =>
    escapeXml(
      `${drop}: ${keep} covers ${percent(overlap)} of its features; without it ${count(lost)} features are lost`,
    ),
  );
  const left = `${count(merge.features_left)} of ${count(suite.features)} features are left.`;
  return `<ul>${lines.map((line) => `<li>${line}</li>`).join("")}</ul><p>${left}</p>`;
}

function scores({ scores: found, benchmarks }: BenchmarkAnalysis): string[] {
  if (found === null) return [];
  const rows = benchmarks.map(({ name, redundancy }, i) => ({ name, redundancy, ...found.performance_redundancy[i]! }));
  const says = (title: string, one: { value: number | null; p_value: number | null; reason: string | null }) =>
    `<li>${escapeXml(title)}: ${one.value === null ? escapeXml(one.reason ?? "–") : `${short(one.value)} (p ${short(one.p_value)})`}</li>`;
  const { direct, partial, tokens, random } = found.overlap_min;
  return [
    `<h2>Beside the scores of ${found.models.length} models</h2>`,
    table<(typeof rows)[number]>(
      [
        ["R̂", (row) => short(row.redundancy)],
        ["R", (row) => (row.value === null ? escapeXml(row.reason ?? "–") : short(row.value))],
        ["± (subsets)", (row) => short(row.error)],
      ],
      rows,
    ),
    "<ul>",
    says("R with R̂, Spearman", found.redundancy.spearman),
    says("R with R̂, Pearson", found.redundancy.pearson),
    says("overlap with similarity, Spearman", direct.spearman),
    says("overlap with similarity, Pearson", direct.pearson),
    ...(partial ? [says(`the same given ${found.given}, Spearman`, partial.spearman)] : []),
    ...(partial ? [says(`the same given ${found.given}, Pearson`, partial.pearson)] : []),
    says("overlap of tokens with similarity, Spearman", tokens.spearman),
    says("overlap of random features with similarity, Spearman", random.spearman),
    "</ul>",
  ];
}

function stability({ stability: found }: BenchmarkAnalysis): string[] {
  if (found === null) return [];
  const label = ({ name, k }: (typeof found.variants)[number]) => (k === null ? name : `${name}, k ${k}`);
  const rows = found.variants.map((variant, v) => ({
    name: label(variant),
    redundancy: found.redundancy_spearman[0]![v]!,
    overlap: found.overlap_min_spearman[0]![v]!,
  }));
  return [
    "<h2>Does it depend on layer and k?</h2>",
    `<p>Rank correlation with ${escapeXml(rows[0]!.name)}.</p>`,
    table<(typeof rows)[number]>(
      [
        ["of R̂ over benchmarks", (row) => short(row.redundancy)],
        ["of overlap over pairs", (row) => short(row.overlap)],
      ],
      rows,
    ),
  ];
}

function unique({ name, unique_features: features, lost_without }: Benchmark): string {
  const lines = features.slice(0, 5).map(({ feature, label, samples, examples }) => {
    const example = examples[0] ? `<small>row ${examples[0].row}: ${escapeXml(examples[0].prompt)}</small>` : "";
    return `<li>${escapeXml(label ?? feature)}: ${count(samples)} samples${example}</li>`;
  });
  return `<h3>${escapeXml(name)} <small>${count(lost_without)} features</small></h3><ul>${lines.join("")}</ul>`;
}

function definitions({ definitions: words }: BenchmarkAnalysis): string {
  return Object.entries(words)
    .map(([word, meaning]) => `<dt>${escapeXml(word)}</dt><dd>${escapeXml(meaning)}</dd>`)
    .join("");
}

function withInterval(text: string, interval: Interval, format: (value: number) => string): string {
  return interval ? `${text}<small>${format(interval.low)} – ${format(interval.high)}</small>` : text;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

function short(value: number | null): string {
  if (value === null) return "–";
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
