// Laws of model.import and sae.import.
import type { JobInput } from "../../domain/job.ts";
import { checkLayer } from "../../domain/training.ts";
import { findModel, referred } from "../lookup.ts";
import { checkNameFree, checkSource, type Submission } from "./submission.ts";

export async function resolveModelImport(submission: Submission, input: JobInput<"model.import">) {
  await checkNameFree(submission, "model", input.name);
  await checkSource(submission, input.source);
  return { precision: "float32" as const, ...input };
}

export async function resolveSaeImport(submission: Submission, input: JobInput<"sae.import">) {
  const { platform, caller, at } = submission;
  const model = referred(
    await findModel(platform, caller.workspaceId, input.model_id),
    "model",
    input.model_id,
    `${at}/model_id`,
  );
  checkLayer(input.layer, model.layers, `${at}/layer`);
  await checkNameFree(submission, "sae", input.name);
  await checkSource(submission, input.source);
  return { ...input, model_id: model.id };
}
