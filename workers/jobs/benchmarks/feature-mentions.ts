/** Names, labels and examples of the features that an analysis points to. */
import type { FeatureExample, UniqueFeature } from "../../../domain/benchmark-analysis.ts";
import { EXAMPLES } from "../../../engine/features/benchmark-features.ts";
import type { SaeRow } from "../../records.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import type { CollectedBenchmark, Findings } from "./benchmark-findings.ts";

export interface FeatureNames {
  /** "sae id:index" of a number in the union of the saes. */
  nameOf(feature: number): string;
  labelOf(feature: number): string | null;
}

/** Of a prompt, what is shown: its end, for there it is measured. */
const TAIL_CHARACTERS = 160;

export async function readNames(
  saes: readonly SaeRow[],
  { unique, shared }: Pick<Findings, "unique" | "shared">,
  { catalog }: Pick<JobContext, "catalog">,
): Promise<FeatureNames> {
  const firsts = saes.map((_, i) => saes.slice(0, i).reduce((sum, { width }) => sum + width, 0));
  const place = (feature: number) => {
    const sae = firsts.findLastIndex((first) => first <= feature);
    return { sae, index: feature - firsts[sae]! };
  };
  const mentioned = new Set(
    [...unique.flat(), ...shared.flatMap(({ features }) => features)].map((one) => one.feature),
  );
  const labels = new Map<number, string>();
  for (const [s, { id }] of saes.entries()) {
    const own = [...mentioned].map(place).flatMap(({ sae, index }) => (sae === s ? [index] : []));
    if (own.length === 0) continue;
    for (const { feature, label } of await catalog.labels(id, own)) labels.set(firsts[s]! + feature, label);
  }
  return {
    nameOf(feature) {
      const { sae, index } = place(feature);
      return `${saes[sae]!.id}:${index}`;
    },
    labelOf: (feature) => labels.get(feature) ?? null,
  };
}

/** @param render prompt of a row of the benchmark's dataset */
export async function uniqueMentions(
  saes: readonly SaeRow[],
  { bySae, prompts }: CollectedBenchmark,
  features: Findings["unique"][number],
  names: FeatureNames,
  render: (row: number) => Promise<string>,
  context: JobContext,
): Promise<UniqueFeature[]> {
  const mentions: UniqueFeature[] = [];
  for (const { feature, samples } of features) {
    await stepOrStop(context);
    const examples: FeatureExample[] = [];
    for (const { sample, activation } of examplesOf(saes, bySae, feature)) {
      const row = prompts.rows_S[sample]!;
      examples.push({ row: row + 1, activation, prompt: tailOf(await render(row)) });
    }
    mentions.push({ feature: names.nameOf(feature), label: names.labelOf(feature), samples: samples[0]!, examples });
  }
  return mentions;
}

function examplesOf(saes: readonly SaeRow[], bySae: CollectedBenchmark["bySae"], feature: number) {
  let own = feature;
  let sae = 0;
  while (own >= saes[sae]!.width) own -= saes[sae++]!.width;
  const { features_A, samples_AE, activations_AE } = bySae[sae]!.examples;
  const at = features_A.indexOf(own);
  if (at < 0) return [];
  return Array.from({ length: EXAMPLES }, (_, e) => at * EXAMPLES + e)
    .map((i) => ({ sample: samples_AE[i]!, activation: activations_AE[i]! }))
    .filter(({ sample }) => sample >= 0);
}

function tailOf(prompt: string): string {
  const characters = [...prompt.slice(-2 * TAIL_CHARACTERS).toWellFormed()];
  if (prompt.length <= TAIL_CHARACTERS) return prompt.toWellFormed();
  return `…${characters.slice(-TAIL_CHARACTERS).join("")}`;
}
