/** features.contrast: the features that tell one set of texts from others, ranked, with p-values and intervals. */
import { join } from "node:path";
import type { ContrastSet, FeaturesContrastResult, FeaturesContrastSettings } from "../../../domain/contrast.ts";
import { newId } from "../../../domain/id.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { keptTokens, type LabelledSequence } from "../../../engine/features/kept-tokens.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { toCsv } from "../../../formats/csv-writer.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../../open-models.ts";
import type { SaeRow } from "../../records.ts";
import type { Lease } from "../../residency.ts";
import { openSampleFile } from "../../sample-file.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";
import { type ContrastedSae, collectContrast, type RankedFeature, rankContrast } from "./contrast-ranking.ts";

/** Samples of one set; more than enough for a ranking, and few enough to be held as tokens. */
const MAXIMUM_SAMPLES = 200_000;

export const featuresContrast: JobHandler<FeaturesContrastSettings> = async (settings, context) => {
  const modelRow = await context.catalog.model(settings.model_id);
  const rows: SaeRow[] = [];
  for (const id of settings.sae_ids) rows.push(await context.catalog.sae(id));
  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  try {
    const model = await useModel(context, modelRow);
    leases.push(model);
    const saes: ContrastedSae[] = [];
    for (const row of rows) {
      const lease = await useSae(context, row);
      leases.push(lease);
      saes.push(collectContrast(row, lease.value.opened, settings.statistic));
    }
    const sequences = await readSequences(settings, model.value, context);
    await collect(settings, model.value, saes, sequences, context);
    return await output(settings, saes, sequences, context);
  } finally {
    for (const lease of leases) lease.release();
  }
};

async function readSequences(
  settings: FeaturesContrastSettings,
  model: WorkerModel,
  context: JobContext,
): Promise<LabelledSequence[]> {
  const sequences: LabelledSequence[] = [];
  const sets = [settings.positive, ...settings.negative];
  for (const [group, set] of sets.entries()) {
    const pointer = group === 0 ? "/input/positive" : `/input/negative/${group - 1}`;
    const before = sequences.length;
    for await (const text of textsOf(set, group, context)) {
      const ids = model.encode(text).subarray(0, model.language.config.contextLength);
      if (ids.length > 0) sequences.push({ ids, group });
      if (sequences.length - before > MAXIMUM_SAMPLES)
        throw fieldProblem(
          "SETTINGS_CONTRADICTORY",
          pointer,
          `more than ${MAXIMUM_SAMPLES} samples; take a part of them`,
        );
      if (sequences.length % 100 === 0) await stepOrStop(context);
    }
    if (sequences.length === before)
      throw fieldProblem("DATASET_TOO_SMALL", pointer, "no sample of this set has a token");
  }
  return sequences;
}

async function* textsOf({ texts, dataset_id, where = {} }: ContrastSet, group: number, context: JobContext) {
  if (texts) yield* texts;
  if (dataset_id === undefined) return;
  const { digest } = await context.catalog.dataset(dataset_id);
  const file = await openSampleFile(context.blobs, digest, join(context.scratch, `samples-${group}.jsonl`));
  try {
    for (let index = 0; index < file.count; index++) {
      const sample = await file.read(index);
      if (Object.entries(where).every(([column, value]) => String(sample[column]) === value)) yield sample.text;
    }
  } finally {
    await file.close();
  }
}

async function collect(
  { leave_out }: FeaturesContrastSettings,
  model: WorkerModel,
  saes: readonly ContrastedSae[],
  sequences: readonly LabelledSequence[],
  context: JobContext,
): Promise<void> {
  const mask = {
    firstPosition: leave_out.first_position,
    specialTokens: leave_out.special_tokens,
    sharedPrefix: leave_out.shared_prefix,
    sharedTokens: leave_out.shared_tokens,
  };
  const kept = keptTokens(sequences, mask, (id) => model.language.tokenizer.isSpecial(id));
  const total = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
  const meter = createProgressMeter(total, "tokens");
  const layers = [...new Set(saes.map((sae) => sae.row.layer))].sort((a, b) => a - b);
  let done = 0;
  const ids = sequences.map((sequence) => sequence.ids);
  for await (const batch of harvest(model.language, ids, { layers })) {
    for (const sae of saes) {
      await sae.add(batch, kept);
      await stepOrStop(context);
    }
    done += batch.rows;
    context.progress(meter.at(done));
  }
}

async function output(
  settings: FeaturesContrastSettings,
  saes: readonly ContrastedSae[],
  sequences: readonly LabelledSequence[],
  context: JobContext,
) {
  const groups = Uint8Array.from(sequences, ({ group }) => group);
  const ranked: RankedFeature[] = [];
  for (const sae of saes) {
    await stepOrStop(context);
    ranked.push(...rankContrast(sae, groups, settings));
  }
  const counted = saes[0]!.tokensOf(groups);
  const isIn = (feature: RankedFeature) => !(settings.leave_out.registers && feature.isRegister);
  const chosen = choose(ranked.filter(isIn), settings);
  const id = newId("artifact");
  const positives = groups.filter((group) => group === 0).length;
  const result: FeaturesContrastResult = {
    features: saes.flatMap((sae) => sae.describe(chosen, groups, settings)).sort(byDirection(settings)),
    samples: { positive: positives, negative: groups.length - positives },
    tokens: counted,
    registers: settings.leave_out.registers
      ? ranked.filter((feature) => feature.isRegister).map((feature) => feature.feature)
      : [],
    ranking_artifact_id: id,
  };
  const blob = await context.blobs.put(Buffer.from(csvOf(ranked.filter(isIn))));
  return { result, artifacts: [{ id, name: "ranking.csv", contentType: "text/csv; charset=utf-8", blob }] };
}

function choose(ranked: readonly RankedFeature[], { per_layer, top, direction }: FeaturesContrastSettings) {
  const groups = per_layer ? [...Map.groupBy(ranked, (feature) => feature.saeId).values()] : [ranked];
  return groups.flatMap((group) => {
    const descending = group.toSorted((a, b) => b.value - a.value || a.index - b.index);
    if (direction === "positive") return descending.slice(0, top);
    if (direction === "negative") return descending.slice(-top);
    return descending.toSorted((a, b) => Math.abs(b.distance) - Math.abs(a.distance)).slice(0, top);
  });
}

function byDirection({ direction }: FeaturesContrastSettings) {
  const sign = direction === "negative" ? -1 : 1;
  return (a: { value: number }, b: { value: number }) => sign * (b.value - a.value);
}

function csvOf(ranked: readonly RankedFeature[]): string {
  const header = ["feature", "layer", "value", "positive_rate", "negative_rate", "positive_mean", "negative_mean"];
  const rows = ranked
    .toSorted((a, b) => b.value - a.value)
    .map((one) => [
      one.feature,
      one.layer,
      one.value,
      one.positiveRate,
      one.negativeRate,
      one.positiveMean,
      one.negativeMean,
    ]);
  return toCsv(header, rows);
}
