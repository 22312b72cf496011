// Laws of steering.sweep.
import { resolveSteering } from "../../domain/generation/steering.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem, isProblem } from "../../domain/problem.ts";
import type { ResolvedEdit } from "../../domain/request.ts";
import { type Edit, opRules } from "../../domain/steering.ts";
import { maximumSweepCells, maximumSweepTexts, type SteeringSweepSettings } from "../../domain/sweep.ts";
import { countTexts, cutPrompts, sweepEdits } from "../../domain/sweep-plan.ts";
import type { Model } from "../../platform/database.ts";
import { createLookups, knownModel } from "../generation/lookups.ts";
import { referredModel, type Submission } from "./submission.ts";
import { pointedAt, resolveGoal, resolvePrompts } from "./sweep-parts.ts";

export async function resolveSteeringSweep(
  submission: Submission,
  input: JobInput<"steering.sweep">,
): Promise<SteeringSweepSettings> {
  const model = await referredModel(submission, input.model_id);
  const { prompts, settings: shared } = await resolveSweepSettings(submission, model, input);
  const { features, when } = await resolveDirections(submission, model, { ...input, ...shared });
  const settings = {
    ...input,
    ...shared,
    ...(features.length === 0 ? {} : { features }),
    ...(when ? { when } : {}),
  };
  checkSize(settings, sweepEdits(settings).length, prompts, submission.at);
  return settings;
}

type Shared = Pick<
  JobInput<"steering.sweep">,
  | ("prompts" | "dataset_id" | "where" | "template" | "prompt_limit" | "chat" | "op" | "strengths" | "unit" | "goal")
  | ("max_tokens" | "temperature" | "seed" | "controls" | "limits" | "held_out" | "draws")
>;

/** All but the directions, with its defaults; `prompts`: how many there are at most. */
export async function resolveSweepSettings(submission: Submission, model: Model, input: Shared) {
  const { prompts, ...dataset } = await resolvePrompts(submission, input);
  const op = input.op ?? ("add" as const);
  const unit = input.unit ?? usualUnit(op);
  const settings = {
    ...{ model_id: model.id, op, strengths: resolveStrengths(input, submission.at), ...dataset },
    ...(unit ? { unit } : {}),
    goal: await resolveGoal(submission, model, input.goal),
    chat: input.chat ?? false,
    max_tokens: input.max_tokens ?? 48,
    temperature: input.temperature ?? 0,
    seed: input.seed ?? 0,
    controls: { random_features: 3, negative_strength: true, ...input.controls },
    limits: { perplexity_ratio: 3, distinct_ratio: 0.5, length_ratio: 0.5, ...input.limits },
    held_out: input.held_out ?? 0.5,
    draws: input.draws ?? 2000,
  };
  return { prompts, settings };
}

function resolveStrengths({ op = "add", strengths }: Shared, at: string): number[] {
  const { value } = opRules[op];
  if (value === "refused" && (strengths ?? []).length > 0) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${op} has no strength`);
  }
  if (value === "required" && (strengths ?? []).length === 0) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${op} needs strengths`);
  }
  return strengths?.length ? strengths : typeof value === "object" ? [value.default] : [];
}

function usualUnit(op: keyof typeof opRules): Edit["unit"] {
  if (op === "add") return "residual_norm";
  return op === "set" ? "absolute" : undefined;
}

type Shape = Pick<
  SteeringSweepSettings,
  "features" | "vectors" | "op" | "strengths" | "unit" | "apply" | "when" | "max_tokens"
>;

/** Every direction as an edit would be checked, with the problem pointing at what the sweep calls it. */
async function resolveDirections(
  { platform, caller, at }: Submission,
  row: Model,
  shape: Partial<Shape> & Pick<Shape, "op" | "strengths">,
) {
  if (!shape.features && !shape.vectors) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/features`, "needs features or vectors to steer along");
  }
  const target = {
    lookups: createLookups(platform, caller.workspaceId),
    model: knownModel(row),
    maxTokens: shape.max_tokens ?? 48,
  };
  const features: string[] = [];
  let when: Edit["when"];
  for (const { edit, feature, vector } of sweepEdits({ ...shape, strengths: shape.strengths.slice(0, 1) })) {
    const own = feature === null ? `${at}/vectors/${vector}` : `${at}/features/${shape.features!.indexOf(feature)}`;
    const [resolved] = (await resolveSteering(target, { edits: [edit] }).catch((error) => {
      throw isProblem(error) ? pointedAt(error, own, at) : error;
    })) as [ResolvedEdit];
    if (resolved.feature) features.push(`${resolved.feature.sae_id}:${resolved.feature.index}`);
    const { gate } = resolved;
    if (gate) when = { ...shape.when, feature: `${gate.feature.sae_id}:${gate.feature.index}` };
  }
  const twice = features.find((one, i) => features.indexOf(one) < i);
  if (twice) throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/features`, `${twice} is named twice`);
  return { features, when };
}

export function checkSize(
  settings: Pick<SteeringSweepSettings, "controls" | "held_out" | "dataset_id">,
  cells: number,
  prompts: number,
  at: string,
): void {
  if (cells > maximumSweepCells) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${cells} cells are above ${maximumSweepCells}`);
  }
  const texts = countTexts(settings, cells, cutPrompts(prompts, cells, settings.held_out));
  if (texts > maximumSweepTexts) {
    const detail = `${cells} cells and their controls over ${prompts} prompts make ${texts} texts, above ${maximumSweepTexts}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/${settings.dataset_id ? "prompt_limit" : "prompts"}`, detail);
  }
}
