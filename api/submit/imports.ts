// Laws of model.import and sae.import.
import type { JobInput } from "../../domain/job.ts";
import { checkLayer } from "../../domain/training-laws.ts";
import { checkNameFree, checkSource, referredModel, type Submission } from "./submission.ts";

export async function resolveModelImport(submission: Submission, input: JobInput<"model.import">) {
  await checkNameFree(submission, "model", input.name);
  await checkSource(submission, input.source);
  return { precision: "float32" as const, ...input };
}

export async function resolveSaeImport(submission: Submission, input: JobInput<"sae.import">) {
  const { at } = submission;
  const model = await referredModel(submission, input.model_id);
  checkLayer(input.layer, model.layers, `${at}/layer`);
  await checkNameFree(submission, "sae", input.name);
  await checkSource(submission, input.source);
  return { ...input, model_id: model.id };
}
