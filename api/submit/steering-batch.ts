// Laws of steering.batch: what is said for all lines. Each line is judged when it is run.
import { resolveSteering, withIds } from "../../domain/generation/steering.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { parse } from "../../domain/schema.ts";
import { Steering } from "../../domain/steering.ts";
import { checkBatchBody, maximumBatchBytes, maximumBatchLines } from "../../domain/steering-batch.ts";
import { createLookups } from "../generation/lookups.ts";
import { referred } from "../lookup.ts";
import { referredDataset, type Submission } from "./submission.ts";

export async function resolveSteeringBatch(submission: Submission, input: JobInput<"steering.batch">) {
  const { at } = submission;
  if ((input.artifact_id === undefined) === (input.dataset_id === undefined)) {
    throw fieldProblem(
      "SETTINGS_CONTRADICTORY",
      `${at}/artifact_id`,
      "needs exactly one of artifact_id and dataset_id",
    );
  }
  checkBatchBody(input, at);
  const body = await resolveBody(submission, input.body ?? {});
  if (input.artifact_id !== undefined) {
    await checkFile(submission, input.artifact_id);
    return { ...input, body };
  }
  const dataset = await referredDataset(submission, input.dataset_id!);
  if (dataset.samples > maximumBatchLines) {
    const detail = `the dataset has ${dataset.samples} samples; a batch may have ${maximumBatchLines} lines`;
    throw fieldProblem("DATASET_TOO_LARGE", `${at}/dataset_id`, detail);
  }
  return { ...input, dataset_id: dataset.id, body };
}

async function checkFile({ platform, caller, at }: Submission, id: string): Promise<void> {
  const pointer = `${at}/artifact_id`;
  const artifact = referred(await platform.artifacts.find(caller.workspaceId, id), "artifact", id, pointer);
  if (artifact.size_bytes > maximumBatchBytes) {
    const detail = `the file has ${artifact.size_bytes} bytes; a batch may have ${maximumBatchBytes}`;
    throw fieldProblem("DATASET_TOO_LARGE", pointer, detail);
  }
}

/** The model and the steering of all lines are looked up now: with their ids in the job's input they stay until its end. */
async function resolveBody({ platform, caller, at }: Submission, body: Record<string, unknown>) {
  if (typeof body.model !== "string") return body;
  const lookups = createLookups(platform, caller.workspaceId);
  const variant = (await lookups.model(body.model)) ? null : await lookups.variant(body.model);
  const pointer = `${at}/body/model`;
  const model = referred(await lookups.model(variant?.modelId ?? body.model), "model", body.model, pointer);
  const named = { ...body, model: variant?.id ?? model.id };
  if (!body.steering) return named;
  const here = `${at}/body/steering`;
  const steering = parse(Steering, body.steering, here);
  const resolved = await resolveSteering({ lookups, model, maxTokens: null }, steering, here);
  return { ...named, steering: { ...steering, edits: withIds(steering.edits, resolved) } };
}
