// Rotary frequencies stretched for longer contexts than a model was trained on.

import { type Json, ModelConfigError, positive, size } from "./config-json.ts";

export type RopeScaling =
  /** Every frequency divided by `factor`. */
  | { readonly type: "linear"; readonly factor: number }
  /** Peng et al. 2023: slow dimensions are divided, fast ones kept, those between blended; cos and sin grow by `attentionFactor`. */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly attentionFactor: number;
      readonly originalContext: number;
      /** Whether the ends of the blend are rounded to whole dimensions. */
      readonly truncate: boolean;
    }
  /** Llama 3.1: by wavelength, long ones divided, short ones kept, those between blended. */
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    };

/**
 * The scaling that rotary parameters name; null for `default`. `key` is where they lie, for messages.
 *
 * @throws ModelConfigError naming the type that is not supported and the nearest one that is
 */
export function parseRopeScaling(parameters: Json, key: string, contextLength: number): RopeScaling | null {
  const type = parameters.rope_type ?? parameters.type ?? "default";
  switch (type) {
    case "default":
      return null;
    case "linear":
      return { type: "linear", factor: factorOf(parameters, key) };
    case "yarn":
      return parseYarn(parameters, key, contextLength);
    case "llama3": {
      const [low, high] = [required(parameters, "low_freq_factor", key), required(parameters, "high_freq_factor", key)];
      if (!(low < high))
        throw new ModelConfigError(`${key}: low_freq_factor ${low} is not below high_freq_factor ${high}`);
      return {
        type: "llama3",
        factor: factorOf(parameters, key),
        lowFrequencyFactor: low,
        highFrequencyFactor: high,
        originalContext: size(parameters, "original_max_position_embeddings", contextLength),
      };
    }
    default: {
      const nearest = type === "dynamic" || type === "longrope" || type === "su" ? "yarn" : "default";
      throw new ModelConfigError(
        `${key}: rope scaling ${JSON.stringify(type)} is not supported; default, linear, yarn and llama3 are, ${nearest} is the nearest`,
      );
    }
  }
}

function parseYarn(parameters: Json, key: string, contextLength: number): RopeScaling {
  const originalContext = size(parameters, "original_max_position_embeddings", contextLength);
  const factor = (parameters.factor ?? null) === null ? contextLength / originalContext : factorOf(parameters, key);
  const [mscale, mscaleAllDims] = [optional(parameters, "mscale"), optional(parameters, "mscale_all_dim")];
  // Peng et al. 2023, equation 22, with DeepSeek's two weights on the logarithm.
  const growth = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const derived = mscale && mscaleAllDims ? growth(mscale) / growth(mscaleAllDims) : growth(1);
  return {
    type: "yarn",
    factor,
    betaFast: positive(parameters, "beta_fast", 32),
    betaSlow: positive(parameters, "beta_slow", 1),
    attentionFactor: positive(parameters, "attention_factor", derived),
    originalContext,
    truncate: parameters.truncate !== false,
  };
}

function factorOf(parameters: Json, key: string): number {
  const factor = required(parameters, "factor", key);
  if (factor < 1) throw new ModelConfigError(`${key}: factor must be at least 1, got ${factor}`);
  return factor;
}

function required(parameters: Json, name: string, key: string): number {
  if ((parameters[name] ?? null) === null) throw new ModelConfigError(`${key}: ${name} is missing`);
  return positive(parameters, name, 1);
}

function optional(parameters: Json, name: string): number | null {
  return (parameters[name] ?? null) === null ? null : positive(parameters, name, 1);
}

/** In the words of config.json. */
export function formatRopeScaling(scaling: RopeScaling): Json {
  const { type: rope_type, factor } = scaling;
  switch (scaling.type) {
    case "linear":
      return { rope_type, factor };
    case "yarn":
      return {
        rope_type,
        factor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        attention_factor: scaling.attentionFactor,
        original_max_position_embeddings: scaling.originalContext,
        truncate: scaling.truncate,
      };
    case "llama3":
      return {
        rope_type,
        factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContext,
      };
  }
}

/** `frequencies` (θ^(−2i/dims), descending) after the scaling, in float32. */
export function scaledFrequencies(
  frequencies: Float32Array,
  scaling: RopeScaling,
  { theta, dims }: { readonly theta: number; readonly dims: number },
): Float32Array {
  switch (scaling.type) {
    case "linear":
      return frequencies.map((f) => f / scaling.factor);
    case "yarn": {
      const kept = keptShare(scaling, theta, dims);
      return frequencies.map((f, i) => (f / scaling.factor) * (1 - kept(i)) + f * kept(i));
    }
    case "llama3":
      return frequencies.map((f) => llama3Frequency(f, scaling));
  }
}

type Yarn = Extract<RopeScaling, { type: "yarn" }>;

/** The share of dimension pair i that keeps its frequency: 1 above betaFast turns over the original context, 0 below betaSlow. */
function keptShare({ betaFast, betaSlow, originalContext, truncate }: Yarn, theta: number, dims: number) {
  const pairWithTurns = (turns: number) =>
    (dims * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [first, last] = [pairWithTurns(betaFast), pairWithTurns(betaSlow)];
  const low = Math.max(truncate ? Math.floor(first) : first, 0);
  const high = Math.min(truncate ? Math.ceil(last) : last, dims - 1);
  const width = high === low ? 0.001 : high - low;
  return (i: number) => 1 - Math.min(1, Math.max(0, (i - low) / width));
}

function llama3Frequency(frequency: number, scaling: Extract<RopeScaling, { type: "llama3" }>): number {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
  const turns = (originalContext * frequency) / (2 * Math.PI);
  if (turns > high) return frequency;
  if (turns < low) return frequency / factor;
  const kept = (turns - low) / (high - low);
  return (1 - kept) * (frequency / factor) + kept * frequency;
}
