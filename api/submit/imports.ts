// Laws of model.import and sae.import.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { releaseOfPath } from "../../domain/qwen-scope-name.ts";
import { plannedImports } from "../../domain/sae.ts";
import { checkLayer } from "../../domain/training-laws.ts";
import { checkNameFree, checkSource, referredModel, type Submission } from "./submission.ts";

/** Of names in general (domain/schema.ts); a layer's number is added to those of several. */
const NAME_LENGTH = 100;

export async function resolveModelImport(submission: Submission, input: JobInput<"model.import">) {
  await checkNameFree(submission, "model", input.name);
  await checkSource(submission, input.source);
  return { precision: "float32" as const, ...input };
}

export async function resolveSaeImport(submission: Submission, input: JobInput<"sae.import">) {
  const { at } = submission;
  const model = await referredModel(submission, input.model_id);
  const planned = plannedImports(input, at);
  for (const { layer, name } of planned) {
    checkLayer(layer, model.layers, input.layer === undefined ? `${at}/layers` : `${at}/layer`);
    if (name.length > NAME_LENGTH)
      throw fieldProblem("VALIDATION_FAILED", `${at}/name`, `"${name}" is too long a name`);
    await checkNameFree(submission, "sae", name);
  }
  checkRelease(input, at);
  await checkSource(submission, input.source);
  const layers = planned.map(({ layer }) => layer);
  return { ...input, ...(input.layers === undefined ? {} : { layers }), model_id: model.id };
}

/** Qwen-Scope's files do not say k: a name must, or the request, and not two different things. */
function checkRelease({ layout, source, k }: JobInput<"sae.import">, at: string): void {
  if (layout !== "qwen_scope") return;
  const paths = source.type === "directory" ? [source.path] : source.files.map(({ path }) => path);
  const releases = paths.map(releaseOfPath).filter((release) => release !== null);
  const other = releases.find((release) => k !== undefined && release.k !== k);
  if (other)
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/k`, `the folder's name says k ${other.k}, the request ${k}`);
  // A directory may be a link to one with such a name: only the worker sees that.
  if (k === undefined && releases.length === 0 && source.type !== "directory") {
    const detail = "is required: no folder of the files is named SAE-Res-{backbone}-W{width}-L0_{k}";
    throw fieldProblem("VALIDATION_FAILED", `${at}/k`, detail);
  }
}
