// Laws of features.index.
import {
  type FeaturesIndexSettings,
  maximumIndexedFeatures,
  resolveFeaturesIndex,
} from "../../domain/feature-index.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { saesOfOneModel } from "./saes-of-one-model.ts";
import { referredDataset, type Submission } from "./submission.ts";

export async function resolveFeaturesIndexJob(
  submission: Submission,
  input: JobInput<"features.index">,
): Promise<FeaturesIndexSettings> {
  const { platform, at } = submission;
  const { model_id, sae_ids } = await saesOfOneModel(submission, input.sae_ids);
  const { width } = (await platform.db.sae.aggregate({ where: { id: { in: sae_ids } }, _sum: { width: true } }))._sum;
  if (sae_ids.length > 1 && width! > maximumIndexedFeatures) {
    const detail = `the saes have ${width} features together; one job indexes at most ${maximumIndexedFeatures} of several saes`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/sae_ids`, detail);
  }
  const dataset = await referredDataset(submission, input.dataset_id);
  const { context_length } = await platform.db.model.findUniqueOrThrow({ where: { id: model_id } });
  return resolveFeaturesIndex(input, { model_id, sae_ids, dataset_id: dataset.id, contextLength: context_length });
}
