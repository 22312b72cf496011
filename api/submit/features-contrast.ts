// Laws of features.contrast.
import type { ContrastSet, FeaturesContrastSettings } from "../../domain/contrast.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { findDataset, referred } from "../lookup.ts";
import { saesOfOneModel } from "./saes-of-one-model.ts";
import type { Submission } from "./submission.ts";

export async function resolveFeaturesContrast(
  submission: Submission,
  input: JobInput<"features.contrast">,
): Promise<FeaturesContrastSettings> {
  const { at } = submission;
  const { model_id, sae_ids } = await saesOfOneModel(submission, input.sae_ids);
  const statistic = input.statistic ?? "mean_difference";
  const given = input.negative === undefined ? [] : Array.isArray(input.negative) ? input.negative : [input.negative];
  const isList = Array.isArray(input.negative);
  if (statistic === "repetition" && given.length > 0)
    throw fieldProblem(
      "SETTINGS_CONTRADICTORY",
      `${at}/negative`,
      "repetition compares the positive samples with themselves",
    );
  if (statistic !== "repetition" && given.length === 0)
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/negative`, `${statistic} needs something to compare with`);
  const negative: ContrastSet[] = [];
  for (const [index, set] of given.entries())
    negative.push(await resolveSet(submission, set, isList ? `${at}/negative/${index}` : `${at}/negative`));
  return {
    model_id,
    sae_ids,
    positive: await resolveSet(submission, input.positive, `${at}/positive`),
    negative,
    statistic,
    top: input.top ?? 20,
    per_layer: input.per_layer ?? false,
    direction: input.direction ?? "positive",
    leave_out: {
      first_position: input.leave_out?.first_position ?? true,
      special_tokens: input.leave_out?.special_tokens ?? true,
      shared_prefix: input.leave_out?.shared_prefix ?? false,
      shared_tokens: input.leave_out?.shared_tokens ?? false,
      registers: input.leave_out?.registers ?? true,
    },
    shuffles: input.shuffles ?? 200,
    draws: input.draws ?? 500,
    seed: input.seed ?? 0,
  };
}

async function resolveSet({ platform, caller }: Submission, set: ContrastSet, pointer: string): Promise<ContrastSet> {
  if ((set.texts === undefined) === (set.dataset_id === undefined))
    throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, "needs exactly one of texts and dataset_id");
  if (set.dataset_id === undefined) {
    if (set.where !== undefined)
      throw fieldProblem("SETTINGS_CONTRADICTORY", `${pointer}/where`, "where chooses samples of a dataset");
    return set;
  }
  const at = `${pointer}/dataset_id`;
  const dataset = referred(
    await findDataset(platform, caller.workspaceId, set.dataset_id),
    "dataset",
    set.dataset_id,
    at,
  );
  const columns = dataset.columns as string[];
  for (const column of Object.keys(set.where ?? {})) {
    if (columns.includes(column)) continue;
    const detail = `the dataset "${dataset.name}" has the columns ${columns.join(", ")}; there is no "${column}"`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${pointer}/where`, detail);
  }
  return { ...set, dataset_id: dataset.id };
}
