// From the steering of a request to edits with everything looked up that the database knows.
import { fieldProblem, Problem } from "../problem.ts";
import type { ResolvedEdit } from "../request.ts";
import { parseFeature } from "../sae.ts";
import { checkGateLayer, checkSteering, type Edit, type Steering, selectTokens } from "../steering.ts";
import { checkLayer } from "../training-laws.ts";
import type { KnownModel, KnownSae, Lookups } from "./lookups.ts";

interface Target {
  readonly lookups: Pick<Lookups, "sae" | "maxActivation">;
  readonly model: KnownModel;
  /** null: to the end of the context */
  readonly maxTokens: number | null;
}

/** `at`: JSON pointer of the steering in the request. */
export async function resolveSteering(target: Target, steering: Steering, at = "/steering"): Promise<ResolvedEdit[]> {
  const errors = checkSteering(steering, at);
  if (errors[0]) throw new Problem("STEERING_INVALID", `${errors[0].pointer}: ${errors[0].detail}`, { errors });
  const saes = new Map<string, KnownSae>();
  const edits: ResolvedEdit[] = [];
  for (const [index, edit] of steering.edits.entries()) {
    edits.push(await resolveEdit(target, edit, `${at}/edits/${index}`, saes));
  }
  return edits;
}

async function resolveEdit(target: Target, edit: Edit, at: string, saes: Map<string, KnownSae>): Promise<ResolvedEdit> {
  const { model } = target;
  const feature = edit.feature === undefined ? null : await resolveFeature(target, edit.feature, `${at}/feature`, saes);
  if (edit.vector) {
    checkLayer(edit.vector.layer, model.layers, `${at}/vector/layer`);
    if (edit.vector.values.length !== model.dModel) {
      const detail = `the vector has ${edit.vector.values.length} values, the model's d_model is ${model.dModel}`;
      throw fieldProblem("DIMENSION_MISMATCH", `${at}/vector/values`, detail);
    }
  }
  const layer = feature?.layer ?? edit.vector?.layer ?? 0;
  const residualNorm = model.residualNorms[layer] ?? null;
  if (edit.unit === "residual_norm" && residualNorm === null) {
    const detail = `the model has no median residual norm for layer ${layer}; import the model again`;
    throw fieldProblem("FEATURE_STATISTICS_MISSING", `${at}/unit`, detail);
  }
  const gate = edit.when ? await resolveFeature(target, edit.when.feature, `${at}/when/feature`, saes) : null;
  if (gate) checkGateLayer(layer, gate.layer, `${at}/when/feature`);
  checkSelection(edit, target.maxTokens, `${at}/apply`);
  return {
    layer,
    feature,
    vector: edit.vector?.values ?? null,
    op: edit.op,
    value: edit.value ?? null,
    unit: edit.unit ?? null,
    residual_norm: residualNorm,
    // Where the index has none the worker looks whether the training has measured it.
    max_activation:
      edit.unit === "max_activation" && feature
        ? await target.lookups.maxActivation(feature.sae_id, feature.index)
        : null,
    apply: edit.apply ?? {},
    gate: gate ? { feature: gate, above: edit.when?.above ?? 0 } : null,
  };
}

async function resolveFeature(target: Target, reference: string, pointer: string, saes: Map<string, KnownSae>) {
  const { lookups, model } = target;
  const parsed = parseFeature(reference, pointer);
  const sae = saes.get(parsed.sae) ?? (await lookups.sae(parsed.sae));
  if (!sae) {
    const detail = `there is no sae "${parsed.sae}" in this workspace`;
    throw fieldProblem("REFERENCE_NOT_FOUND", pointer, detail);
  }
  saes.set(parsed.sae, sae);
  if (sae.modelId !== model.id) {
    const detail = `the sae "${sae.name}" belongs to ${sae.modelId}, the request is for ${model.id}`;
    throw fieldProblem("SAE_MODEL_MISMATCH", pointer, detail);
  }
  if (parsed.index >= sae.width) {
    const detail = `the sae "${sae.name}" has features 0 to ${sae.width - 1}, there is no ${parsed.index}`;
    throw fieldProblem("FEATURE_NOT_FOUND", pointer, detail);
  }
  return { sae_id: sae.id, index: parsed.index, layer: sae.layer };
}

/** What is empty whatever the prompt will be is refused here; the worker, which has the tokens, checks the rest. */
function checkSelection(edit: Edit, maxTokens: number | null, pointer: string): void {
  const prompt = edit.apply?.prompt ?? true;
  const promptIsEmpty = prompt === false || (Array.isArray(prompt) && prompt.length === 0);
  if (promptIsEmpty) selectTokens(edit.apply, { length: 0 }, maxTokens ?? Number.MAX_SAFE_INTEGER, pointer);
}

/** The edits as they were resolved: names may be given to something else one day; ids may not. */
export function withIds(edits: readonly Edit[], resolved: readonly ResolvedEdit[]): Edit[] {
  return edits.map((edit, index) => {
    const { feature, gate } = resolved[index]!;
    return {
      ...edit,
      ...(feature ? { feature: `${feature.sae_id}:${feature.index}` } : {}),
      ...(gate && edit.when ? { when: { ...edit.when, feature: `${gate.feature.sae_id}:${gate.feature.index}` } } : {}),
    };
  });
}
