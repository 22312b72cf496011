// Laws of sae.export: what a layout cannot hold is refused before a worker is asked.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { canExport, type SaeExportInput } from "../../domain/sae-export.ts";
import type { Sae } from "../../platform/database.ts";
import { findSae, referred } from "../lookup.ts";
import type { Submission } from "./submission.ts";

export async function resolveSaeExport(submission: Submission, input: JobInput<"sae.export">) {
  const { platform, caller, at } = submission;
  const saes: Sae[] = [];
  for (const [index, given] of input.sae_ids.entries()) {
    const pointer = `${at}/sae_ids/${index}`;
    const sae = referred(await findSae(platform, caller.workspaceId, given), "sae", given, pointer);
    if (saes.some(({ id }) => id === sae.id)) {
      throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, `the sae "${sae.name}" is named twice`);
    }
    checkFits(input, sae, saes[0] ?? sae, saes, pointer);
    saes.push(sae);
  }
  if (input.layout === "onnx" && input.precision !== undefined && input.precision !== "float32") {
    throw fieldProblem("SETTINGS_CONTRADICTORY", `${at}/precision`, "onnx graphs are written in float32 only");
  }
  return { ...input, sae_ids: saes.map(({ id }) => id), precision: input.precision ?? "float32" };
}

function checkFits({ layout }: SaeExportInput, sae: Sae, first: Sae, before: readonly Sae[], pointer: string): void {
  const refuse = (detail: string) => fieldProblem("SETTINGS_CONTRADICTORY", pointer, detail);
  if (!canExport(sae.architecture, layout)) {
    throw refuse(`the sae "${sae.name}" (${sae.architecture}) is no topk, the only rule of the layout ${layout}`);
  }
  if (layout !== "sparsify" && layout !== "qwen_scope") return;
  const same = before.find(({ layer }) => layer === sae.layer);
  if (same)
    throw refuse(`"${same.name}" and "${sae.name}" are both of layer ${sae.layer}; ${layout} holds one of each`);
  if (sae.model_id !== first.model_id) throw refuse(`"${first.name}" and "${sae.name}" belong to different models`);
  if (layout === "sparsify") return;
  if (sae.width !== first.width || sae.k !== first.k) {
    const [a, b] = [first, sae].map((one) => `"${one.name}" has width ${one.width} and k ${one.k}`);
    throw refuse(`${a}, ${b}; the name of a qwen_scope folder holds one width and one k`);
  }
}
