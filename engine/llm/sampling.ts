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
  const ids = topK > 0 && topK < logits.length ? largest(logits, topK) : null;
  const weights = new Float64Array(ids?.length ?? logits.length);
  for (let i = 0; i < weights.length; i++) weights[i] = Math.exp((logits[ids ? ids[i]! : i]! - highest) / temperature);
  const kept = topP < 1 ? nucleus(weights, topP, ids ? inOrder() : byFallingWeight(weights)) : null;
  const drawn = draw(weights, kept, random);
  return ids ? ids[drawn]! : drawn;
}

export function argMax(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id])) throw new RangeError(`the logit of token ${id} is not a number`);
    if (logits[id]! > logits[best]!) best = id;
  }
  return best;
}

/** The first places that together reach the share `mass` of all weights, and never fewer than one. */
function nucleus(weights: Float64Array, mass: number, next: () => number): number[] {
  let total = 0;
  for (const weight of weights) total += weight;
  const kept: number[] = [];
  for (let reached = 0; (reached < mass * total || kept.length === 0) && kept.length < weights.length; ) {
    const place = next();
    kept.push(place);
    reached += weights[place]!;
  }
  return kept;
}

function inOrder(): () => number {
  let place = 0;
  return () => place++;
}

/** Places one after the other by falling weight, smaller ones first on ties. */
function byFallingWeight(weights: Float64Array): () => number {
  // Usually a few are taken out of many: of 151,936, selecting 256 takes 0.3 ms where a heap over all takes 8.
  const first = largest(weights, 256);
  let taken = 0;
  let rest: (() => number) | null = null;
  return () => {
    if (taken < first.length) return first[taken++]!;
    rest ??= heapOrder(weights, first.length);
    return rest();
  };
}

/** The indices of the largest values, largest first, smaller indices first on ties. */
function largest(values: Float32Array | Float64Array, count: number): Uint32Array {
  const size = Math.min(count, values.length);
  const heap = new Uint32Array(size);
  for (let i = 0; i < size; i++) heap[i] = i;
  const worse = (a: number, b: number) => values[a]! < values[b]! || (values[a]! === values[b]! && a > b);
  for (let at = size >>> 1; at-- > 0; ) sink(heap, size, at, worse);
  if (size === 0) return heap;
  let bound = values[heap[0]!]!;
  for (let i = size; i < values.length; i++) {
    if (!(values[i]! > bound)) continue;
    heap[0] = i;
    sink(heap, size, 0, worse);
    bound = values[heap[0]!]!;
  }
  // The worst goes to the end, again and again.
  for (let left = size - 1; left > 0; left--) {
    [heap[0], heap[left]] = [heap[left]!, heap[0]!];
    sink(heap, left, 0, worse);
  }
  return heap;
}

/** All places by falling weight, without the first `skipped`. */
function heapOrder(weights: Float64Array, skipped: number): () => number {
  let size = weights.length;
  const heap = new Uint32Array(size);
  for (let i = 0; i < size; i++) heap[i] = i;
  const before = (a: number, b: number) => weights[a]! > weights[b]! || (weights[a]! === weights[b]! && a < b);
  for (let at = size >>> 1; at-- > 0; ) sink(heap, size, at, before);
  const next = () => {
    const top = heap[0]!;
    heap[0] = heap[--size]!;
    sink(heap, size, 0, before);
    return top;
  };
  for (let i = 0; i < skipped; i++) next();
  return next;
}

/** Moves the entry at `from` down until none of its children comes before it. */
function sink(heap: Uint32Array, size: number, from: number, before: (a: number, b: number) => boolean): void {
  for (let at = from; ; ) {
    let first = at;
    const left = 2 * at + 1;
    if (left < size && before(heap[left]!, heap[first]!)) first = left;
    if (left + 1 < size && before(heap[left + 1]!, heap[first]!)) first = left + 1;
    if (first === at) return;
    const moved = heap[at]!;
    heap[at] = heap[first]!;
    heap[first] = moved;
    at = first;
  }
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
  const top = Array.from(largest(logits, count), (best) => ({ id: best, logprob: logits[best]! - normalizer }));
  return { id, logprob: logits[id]! - normalizer, top };
}
