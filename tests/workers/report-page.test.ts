import { expect, test } from "vitest";
import { rateHistogram } from "../../engine/sae/feature-table.ts";
import { type PageReport, reportPage } from "../../workers/jobs/training/report-page.ts";

const NASTY = `<img src=x onerror=alert(1)>"&'`;

const sae = (layer: number) => ({
  name: `nasty-layer${layer}`,
  layer,
  fraction_variance_unexplained: 0.0213 + layer,
  l0_per_token: 32,
  cross_entropy_recovered: null,
  firing_rate_histogram: rateHistogram(Float64Array.of(0, 0.001, 0.5, 1), 1000),
});

const report = (layers: readonly number[]): PageReport => ({
  model: { name: NASTY },
  dataset: { name: NASTY },
  samples: { training: 12_000, held_out: 600 },
  settings: { tokens: 2_000_000, evaluation_tokens: 16_384, ...{ layers, note: NASTY } },
  runtime: NASTY,
  saes: layers.map(sae),
  curve: layers.flatMap((layer) =>
    [1, 2].map((step) => ({
      ...{ layer, width: 4, k: 2, step, tokens: 100 * step, loss: 1, fraction_variance_unexplained: 1 / step },
      ...{ l0_per_token: 2, dead_features: 0, learning_rate: 1e-4 },
    })),
  ),
});

test("the page needs no script, loads nothing, and takes no markup from names", () => {
  const page = reportPage(report([0, 1]));
  expect(page).not.toMatch(/<script|<img|<link|<[^>]*\son\w+=|javascript:|@import|url\(/i);
  expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:/);
  expect(page).toContain("&lt;img src=x onerror=alert(1)&gt;");
});

test("the page says how many tokens were learned from and how many were measured, not only of how many samples", () => {
  const page = reportPage(report([0]));
  expect(page).toContain("Trained on 2,000,000 tokens from 12,000 samples");
  expect(page).toContain("Measured on 16,384 tokens, in whole sequences, of its 600 held-out samples");
});

test("the page shows every sae's numbers, a dash where there is none, and plots of layers, course and rates", () => {
  const page = reportPage(report([0, 1]));
  expect(page).toContain("<td>0.0213</td>");
  expect(page).toContain("<td>1.021</td>");
  expect(page).toContain("<td>–</td>");
  for (const title of ["Layer by layer", "While training", "How often features fire", "Settings", "Definitions"]) {
    expect(page).toContain(`<h2>${title}</h2>`);
  }
  // Two by layer, three of the course, one histogram for each sae.
  expect(page.match(/<svg /g)).toHaveLength(7);
  expect(page).toContain("1 features never fire");
});

test("one layer alone has no line over layers", () => {
  expect(reportPage(report([3]))).not.toContain("Layer by layer");
});
