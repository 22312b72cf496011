// Laws of steering.sweep.
import { resolveSteering } from "../../domain/generation/steering.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem, isProblem, Problem } from "../../domain/problem.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import type { ResolvedEdit } from "../../domain/request.ts";
import { type Edit, opRules } from "../../domain/steering.ts";
import { maximumSweepCells, maximumSweepTexts, type SteeringSweepSettings } from "../../domain/sweep.ts";
import { isScript, type SweepGoal } from "../../domain/sweep-goal.ts";
import { countTexts, cutPrompts, sweepEdits } from "../../domain/sweep-plan.ts";
import { compilePattern, PatternError } from "../../formats/pattern.ts";
import type { Model } from "../../platform/database.ts";
import { createLookups, knownModel } from "../generation/lookups.ts";
import { resolveTemplate } from "../templates.ts";
import { referredDataset, referredModel, type Submission } from "./submission.ts";

export async function resolveSteeringSweep(
  submission: Submission,
  input: JobInput<"steering.sweep">,
): Promise<SteeringSweepSettings> {
  const { at } = submission;
  const model = await referredModel(submission, input.model_id);
  const { prompts, ...dataset } = await resolvePrompts(submission, input);
  const strengths = resolveStrengths(input, at);
  const unit = input.unit ?? usualUnit(input.op ?? "add");
  const shape = { ...input, op: input.op ?? ("add" as const), strengths, ...(unit ? { unit } : {}) };
  const { features, when } = await resolveDirections(submission, model, shape);
  const settings: SteeringSweepSettings = {
    ...shape,
    model_id: model.id,
    ...dataset,
    ...(features.length === 0 ? {} : { features }),
    ...(when ? { when } : {}),
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
  checkSize(settings, prompts, at);
  return settings;
}

/** What prompts come from, and how many there are at most. */
export async function resolvePrompts(
  submission: Submission,
  input: Pick<JobInput<"steering.sweep">, "prompts" | "dataset_id" | "where" | "template" | "prompt_limit">,
): Promise<{ dataset_id?: string; template?: string; prompts: number }> {
  const { platform, caller, at } = submission;
  if ((input.prompts === undefined) === (input.dataset_id === undefined)) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/prompts`, "needs exactly one of prompts and dataset_id");
  }
  if (input.dataset_id === undefined) {
    for (const field of ["where", "template", "prompt_limit"] as const) {
      if (input[field] === undefined) continue;
      throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/${field}`, `${field} is for prompts of a dataset`);
    }
    return { prompts: input.prompts?.length ?? 0 };
  }
  const dataset = await referredDataset(submission, input.dataset_id);
  const columns = dataset.columns as string[];
  for (const column of Object.keys(input.where ?? {})) {
    if (columns.includes(column)) continue;
    const detail = `the dataset "${dataset.name}" has the columns ${columns.join(", ")}; there is no "${column}"`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/where`, detail);
  }
  const asked = input.template ?? dataset.template ?? "text";
  const { template } = await resolveTemplate(platform, caller.workspaceId, asked, `${at}/template`);
  parsePromptTemplate(template, `${at}/template`);
  return {
    dataset_id: dataset.id,
    template,
    prompts: Math.min(dataset.samples, input.prompt_limit ?? dataset.samples),
  };
}

function resolveStrengths({ op = "add", strengths }: JobInput<"steering.sweep">, at: string): number[] {
  const { value } = opRules[op];
  if (value === "refused" && (strengths ?? []).length > 0) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${op} has no strength`);
  }
  if (value === "required" && (strengths ?? []).length === 0) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${op} needs strengths`);
  }
  return strengths?.length ? strengths : typeof value === "object" ? [value.default] : [];
}

export function usualUnit(op: keyof typeof opRules): Edit["unit"] {
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

function pointedAt(problem: Problem, own: string, at: string): Problem {
  const place = (pointer: string) => {
    const [, field = "", rest = ""] = /^\/steering\/edits\/0(?:\/(\w+))?(.*)$/.exec(pointer) ?? [];
    if (field === "feature" || field === "") return own;
    if (field === "vector") return `${own}${rest}`;
    return `${at}/${field === "value" ? "strengths" : field}${rest}`;
  };
  const errors = (problem.errors ?? []).map(({ pointer, detail }) => ({ pointer: place(pointer), detail }));
  return errors[0] ? new Problem(problem.code, `${errors[0].pointer}: ${errors[0].detail}`, { errors }) : problem;
}

export async function resolveGoal(
  { platform, caller, at }: Submission,
  model: Model,
  goal: SweepGoal,
): Promise<SweepGoal> {
  switch (goal.type) {
    case "script":
      if (!isScript(goal.script)) {
        throw fieldProblem("VALIDATION_FAILED", `${at}/goal/script`, `Unicode has no script "${goal.script}"`);
      }
      return goal;
    case "regex":
      try {
        compilePattern(goal.pattern, { ignoreCase: goal.ignore_case ?? false });
        return goal;
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        throw fieldProblem("VALIDATION_FAILED", `${at}/goal/pattern`, error.message);
      }
    case "feature": {
      // A gate is looked up like any feature; the edit around it says nothing.
      const target = {
        lookups: createLookups(platform, caller.workspaceId),
        model: knownModel(model),
        maxTokens: null,
      };
      const probe = { feature: goal.feature, op: "ablate" as const };
      const [resolved] = (await resolveSteering(target, { edits: [probe] }).catch((error) => {
        throw isProblem(error) ? pointedAt(error, `${at}/goal/feature`, at) : error;
      })) as [ResolvedEdit];
      return { ...goal, feature: `${resolved.feature!.sae_id}:${resolved.feature!.index}` };
    }
  }
}

function checkSize(settings: SteeringSweepSettings, prompts: number, at: string): void {
  const cells = sweepEdits(settings).length;
  if (cells > maximumSweepCells) {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/strengths`, `${cells} cells are above ${maximumSweepCells}`);
  }
  const texts = countTexts(settings, cells, cutPrompts(prompts, cells, settings.held_out));
  if (texts > maximumSweepTexts) {
    const detail = `${cells} cells and their controls over ${prompts} prompts make ${texts} texts, above ${maximumSweepTexts}`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/${settings.dataset_id ? "prompt_limit" : "prompts"}`, detail);
  }
}
