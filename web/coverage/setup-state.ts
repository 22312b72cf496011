// What the reader has chosen for the next analysis. It outlives a visit to another page.
import { computed, signal } from "@preact/signals";
import type { BenchmarkAnalyzeInput } from "../../domain/benchmark.ts";
import type { Dataset, Sae } from "../api/catalog.ts";

export type Position = NonNullable<BenchmarkAnalyzeInput["position"]>;

export const chosenDatasets = signal<readonly string[]>([]);
export const chosenModel = signal<string | null>(null);
export const chosenSaes = signal<readonly string[]>([]);
export const position = signal<Position>("last");
export const sampleCap = signal<number | null>(null);
/** Dataset id → name or text of a template; absent: the one it was recognised for. */
export const templates = signal<Readonly<Record<string, string>>>({});
export const shots = signal<Readonly<Record<string, number>>>({});

export function toggled(list: readonly string[], item: string): readonly string[] {
  return list.includes(item) ? list.filter((other) => other !== item) : [...list, item];
}

export function setTemplate(datasetId: string, template: string): void {
  const { [datasetId]: _, ...others } = templates.value;
  templates.value = template === "" ? others : { ...others, [datasetId]: template };
}

export function setShots(datasetId: string, count: number): void {
  const { [datasetId]: _, ...others } = shots.value;
  shots.value = count > 0 ? { ...others, [datasetId]: count } : others;
}

export const analysisInput = computed<BenchmarkAnalyzeInput | null>(() => {
  if (chosenModel.value === null || chosenSaes.value.length === 0 || chosenDatasets.value.length === 0) return null;
  return {
    model_id: chosenModel.value,
    sae_ids: [...chosenSaes.value],
    position: position.value,
    benchmarks: chosenDatasets.value.map((id) => {
      const template = templates.value[id];
      const count = shots.value[id];
      return { dataset_id: id, ...(template && { template }), ...(count && { shots: { count } }) };
    }),
    ...(sampleCap.value !== null && { max_samples: sampleCap.value }),
  };
});

/** The sae of a model's middle layer: early layers see letters, the last ones only the next token. */
export function middleSae(saes: readonly Sae[]): Sae | null {
  const layers = saes.map(({ layer }) => layer).sort((a, b) => a - b);
  const middle = layers[Math.floor(layers.length / 2)];
  return saes.find(({ layer }) => layer === middle) ?? null;
}

const bundledNames = new Set([
  "arithmetic-easy",
  "arithmetic-hard",
  "sums",
  "code",
  "chat-multilingual",
  "toxicity-en",
  "toxicity-zh",
  "toxicity-es",
  "toxicity-ru",
  "toxicity-ar",
  "health-english",
  "health-english-copy",
  "out-of-distribution",
]);

/** Those of assets/README.md that are there: planted duplicates, a subset, and one that shares nothing. */
export function bundledBenchmarks(datasets: readonly Dataset[]): readonly Dataset[] {
  return datasets.filter(({ name }) => bundledNames.has(name));
}
