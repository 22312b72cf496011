// From logits to one token, in the order of the transformers library: repetition penalty, temperature, top-k, top-p, draw.

import type { Random } from "../runtime/random.ts";
import { logSumExp } from "./cross-entropy.ts";

export interface SamplingSettings {
  /** 0 takes the most likely token, the smallest id on a tie. */
  readonly temperature: number;
  /** Keeps the smallest set of most likely tokens whose probabilities reach this sum, and never fewer than one; 1 keeps all. */
  readonly topP: number;
  /** Keeps this many most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Logits of tokens already in prompt or answer are divided by it when positive, multiplied when negative; 1 changes nothing. Keskar et al. 2019. */
  readonly repetitionPenalty: number;
}

export const greedySampling: SamplingSettings = { temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1 };

/**
 * Draws a token id from logits [V]. `seen` are the ids of prompt and answer so far; `random` is drawn from exactly once, and not at
 * all at temperature 0. The logits are changed in place by the penalty.
 *
 * @throws RangeError when a logit is not a number: nothing sensible can follow
 */
export function sampleToken(
  logits: Float32Array,
  settings: SamplingSettings,
  seen: ReadonlySet<number>,
  random: Random,
): number {
  const { temperature, topP, topK, repetitionPenalty } = settings;
  if (repetitionPenalty !== 1) {
    for (const id of seen)
      logits[id] = logits[id]! > 0 ? logits[id]! / repetitionPenalty : logits[id]! * repetitionPenalty;
  }
  const best = argMax(logits);
  if (temperature === 0) return best;
  const highest = logits[best]!;
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id]! - highest) / temperature);
  return draw(weights, mostLikely(weights, topK, topP), random);
}

export function argMax(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id])) throw new RangeError(`the logit of token ${id} is not a number`);
    if (logits[id]! > logits[best]!) best = id;
  }
  return best;
}

/** Ids by falling weight, cut at `count` and at the share `mass` of what `count` leaves; null when neither cuts. */
function mostLikely(weights: Float64Array, count: number, mass: number): number[] | null {
  const cutCount = count > 0 && count < weights.length;
  if (!cutCount && mass >= 1) return null;
  const next = byFallingWeight(weights);
  // The mass is a share of what the count leaves, so the count is taken first.
  const counted = cutCount ? Array.from({ length: count }, next) : null;
  if (mass >= 1) return counted;
  let total = 0;
  for (const weight of counted ? counted.map((id) => weights[id]!) : weights) total += weight;
  const kept: number[] = [];
  const limit = counted?.length ?? weights.length;
  for (let reached = 0; (reached < mass * total || kept.length === 0) && kept.length < limit; ) {
    const id = counted ? counted[kept.length]! : next();
    kept.push(id);
    reached += weights[id]!;
  }
  return kept;
}

/** Ids one after the other by falling weight, smaller ids first on ties: a heap, since usually few are taken out of many. */
function byFallingWeight(weights: Float64Array): () => number {
  const heap = Uint32Array.from(weights, (_, id) => id);
  let size = heap.length;
  const before = (a: number, b: number) => weights[a]! > weights[b]! || (weights[a]! === weights[b]! && a < b);
  const sink = (from: number) => {
    for (let at = from; ; ) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < size && before(heap[child]!, heap[first]!)) first = child;
      if (first === at) return;
      [heap[at], heap[first]] = [heap[first]!, heap[at]!];
      at = first;
    }
  };
  for (let at = size >>> 1; at-- > 0; ) sink(at);
  return () => {
    const top = heap[0]!;
    heap[0] = heap[--size]!;
    sink(0);
    return top;
  };
}

function draw(weights: Float64Array, candidates: readonly number[] | null, random: Random): number {
  const count = candidates?.length ?? weights.length;
  const idAt = (i: number) => (candidates ? candidates[i]! : i);
  let total = 0;
  for (let i = 0; i < count; i++) total += weights[idAt(i)]!;
  let rest = random.float() * total;
  let last = idAt(0);
  for (let i = 0; i < count; i++) {
    const id = idAt(i);
    if (weights[id] === 0) continue;
    last = id;
    rest -= weights[id]!;
    if (rest < 0) break;
  }
  // Rounding can leave a rest of a few ulps after the last candidate that is possible at all.
  return last;
}

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

export interface SampledLogprobs extends TokenLogprob {
  /** The most likely tokens, most likely first. */
  readonly top: readonly TokenLogprob[];
}

/** log softmax of the model's own logits (before penalty, temperature and cuts) for the sampled token and the `count` most likely. */
export function logprobsOf(logits: Float32Array, id: number, count: number): SampledLogprobs {
  const normalizer = logSumExp(logits, 0, logits.length);
  const next = count > 0 ? byFallingWeight(Float64Array.from(logits)) : () => 0;
  const top = Array.from({ length: Math.min(count, logits.length) }, next).map((best) => ({
    id: best,
    logprob: logits[best]! - normalizer,
  }));
  return { id, logprob: logits[id]! - normalizer, top };
}
