// Laws of benchmark.analyze.
import { checkScores } from "../../domain/benchmark-scores.ts";
import type { Shots } from "../../domain/few-shot.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import { findDataset, findSae, referred } from "../lookup.ts";
import { resolveTemplate } from "../templates.ts";
import { referredModel, type Submission } from "./submission.ts";

export async function resolveBenchmarkAnalyze(submission: Submission, input: JobInput<"benchmark.analyze">) {
  const { platform, caller, at } = submission;
  const { workspaceId } = caller;
  const model = await referredModel(submission, input.model_id);

  const saeIds: string[] = [];
  for (const [index, given] of input.sae_ids.entries()) {
    const pointer = `${at}/sae_ids/${index}`;
    const sae = referred(await findSae(platform, workspaceId, given), "sae", given, pointer);
    if (sae.model_id !== model.id) {
      throw fieldProblem(
        "SAE_MODEL_MISMATCH",
        pointer,
        `the sae "${sae.name}" belongs to ${sae.model_id}, not to ${model.id}`,
      );
    }
    if (saeIds.includes(sae.id))
      throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, `the sae "${sae.name}" is named twice`);
    saeIds.push(sae.id);
  }

  const benchmarks = [];
  const names = new Set<string>();
  const sizes = new Map<string, number>();
  for (const [index, benchmark] of input.benchmarks.entries()) {
    const here = `${at}/benchmarks/${index}`;
    const dataset = referred(
      await findDataset(platform, workspaceId, benchmark.dataset_id),
      "dataset",
      benchmark.dataset_id,
      `${here}/dataset_id`,
    );
    const name = benchmark.name ?? dataset.name;
    if (names.has(name))
      throw fieldProblem("SETTINGS_CONTRADICTORY", `${here}/name`, `two benchmarks are named "${name}"`);
    names.add(name);
    const asked = benchmark.template ?? dataset.template ?? "text";
    const { template, shot } = await resolveTemplate(platform, workspaceId, asked, `${here}/template`);
    parsePromptTemplate(template, `${here}/template`);
    const { shots: given, ...rest } = benchmark;
    const shots = given && { shots: await resolveShots(submission, given, { shot, template: asked }, `${here}/shots`) };
    benchmarks.push({ ...rest, template, dataset_id: dataset.id, name, ...shots });
    sizes.set(name, dataset.samples);
  }
  if (input.scores !== undefined) checkScores(input.scores, sizes, `${at}/scores`);
  return { ...input, ...(await neutralDataset(submission, input)), model_id: model.id, sae_ids: saeIds, benchmarks };
}

async function neutralDataset({ platform, caller, at }: Submission, given: JobInput<"benchmark.analyze">) {
  const { neutral_dataset_id: name } = given;
  if (name === undefined) return {};
  const pointer = `${at}/neutral_dataset_id`;
  const dataset = referred(await findDataset(platform, caller.workspaceId, name), "dataset", name, pointer);
  return { neutral_dataset_id: dataset.id };
}

/** The worker gets the examples' template as text and their dataset by id. */
async function resolveShots(
  { platform, caller }: Submission,
  shots: Shots,
  benchmark: { readonly template: string; readonly shot: string | undefined },
  pointer: string,
): Promise<Shots> {
  const asked = shots.template ?? benchmark.shot;
  if (asked === undefined) {
    const detail = `"${benchmark.template.slice(0, 60)}" does not say how a solved example reads: give \`template\` here`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${pointer}/template`, detail);
  }
  const named = await resolveTemplate(platform, caller.workspaceId, asked, `${pointer}/template`);
  const template = named.shot ?? named.template;
  parsePromptTemplate(template, `${pointer}/template`);
  if (shots.dataset_id === undefined) return { ...shots, template };
  const at = `${pointer}/dataset_id`;
  const dataset = referred(
    await findDataset(platform, caller.workspaceId, shots.dataset_id),
    "dataset",
    shots.dataset_id,
    at,
  );
  if (dataset.samples < shots.count)
    throw fieldProblem(
      "SETTINGS_CONTRADICTORY",
      at,
      `"${dataset.name}" has ${dataset.samples} samples, not ${shots.count}`,
    );
  return { ...shots, template, dataset_id: dataset.id };
}
