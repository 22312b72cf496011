// Laws of activations.harvest.
import { resolveActivationsHarvest } from "../../domain/activations.ts";
import type { JobInput } from "../../domain/job.ts";
import { shapeOf } from "./sae-train.ts";
import { referredDataset, referredModel, type Submission } from "./submission.ts";

export async function resolveHarvest(submission: Submission, input: JobInput<"activations.harvest">) {
  const model = await referredModel(submission, input.model_id);
  const dataset = await referredDataset(submission, input.dataset_id);
  const named = { ...input, model_id: model.id, dataset_id: dataset.id };
  return resolveActivationsHarvest(named, shapeOf(model), submission.at);
}
