// Laws of features.label.

import { ChatEndpoint, SpendingLimit } from "../../domain/chat-endpoint.ts";
import type { FeaturesLabelSettings } from "../../domain/feature-label.ts";
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { parse } from "../../domain/schema.ts";
import { drawUnlabelled } from "../../platform/features.ts";
import { findSae, referred } from "../lookup.ts";
import { checkSecret, referredDataset, type Submission } from "./submission.ts";

export async function resolveFeaturesLabel(
  submission: Submission,
  input: JobInput<"features.label">,
): Promise<FeaturesLabelSettings> {
  const { platform, caller, at } = submission;
  const sae = referred(await findSae(platform, caller.workspaceId, input.sae_id), "sae", input.sae_id, `${at}/sae_id`);
  const index = await platform.db.featureIndex.findUnique({ where: { sae_id: sae.id } });
  if (index === null) {
    const detail = `"${sae.name}" is not indexed: a features.index job finds the examples that labels are made of`;
    throw fieldProblem("FEATURE_STATISTICS_MISSING", `${at}/sae_id`, detail);
  }
  if (input.limit?.cost !== undefined && input.prices === undefined)
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/limit/cost`, "a limit of cost needs `prices`");
  if (input.endpoint.secret !== undefined)
    await checkSecret(submission, input.endpoint.secret, `${at}/endpoint/secret`);
  const dataset = await referredDataset(submission, input.dataset_id ?? index.dataset_id);
  const { count = 100, seed = 0, features: given, ...rest } = input;
  for (const [i, feature] of (given ?? []).entries()) {
    if (feature < sae.width) continue;
    const detail = `"${sae.name}" has features 0 to ${sae.width - 1}, there is no ${feature}`;
    throw fieldProblem("FEATURE_NOT_FOUND", `${at}/features/${i}`, detail);
  }
  const features = given ?? (await drawUnlabelled(platform.db, sae.id, count, seed));
  if (features.length === 0) {
    const detail = `every feature of "${sae.name}" that is active and not dense has a label`;
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/features`, detail);
  }
  return {
    ...rest,
    sae_id: sae.id,
    features,
    endpoint: parse(ChatEndpoint, input.endpoint) as FeaturesLabelSettings["endpoint"],
    limit: parse(SpendingLimit, input.limit ?? {}) as FeaturesLabelSettings["limit"],
    dataset_id: dataset.id,
    examples: input.examples ?? 10,
    test_examples: input.test_examples ?? 10,
    minimum_score: input.minimum_score ?? 0,
    replace: input.replace ?? "none",
    seed,
  };
}
