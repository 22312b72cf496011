import type { JobKind } from "../../domain/job.ts";

/** What a reader calls each kind. */
export const kindTitles: Readonly<Partial<Record<JobKind, string>>> = {
  "benchmark.analyze": "Benchmark analysis",
  "sae.train": "Sae training",
  "sae.release": "Release of saes",
  "sae.import": "Sae import",
  "sae.export": "Sae export",
  "model.import": "Model import",
  "activations.harvest": "Harvest of activations",
  "features.index": "Index of features",
  "features.label": "Labels of features",
  "features.contrast": "Contrast of texts",
  "steering.sweep": "Steering sweep",
  "steering.search": "Steering search",
  "steering.batch": "Batch of completions",
};

export function kindTitle(kind: string): string {
  const titles: Readonly<Record<string, string | undefined>> = kindTitles;
  return titles[kind] ?? kind;
}
