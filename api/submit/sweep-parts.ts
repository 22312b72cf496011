// Laws of what sweeps and searches have in common: their prompts and their goal.
import { resolveSteering } from "../../domain/generation/steering.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem, isProblem, Problem } from "../../domain/problem.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import type { ResolvedEdit } from "../../domain/request.ts";
import { isScript, type SweepGoal } from "../../domain/sweep-goal.ts";
import { compilePattern, PatternError } from "../../formats/pattern.ts";
import type { Model } from "../../platform/database.ts";
import { createLookups, knownModel } from "../generation/lookups.ts";
import { resolveTemplate } from "../templates.ts";
import { checkSecret, referredDataset, type Submission } from "./submission.ts";

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

/** With pointers to what a sweep calls it; `own`: where its direction stands. */
export function pointedAt(problem: Problem, own: string, at: string): Problem {
  const place = (pointer: string) => {
    const [, field = "", rest = ""] = /^\/steering\/edits\/0(?:\/(\w+))?(.*)$/.exec(pointer) ?? [];
    if (field === "feature" || field === "") return own;
    if (field === "vector") return `${own}${rest}`;
    return `${at}/${field === "value" ? "strengths" : field}${rest}`;
  };
  const errors = (problem.errors ?? []).map(({ pointer, detail }) => ({ pointer: place(pointer), detail }));
  return errors[0] ? new Problem(problem.code, `${errors[0].pointer}: ${errors[0].detail}`, { errors }) : problem;
}

export async function resolveGoal(submission: Submission, model: Model, goal: SweepGoal): Promise<SweepGoal> {
  const { platform, caller, at } = submission;
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
    case "endpoint": {
      const { worst = 0, best = 10 } = goal;
      if (!goal.prompt.includes("{text}")) {
        throw fieldProblem("VALIDATION_FAILED", `${at}/goal/prompt`, "{text} is missing: the judge would see no text");
      }
      if (worst === best)
        throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/goal/best`, "best and worst are the same");
      if (goal.endpoint.secret !== undefined) {
        await checkSecret(submission, goal.endpoint.secret, `${at}/goal/endpoint/secret`);
      }
      return goal;
    }
  }
}
