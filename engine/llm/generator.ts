// Continuous batching: sequences join and leave between steps; long prompts are read in chunks between the steps of the others.
//
// A sequence's numbers do not depend on its company, to the last bit. Its prompt is read alone, on a fixed grid of chunks; a sampled
// token is always fed back alone per sequence; and columns of the cache come in groups of 64 (see forward.ts).

import { setImmediate } from "node:timers/promises";
import { cacheBytesPerToken, KeyValueCache } from "./cache.ts";
import type { PackedEdits } from "./forward.ts";
import { createSequence, type GenerationEvent, type GenerationRequest, type Sequence } from "./generation.ts";
import type { LanguageModel } from "./model.ts";
import { type EditLayout, layOutEdits, selectsToken } from "./steering.ts";

export type { GeneratedToken, GenerationEnd, GenerationEvent, GenerationRequest } from "./generation.ts";

export interface GeneratorOptions {
  /** Sequences that are generated together. Default 8. */
  readonly maxBatch?: number;
  /** Cache of all sequences together, in bytes; a request waits until its whole need is free. Default 2 GiB. */
  readonly cacheBytes?: number;
  /** Prompt tokens between two steps of the others: part of what a text depends on. Default 256. */
  readonly chunkTokens?: number;
}

export interface Generator {
  /**
   * Queues a request and gives its events. A reader who leaves the loop, or an aborted signal, takes the sequence out of the batch
   * before its next step.
   *
   * @throws RangeError, ContextLengthError or CacheTooLargeError
   */
  add(request: GenerationRequest): AsyncIterable<GenerationEvent>;
  /** Sequences in the batch or being read, those waiting, and the cache bytes that the former hold. */
  readonly load: { readonly active: number; readonly waiting: number; readonly cacheBytes: number };
  /** Waits until everything asked for has ended. */
  idle(): Promise<void>;
}

/** A sequence whose prompt is being read into a cache of its own. */
interface Reading {
  readonly sequence: Sequence;
  readonly cache: KeyValueCache;
  readonly layout: EditLayout | null;
}

export function createGenerator(model: LanguageModel, options: GeneratorOptions = {}): Generator {
  const { maxBatch = 8, cacheBytes = 2 ** 31, chunkTokens = 256 } = options;
  const waiting: Sequence[] = [];
  const reading: Reading[] = [];
  const batch = createBatch(model);
  let loop: Promise<void> | null = null;

  const active = () => [...reading.map(({ sequence }) => sequence), ...batch.sequences()];
  // All slots of a batch are as long as its longest sequence.
  const heldBy = (sequences: readonly Sequence[]) =>
    sequences.length *
    sequences.reduce((most, { reservedColumns }) => Math.max(most, reservedColumns), 0) *
    cacheBytesPerToken(model.config);

  function admit(): void {
    while (waiting.length > 0 && active().length < maxBatch) {
      const [next] = waiting as [Sequence];
      // In order of arrival: a large request is not overtaken for ever by small ones.
      if (heldBy([...active(), next]) > cacheBytes) return;
      waiting.shift();
      reading.push({
        sequence: next,
        cache: new KeyValueCache(model.config, 1, next.prompt.length),
        layout: layOutEdits(model.config, [next.request.edits]),
      });
    }
  }

  function dropCanceled(): void {
    const kept = waiting.filter((sequence) => !leaveIfCanceled(sequence));
    waiting.splice(0, waiting.length, ...kept);
    const stillReading = reading.filter(({ sequence }) => !leaveIfCanceled(sequence));
    reading.splice(0, reading.length, ...stillReading);
    for (const sequence of batch.sequences()) if (leaveIfCanceled(sequence)) batch.remove(sequence);
  }

  async function run(): Promise<void> {
    for (;;) {
      // Lets new requests, cancellations and readers have their turn between steps.
      await setImmediate();
      dropCanceled();
      admit();
      if (reading.length === 0 && batch.sequences().length === 0) return;
      const first = reading[0];
      if (first) await failing([first.sequence], () => readChunk(first));
      if (batch.sequences().length > 0) await failing(batch.sequences(), () => batch.step());
    }
  }

  /** A step that throws ends the sequences that were in it, with its error, and nobody else. */
  async function failing(sequences: readonly Sequence[], step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      for (const sequence of sequences) {
        sequence.output.fail(error);
        batch.remove(sequence);
        const at = reading.findIndex((item) => item.sequence === sequence);
        if (at >= 0) reading.splice(at, 1);
      }
    }
  }

  async function readChunk(item: Reading): Promise<void> {
    const { sequence, cache, layout } = item;
    const start = cache.lengths[0]!;
    const tokens = Math.min(chunkTokens, sequence.prompt.length - start);
    const last = start + tokens === sequence.prompt.length;
    const { edits } = sequence.request;
    const packed = layout?.pack(tokens, (_, e, t) => selectsToken(edits[e]!, start + t, () => false));
    const result = await model.forward({
      sequences: 1,
      tokens,
      ids: sequence.prompt.subarray(start, start + tokens),
      pastLengths: [start],
      ...(start > 0 ? { past: cache.view } : {}),
      logitRows: last ? [tokens - 1] : [],
      cache: true,
      ...(packed ? { edits: packed } : {}),
    });
    if (packed && layout) sequence.tally.add(result, packed, layout, 0, tokens, "prompt");
    cache.append(0, result, 0, tokens, tokens);
    if (!last) return;
    reading.shift();
    if (!sequence.take(result.logits)) batch.join(sequence, cache);
  }

  return {
    add(request) {
      const sequence = createSequence(model, request, { bytes: cacheBytes, sequences: maxBatch });
      waiting.push(sequence);
      loop ??= run().finally(() => {
        loop = null;
      });
      return sequence.output.events;
    },
    get load() {
      return { active: active().length, waiting: waiting.length, cacheBytes: heldBy(active()) };
    },
    async idle() {
      while (loop) await loop;
    },
  };
}

function leaveIfCanceled(sequence: Sequence): boolean {
  if (!sequence.canceled()) return false;
  sequence.output.close();
  return true;
}

interface Batch {
  sequences(): Sequence[];
  join(sequence: Sequence, cache: KeyValueCache): void;
  remove(sequence: Sequence): void;
  /** Feeds every sequence's last sampled token back and samples the next. */
  step(): Promise<void>;
}

/**
 * The sequences that are past their prompt. They occupy slots of one cache; a slot whose sequence has left is run along, masked,
 * until another takes it or half of the slots are empty: rebuilding copies the whole cache.
 */
function createBatch(model: LanguageModel): Batch {
  let slots: (Sequence | null)[] = [];
  let cache = new KeyValueCache(model.config, 0, 0);
  let layout: EditLayout | null = null;

  const changed = () => {
    layout = layOutEdits(
      model.config,
      slots.map((sequence) => sequence?.request.edits ?? []),
    );
  };

  /** Moves what lives to the first of `count` slots of a new cache. */
  function rebuild(count: number): void {
    const living = slots.flatMap((sequence, slot) => (sequence ? [{ sequence, slot }] : []));
    const longest = living.reduce((most, { slot }) => Math.max(most, cache.lengths[slot]!), 0);
    const next = new KeyValueCache(model.config, count, longest);
    living.forEach(({ slot }, to) => {
      next.adopt(to, cache, slot);
    });
    slots = Array.from({ length: count }, (_, to) => living[to]?.sequence ?? null);
    cache = next;
  }

  const batch: Batch = {
    sequences: () => slots.filter((sequence) => sequence !== null),
    join(sequence, own) {
      if (!slots.includes(null)) rebuild(slots.length + 1);
      const slot = slots.indexOf(null);
      slots[slot] = sequence;
      cache.adopt(slot, own, 0);
      changed();
    },
    remove(sequence) {
      const slot = slots.indexOf(sequence);
      if (slot < 0) return;
      slots[slot] = null;
      cache.clear(slot);
      const living = batch.sequences().length;
      if (living <= slots.length / 2) rebuild(living);
      changed();
    },
    async step() {
      const [running, S] = [slots, slots.length];
      const ids = Int32Array.from(running, (sequence) => sequence?.sampled.at(-1) ?? 0);
      const packed = layout?.pack(1, (s, e) => acts(running[s]!, e, ids[s]!));
      const rows = running.flatMap((sequence, s) => (sequence ? [s] : []));
      cache.reserve(Math.max(...cache.lengths) + 1);
      const result = await model.forward({
        sequences: S,
        tokens: 1,
        ids,
        pastLengths: cache.lengths,
        past: cache.view,
        logitRows: rows,
        cache: true,
        ...(packed ? { edits: packed } : {}),
      });
      count(result, packed, running);
      const { vocabulary } = model.config;
      const ended: Sequence[] = [];
      rows.forEach((s, row) => {
        const sequence = running[s]!;
        try {
          const done = sequence.take(result.logits.subarray(row * vocabulary, (row + 1) * vocabulary));
          cache.append(s, result, s, 1, 1);
          if (done) ended.push(sequence);
        } catch (error) {
          // Only its own numbers are spoilt (an edit beyond float32), and they stay out of the cache for whoever gets the slot.
          sequence.output.fail(error);
          ended.push(sequence);
        }
      });
      for (const sequence of ended) batch.remove(sequence);
    },
  };
  return batch;

  function acts(sequence: Sequence, edit: number, id: number): boolean {
    const position = sequence.prompt.length + sequence.sampled.length - 1;
    return selectsToken(sequence.request.edits[edit]!, position, () => model.tokenizer.isSpecial(id));
  }

  function count(
    result: Awaited<ReturnType<LanguageModel["forward"]>>,
    packed: PackedEdits | undefined,
    running: readonly (Sequence | null)[],
  ): void {
    if (!packed || !layout) return;
    running.forEach((sequence, s) => {
      if (sequence && sequence.request.edits.length > 0)
        sequence.tally.add(result, packed, layout!, s, 1, "generation");
    });
  }
}
