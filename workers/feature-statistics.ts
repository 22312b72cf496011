/**
 * What is known of each feature of an sae, as one small safetensors file beside its weights: the largest activation
 * (a_f of the API document) and the share of tokens on which it was active.
 */
import { encodeSafetensors, parseSafetensors } from "../formats/safetensors.ts";

export const statisticsFile = "feature_statistics.safetensors";

export interface FeatureStatistics {
  readonly maxActivation_F: Float32Array;
  readonly firingRate_F: Float32Array;
  /** Tokens that were looked at. */
  readonly tokens: number;
}

export function encodeStatistics({ maxActivation_F, firingRate_F, tokens }: FeatureStatistics): Uint8Array {
  const shape = [maxActivation_F.length];
  return encodeSafetensors(
    [
      { name: "max_activation", dtype: "F32", shape, data: maxActivation_F },
      { name: "firing_rate", dtype: "F32", shape, data: firingRate_F },
    ],
    { tokens: String(tokens) },
  );
}

/** Throws SafetensorsError, or RangeError when the file is of an sae of another width. */
export function parseStatistics(bytes: Uint8Array, width: number): FeatureStatistics {
  const file = parseSafetensors(bytes);
  const [maxActivation_F, firingRate_F] = [file.float32("max_activation"), file.float32("firing_rate")];
  if (maxActivation_F.length !== width || firingRate_F.length !== width) {
    throw new RangeError(`${statisticsFile} is of ${maxActivation_F.length} features, the sae has ${width}`);
  }
  return { maxActivation_F, firingRate_F, tokens: Number(file.metadata.tokens ?? 0) };
}
