// Laws of steering.search.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import type { SteeringSearchSettings } from "../../domain/search.ts";
import { resolveFeaturesContrast } from "./features-contrast.ts";
import { checkSize, resolveSweepSettings } from "./steering-sweep.ts";
import { referredModel, type Submission } from "./submission.ts";

export async function resolveSteeringSearch(
  submission: Submission,
  input: JobInput<"steering.search">,
): Promise<SteeringSearchSettings> {
  const { at } = submission;
  if ((input.positive === undefined) !== (input.negative === undefined)) {
    const missing = input.positive === undefined ? "positive" : "negative";
    const detail = "a contrast needs both sides; without both the model's own texts are contrasted";
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/${missing}`, detail);
  }
  const model = await referredModel(submission, input.model_id);
  const { prompts, settings: shared } = await resolveSweepSettings(submission, model, input);
  const own = { texts: ["the model's own"] };
  const { positive = own, negative = own } = input;
  const contrast = await resolveFeaturesContrast(submission, { sae_ids: input.sae_ids, positive, negative });
  if (contrast.model_id !== model.id) {
    const detail = `the saes belong to ${contrast.model_id}, the search is for ${model.id}`;
    throw fieldProblem("SAE_MODEL_MISMATCH", `${at}/sae_ids/0`, detail);
  }
  const settings = {
    ...input,
    ...shared,
    op: input.op ?? ("add" as const),
    sae_ids: contrast.sae_ids,
    shortlist: input.shortlist ?? 16,
    ...(input.positive ? { positive: contrast.positive, negative: contrast.negative[0]! } : {}),
  };
  checkSize(settings, settings.shortlist * settings.strengths.length, prompts, at);
  return settings;
}
