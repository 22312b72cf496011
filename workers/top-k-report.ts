/**
 * On how many of the tokens an edit touched its feature was among the k that its sae would have kept. The steering
 * itself ignores that competition; the report tells how far it departs from what the sae says of the text.
 */
import type { ResolvedEdit } from "../domain/request.ts";
import { maximumReportedTokens } from "../domain/steering.ts";
import { harvest } from "../engine/llm/harvest.ts";
import type { LanguageModel } from "../engine/llm/model.ts";
import type { WorkerSae } from "./open-models.ts";
import type { EngineEdit } from "./steering.ts";

export interface SteeredText {
  readonly prompt: Int32Array;
  readonly resolved: readonly ResolvedEdit[];
  readonly edits: readonly EngineEdit[];
}

/**
 * Per edit a count; null for a raw vector, which no sae knows, and in a text too long to be read again. `fedBack`: the
 * sampled tokens that the model has read.
 */
export async function countInTopK(
  text: SteeredText,
  fedBack: readonly number[],
  model: LanguageModel,
  saes: ReadonlyMap<string, { readonly sae: WorkerSae }>,
): Promise<(number | null)[]> {
  const ids = Int32Array.from([...text.prompt, ...fedBack]);
  const counts: (number | null)[] = text.edits.map(() => null);
  if (ids.length > maximumReportedTokens) return counts;
  const layers = new Set(text.resolved.flatMap((edit) => (edit.feature ? [edit.layer] : [])));
  for (const layer of layers) {
    // Edits read the residual before any edit of their own layer: only those below have been made.
    const edits = text.edits.filter((edit) => edit.layer < layer);
    for await (const batch of harvest(model, [ids], { layers: [layer], edits: [edits] })) {
      for (const [index, edit] of text.resolved.entries()) {
        if (edit.layer !== layer || !edit.feature) continue;
        const active = await saes.get(edit.feature.sae_id)!.sae.opened.encode(batch.activations[0]!);
        const touched = touchedBy(text.edits[index]!, text.prompt.length, ids, model);
        let count = 0;
        for (let row = 0; row < active.rows; row++) {
          if (!touched(row)) continue;
          const kept = active.features.subarray(active.offsets[row], active.offsets[row + 1]);
          if (kept.includes(edit.feature.index)) count += 1;
        }
        counts[index] = count;
      }
    }
  }
  return counts;
}

function touchedBy({ selection }: EngineEdit, promptLength: number, ids: Int32Array, model: LanguageModel) {
  const { prompt, generation, excludeSpecial } = selection;
  return (position: number): boolean => {
    if (position < promptLength) return prompt[position] === 1;
    const index = position - promptLength;
    if (index < generation.from || index >= generation.to) return false;
    return !(excludeSpecial && model.tokenizer.isSpecial(ids[position]!));
  };
}
