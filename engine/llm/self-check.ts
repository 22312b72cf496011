// Whether an open model computes what its files say, on this machine and device.

import { KeyValueCache } from "./cache.ts";
import { openCheckpointTensors } from "./expert-tensors.ts";
import type { LanguageModel } from "./model.ts";
import { referenceLogits } from "./reference-forward.ts";

export interface LogitSelfCheck {
  readonly tokens: number;
  /** max |Δ| / max |reference| between the graph's logits and plain float64 loops over the files. */
  readonly relativeError: number;
  /** The same between reading the tokens at once and one after the other through the cache. */
  readonly cacheError: number;
  /** Both are at most 1e-4. */
  readonly passed: boolean;
}

const tolerance = 1e-4;

/** Runs a few tokens all three ways; three pass every weight, the cache and the mask. Slow for long texts and large models. */
export async function checkLogits(model: LanguageModel, folder: string, ids: Int32Array): Promise<LogitSelfCheck> {
  const { config } = model;
  const expected = await referenceLogits(config, await openCheckpointTensors(folder), ids);
  const rows = [...ids.keys()];
  const whole = (await model.forward({ sequences: 1, tokens: ids.length, ids, logitRows: rows })).logits;
  const cached = await oneByOne(model, ids);
  const relativeError = worst(
    whole,
    expected.flatMap((row) => [...row]),
  );
  const cacheError = worst(cached, whole);
  return {
    tokens: ids.length,
    relativeError,
    cacheError,
    passed: relativeError <= tolerance && cacheError <= tolerance,
  };
}

async function oneByOne(model: LanguageModel, ids: Int32Array): Promise<Float32Array> {
  const V = model.config.vocabulary;
  const logits = new Float32Array(ids.length * V);
  const cache = new KeyValueCache(model.config, 1, ids.length);
  for (let t = 0; t < ids.length; t++) {
    const one = { sequences: 1, tokens: 1, ids: ids.subarray(t, t + 1), logitRows: [0], cache: true };
    const result = await model.forward({ ...one, pastLengths: cache.lengths, past: cache.view });
    logits.set(result.logits, t * V);
    cache.append(0, result, 0, 1, 1);
  }
  return logits;
}

/** NaN anywhere makes the error infinite. */
function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(d)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, d);
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return difference / scale;
}
