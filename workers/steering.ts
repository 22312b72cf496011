/**
 * From the edits of a request to the vectors and coefficients the engine adds: features are looked up in their saes,
 * units become numbers, and the control arm is made of the same edits along other directions.
 */
import { fieldProblem } from "../domain/problem.ts";
import type { ResolvedEdit } from "../domain/request.ts";
import { type Selection, selectTokens, steeringCoefficients } from "../domain/steering.ts";
import { createRandom } from "../engine/runtime/random.ts";
import type { SparseAutoencoder } from "../engine/sae/architecture.ts";
import type { OpenedSae } from "../engine/sae/open-sae.ts";

/** An edit along one direction, in the terms of h' = h + Σ mask·gate·(c0 + c1·z + c2·(h·d))·d. */
export interface EngineEdit {
  readonly layer: number;
  readonly direction: Float32Array;
  readonly encoder?: Encoder;
  readonly c0: number;
  readonly c1: number;
  readonly c2: number;
  readonly selection: Selection;
  readonly gate?: Encoder & { readonly layer: number; readonly above: number };
  /** In the control arm: the feature whose direction was drawn. */
  readonly drawnFeature?: number;
}

/** z = p·1[p > threshold], p = weight·h + bias */
export interface Encoder {
  readonly weight: Float32Array;
  readonly bias: number;
  readonly threshold: number;
}

export interface PromptTokens {
  readonly length: number;
  readonly isSpecial: (position: number) => boolean;
}

/** The saes that a request's edits name, open, by id. */
export type OpenSaes = ReadonlyMap<string, OpenedSae>;

export function saeIdsOf(edits: readonly ResolvedEdit[]): string[] {
  const ids = edits.flatMap((edit) => [edit.feature?.sae_id, edit.gate?.feature.sae_id]);
  return [...new Set(ids.filter((id) => id !== undefined))];
}

function featureOf(opened: OpenedSae, index: number, pointer: string) {
  const { width } = opened.sae;
  if (index >= width) {
    const detail = `feature ${index} does not exist; the sae has features 0 to ${width - 1}`;
    throw fieldProblem("FEATURE_NOT_FOUND", pointer, detail);
  }
  const { direction, encoder: weight, bias, threshold } = opened.featureVectors(index);
  return { direction, encoder: { weight, bias, threshold } satisfies Encoder };
}

export function toEngineEdits(
  edits: readonly ResolvedEdit[],
  saes: OpenSaes,
  prompt: PromptTokens,
  maxTokens: number,
): EngineEdit[] {
  return edits.map((edit, index) => {
    const pointer = `/steering/edits/${index}`;
    const feature =
      edit.feature && featureOf(saeOf(saes, edit.feature.sae_id), edit.feature.index, `${pointer}/feature`);
    const direction = feature ? feature.direction : Float32Array.from(edit.vector ?? []);
    const statistics = {
      directionNorm: normOf(direction),
      residualNorm: edit.residual_norm,
      maxActivation: edit.max_activation,
    };
    const { op, value, unit } = edit;
    const coefficients = steeringCoefficients(
      { op, value: value ?? undefined, unit: unit ?? undefined },
      statistics,
      pointer,
    );
    const selection = selectTokens(edit.apply, prompt, maxTokens, `${pointer}/apply`);
    return {
      layer: edit.layer,
      direction,
      ...coefficients,
      selection,
      ...(feature ? { encoder: feature.encoder } : {}),
      ...(edit.gate ? { gate: gateOf(edit.gate, saes, `${pointer}/when/feature`) } : {}),
    };
  });
}

function gateOf(
  gate: NonNullable<ResolvedEdit["gate"]>,
  saes: OpenSaes,
  pointer: string,
): NonNullable<EngineEdit["gate"]> {
  const { encoder } = featureOf(saeOf(saes, gate.feature.sae_id), gate.feature.index, pointer);
  return { ...encoder, layer: gate.feature.layer, above: gate.above };
}

function saeOf(saes: OpenSaes, id: string): OpenedSae {
  const sae = saes.get(id);
  if (!sae) throw new Error(`${id} was not opened`);
  return sae;
}

/**
 * The control arm: every edit moves along the decoder vector of a feature drawn from the same sae, scaled to ‖d‖, by
 * the amount that the edit itself asks for. So the change of each token is as large as the edit's own, and only its
 * direction says nothing.
 */
export function toControlEdits(
  resolved: readonly ResolvedEdit[],
  edits: readonly EngineEdit[],
  saes: OpenSaes,
  seed: number,
): EngineEdit[] {
  const random = createRandom(seed).fork("control");
  return edits.map((edit, index) => {
    const { feature } = resolved[index]!;
    const own = random.fork(`edit ${index}`);
    const norm = normOf(edit.direction);
    const drawn = feature
      ? randomDirection(saeOf(saes, feature.sae_id).sae, feature.index, norm, own)
      : { direction: uniformDirection(edit.direction.length, norm, own) };
    if (edit.c2 === 0) return { ...edit, ...drawn };
    // project_out measures h along its own direction: with d as the "encoder", z is that measure.
    const encoder = { weight: edit.direction, bias: 0, threshold: Number.NEGATIVE_INFINITY };
    return { ...edit, ...drawn, encoder, c1: edit.c2, c2: 0 };
  });
}

function randomDirection(
  sae: SparseAutoencoder,
  except: number,
  norm: number,
  random: { int(n: number): number },
): { readonly direction: Float32Array; readonly drawnFeature: number } {
  // A dead feature's decoder vector may be zero; a few draws find another.
  for (let tries = 0; tries < 1000; tries++) {
    const index = random.int(sae.width);
    if (index === except && sae.width > 1) continue;
    const row = sae.W_dec_FD.subarray(index * sae.dModel, (index + 1) * sae.dModel);
    const length = normOf(row);
    if (length > 0) return { direction: row.map((value) => (value * norm) / length), drawnFeature: index };
  }
  throw fieldProblem("STEERING_INVALID", "/steering/control", "the sae has no other feature with a direction");
}

/** For a raw vector, which has no sae to draw from: every direction is as likely. */
function uniformDirection(dModel: number, norm: number, random: { normal(): number }): Float32Array {
  const direction = Float32Array.from({ length: dModel }, () => random.normal());
  const scale = norm / normOf(direction);
  return direction.map((value) => value * scale);
}

export function normOf(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}
