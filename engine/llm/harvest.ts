// Activations of whole texts: one forward per batch and 512 tokens that stops after the highest layer asked for.

import type { ActivationBatch } from "../runtime/activations.ts";
import { forwardTaps } from "./chunked-forward.ts";
import type { LanguageModel } from "./model.ts";
import { checkEdits, layOutEdits, type SteeringEdit, selectsToken } from "./steering.ts";

export interface HarvestOptions {
  /** Layers n whose resid_post.n is wanted. */
  readonly layers: readonly number[];
  /** Tokens, padding included, that one forward takes at most. Default 2048. A longer sequence runs alone. */
  readonly batchTokens?: number;
  readonly signal?: AbortSignal;
  /** For each sequence in order, the edits made while it runs; taps read after them. A sequence beyond the list has none. */
  readonly edits?: readonly (readonly SteeringEdit[])[];
}

type Sequences = Iterable<Int32Array> | AsyncIterable<Int32Array>;

/**
 * Runs the sequences in the given order and yields the rows of every token, batch by batch. `sequence` counts the sequences
 * from 0. A row does not depend on which sequences share its batch, to the last bit.
 *
 * @throws RangeError for a layer that the model lacks, an empty sequence, an id outside the vocabulary, or one beyond the context.
 */
export async function* harvest(
  model: LanguageModel,
  sequences: Sequences,
  options: HarvestOptions,
): AsyncGenerator<ActivationBatch> {
  const { layers, batchTokens = 2048, signal } = options;
  for (const layer of layers) {
    if (!Number.isInteger(layer) || layer < 0 || layer >= model.config.layers) {
      throw new RangeError(`layer ${layer} is not among the model's ${model.config.layers} layers`);
    }
  }
  for (const own of options.edits ?? []) checkEdits(model.config, own);
  let first = 0;
  for await (const group of batches(model, sequences, batchTokens)) {
    signal?.throwIfAborted();
    yield await harvestBatch(model, group, first, options);
    first += group.length;
  }
}

/** Consecutive sequences in groups whose padded size stays within the limit. */
export function* batchesOf(sequences: Iterable<Int32Array>, batchTokens: number): Generator<Int32Array[]> {
  let group: Int32Array[] = [];
  for (const ids of sequences) {
    if (!fits(group, ids, batchTokens)) {
      yield group;
      group = [];
    }
    group.push(ids);
  }
  if (group.length > 0) yield group;
}

function fits(group: readonly Int32Array[], next: Int32Array, batchTokens: number): boolean {
  const longest = group.reduce((most, ids) => Math.max(most, ids.length), next.length);
  return group.length === 0 || longest * (group.length + 1) <= batchTokens;
}

async function* batches(model: LanguageModel, sequences: Sequences, batchTokens: number): AsyncGenerator<Int32Array[]> {
  let group: Int32Array[] = [];
  let count = 0;
  for await (const ids of sequences) {
    checkSequence(model, ids, count++);
    if (!fits(group, ids, batchTokens)) {
      yield group;
      group = [];
    }
    group.push(ids);
  }
  if (group.length > 0) yield group;
}

export function checkSequence({ config }: LanguageModel, ids: Int32Array, index: number): void {
  if (ids.length === 0) throw new RangeError(`sequence ${index} is empty`);
  if (ids.length > config.contextLength) {
    throw new RangeError(`sequence ${index} has ${ids.length} tokens, the model's context ${config.contextLength}`);
  }
  const wrong = ids.find((id) => id < 0 || id >= config.vocabulary);
  if (wrong !== undefined)
    throw new RangeError(`sequence ${index} has the id ${wrong}; the vocabulary has ${config.vocabulary}`);
}

async function harvestBatch(
  model: LanguageModel,
  group: readonly Int32Array[],
  firstSequence: number,
  { layers, edits, signal }: HarvestOptions,
): Promise<ActivationBatch> {
  const { ids, tokens } = padded(group);
  const own = group.map((_, s) => edits?.[firstSequence + s] ?? []);
  const isSpecial = (s: number, t: number) => model.tokenizer.isSpecial(group[s]![t]!);
  const acts = (s: number, e: number, t: number) =>
    t < group[s]!.length && selectsToken(own[s]![e]!, t, () => isSpecial(s, t));
  const layout = layOutEdits(model.config, own);
  const taps = await forwardTaps(model, {
    sequences: group.length,
    tokens,
    ids,
    taps: layers,
    lastLayer: layers.reduce((highest, layer) => Math.max(highest, layer), 0),
    editsFor: (start, count) => layout?.pack(count, (s, e, t) => acts(s, e, start + t)),
    signal,
  });
  const rows = group.reduce((sum, sequence) => sum + sequence.length, 0);
  const [sequence, position, tokenId] = [new Int32Array(rows), new Int32Array(rows), new Int32Array(rows)];
  let row = 0;
  group.forEach((own, s) => {
    sequence.fill(firstSequence + s, row, row + own.length);
    for (let t = 0; t < own.length; t++) position[row + t] = t;
    tokenId.set(own, row);
    row += own.length;
  });
  const activations = taps.map((tap) => withoutPadding(tap, group, tokens, model.config.dModel));
  return { layers, activations, rows, sequence, position, tokenId };
}

/**
 * Sequences side by side, padded at the end with id 0 (causal attention keeps the padding out of every real row). At least two
 * positions: a product of one row takes another path through the kernels and would not give the same bits.
 */
export function padded(group: readonly Int32Array[]): { ids: Int32Array; tokens: number } {
  const tokens = group.reduce((longest, ids) => Math.max(longest, ids.length), 2);
  const ids = new Int32Array(group.length * tokens);
  group.forEach((own, s) => {
    ids.set(own, s * tokens);
  });
  return { ids, tokens };
}

/** The rows of real tokens, [rows, D], out of [S·T, D]. */
export function withoutPadding(
  tap: Float32Array,
  group: readonly Int32Array[],
  tokens: number,
  dModel: number,
): Float32Array {
  if (group.every((ids) => ids.length === tokens)) return tap;
  const rows = group.reduce((sum, ids) => sum + ids.length, 0);
  const out = new Float32Array(rows * dModel);
  let row = 0;
  group.forEach((ids, s) => {
    out.set(tap.subarray(s * tokens * dModel, (s * tokens + ids.length) * dModel), row * dModel);
    row += ids.length;
  });
  return out;
}
