// Laws of benchmark.analyze.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { parsePromptTemplate } from "../../domain/prompt-template.ts";
import { findDataset, findSae, referred } from "../lookup.ts";
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
    if (benchmark.template !== undefined) parsePromptTemplate(benchmark.template, `${here}/template`);
    benchmarks.push({ ...benchmark, dataset_id: dataset.id, name });
  }
  return { ...input, model_id: model.id, sae_ids: saeIds, benchmarks };
}
