// The saes that an input names: of one model, each once.
import { fieldProblem } from "../../domain/problem.ts";
import { findSae, referred } from "../lookup.ts";
import type { Submission } from "./submission.ts";

/** Refuses with a pointer into `sae_ids`. */
export async function saesOfOneModel({ platform, caller, at }: Submission, given: readonly string[]) {
  const sae_ids: string[] = [];
  let model_id: string | null = null;
  for (const [index, one] of given.entries()) {
    const pointer = `${at}/sae_ids/${index}`;
    const sae = referred(await findSae(platform, caller.workspaceId, one), "sae", one, pointer);
    model_id ??= sae.model_id;
    if (sae.model_id !== model_id)
      throw fieldProblem(
        "SAE_MODEL_MISMATCH",
        pointer,
        `"${sae.name}" belongs to ${sae.model_id}, the first to ${model_id}`,
      );
    if (sae_ids.includes(sae.id))
      throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, `the sae "${sae.name}" is named twice`);
    sae_ids.push(sae.id);
  }
  return { model_id: model_id!, sae_ids };
}
