// Rotary positions: how config.json describes them, and their frequencies. Su et al. 2021.

import { isObject, type Json, ModelConfigError, positive } from "./config-json.ts";
import { parseRopeScaling, type RopeScaling, scaledFrequencies } from "./rope-scaling.ts";

export interface Rope {
  readonly theta: number;
  /** Leading dimensions of each head that are rotated; the others pass as they are. */
  readonly dims: number;
  /** null: the frequencies are those of training. */
  readonly scaling: RopeScaling | null;
}

/**
 * rope_theta and partial_rotary_factor at the top level (transformers 4) or inside rope_parameters (transformers 5), scaling in
 * rope_scaling or rope_parameters. Refused: two scalings, a part of the head in a family that rotates whole heads, and parameters
 * per layer type, which would otherwise be passed over.
 */
export function parseRope(json: Json, headDim: number, familyFactor: number, contextLength: number): Rope {
  if (headDim % 2 !== 0) throw new ModelConfigError(`head_dim ${headDim} is odd; rotary positions need pairs`);
  let theta: number | null = null;
  let scaling: RopeScaling | null = null;
  let factor = rotaryFactor(json, "", familyFactor);
  for (const key of ["rope_parameters", "rope_scaling"]) {
    const parameters = json[key];
    if (parameters === undefined || parameters === null) continue;
    if (!isObject(parameters)) throw new ModelConfigError(`${key} is not an object`);
    const nested = Object.keys(parameters).find((name) => isObject(parameters[name]));
    if (nested !== undefined) {
      throw new ModelConfigError(`${key}.${nested}: rotary parameters per layer type are not supported`);
    }
    factor = rotaryFactor(parameters, `${key}.`, familyFactor) ?? factor;
    const found = parseRopeScaling(parameters, key, contextLength);
    if (scaling && found && JSON.stringify(scaling) !== JSON.stringify(found)) {
      throw new ModelConfigError("rope_parameters and rope_scaling name different scalings");
    }
    scaling ??= found;
    if (parameters.rope_theta !== undefined) theta ??= positive(parameters, "rope_theta", 10000);
  }
  const dims = Math.floor(headDim * (factor ?? familyFactor));
  if (dims < 2 || dims % 2 !== 0) {
    throw new ModelConfigError(
      `partial_rotary_factor rotates ${dims} of ${headDim} dimensions; an even number is needed`,
    );
  }
  return { theta: theta ?? positive(json, "rope_theta", 10000), dims, scaling };
}

function rotaryFactor(json: Json, prefix: string, familyFactor: number): number | null {
  const factor = json.partial_rotary_factor ?? null;
  if (factor === null) return null;
  if (typeof factor === "number" && factor > 0 && factor <= 1 && (familyFactor < 1 || factor === 1)) return factor;
  const allowed = familyFactor < 1 ? "numbers above 0 and up to 1 are" : "1 is";
  throw new ModelConfigError(`${prefix}partial_rotary_factor ${JSON.stringify(factor)} is not supported; ${allowed}`);
}

/** θ^(−2i/dims) for i = 0 … dims/2 − 1, scaled; computed as the checkpoints' own code does: in float32. */
export function inverseFrequencies(rope: Rope): Float32Array {
  const { theta, dims, scaling } = rope;
  const plain = Float32Array.from(
    { length: dims / 2 },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / dims)),
  );
  return scaling ? scaledFrequencies(plain, scaling, rope) : plain;
}

/** What cos and sin are multiplied by. */
export function rotationGain({ scaling }: Rope): number {
  return scaling?.type === "yarn" ? scaling.attentionFactor : 1;
}
