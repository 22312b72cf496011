// The sequences that are past their prompt: slots of one cache, all of them run in every step.

import { columnsFor, KeyValueCache } from "./cache.ts";
import { columnGroup, type ForwardResult, type PackedEdits } from "./forward.ts";
import type { Sequence } from "./generation.ts";
import type { LanguageModel } from "./model.ts";
import { countEdits, type EditLayout, expectWithinFloat32, layOutEdits, selectsToken } from "./steering.ts";

export interface RunningBatch {
  readonly sequences: readonly Sequence[];
  /** What its cache takes in memory. */
  readonly sizeBytes: number;
  /** Takes the sequence in with its cache, which is empty afterwards. */
  join(sequence: Sequence, cache: KeyValueCache): void;
  remove(sequence: Sequence): void;
  /** Feeds every sequence's last sampled token back and samples the next. */
  step(): Promise<void>;
  /** Gives back the memory that is kept for growing. */
  compact(): void;
}

/** `grantedBytes`: what its cache may take when it must grow. */
export function createRunningBatch(model: LanguageModel, grantedBytes: () => number): RunningBatch {
  const sequences: Sequence[] = [];
  const cache = new KeyValueCache(model.config, 0, 0, { grantedBytes });
  let layout: EditLayout | null = null;

  const mostColumns = () => sequences.reduce((most, { reservedColumns }) => Math.max(most, reservedColumns), 0);
  const changed = () => {
    const edits = sequences.map(({ request }) => request.edits);
    layout = layOutEdits(model.config, edits);
  };

  function remove(sequence: Sequence): void {
    const slot = sequences.indexOf(sequence);
    if (slot < 0) return;
    // As in the cache: the last one moves to the place that is free.
    const last = sequences.pop()!;
    if (last !== sequence) sequences[slot] = last;
    cache.remove(slot, mostColumns());
    changed();
  }

  function acts(sequence: Sequence, edit: number): boolean {
    const { prompt, sampled, request } = sequence;
    const position = prompt.length + sampled.length - 1;
    return selectsToken(request.edits[edit]!, position, () => model.tokenizer.isSpecial(sampled.at(-1)!));
  }

  /** @throws SteeringOverflowError */
  function count(result: ForwardResult, packed: PackedEdits | undefined, s: number): void {
    const { request, tally, sampled } = sequences[s]!;
    if (!packed || !layout || request.edits.length === 0) return;
    const counts = countEdits(result, packed, layout, s, 1);
    expectWithinFloat32(counts, request.edits, `tokens ${sampled.length} and later of the answer`);
    tally.add(counts, "generation");
  }

  return {
    sequences,
    get sizeBytes() {
      return cache.sizeBytes;
    },
    join(sequence, own) {
      sequences.push(sequence);
      cache.absorb(own);
      changed();
    },
    remove,
    compact: () => cache.compact(),
    async step() {
      const S = sequences.length;
      const packed = layout?.pack(1, (s, e) => acts(sequences[s]!, e));
      const needed = cache.lengths.reduce((longest, length) => Math.max(longest, length), 0) + 1;
      cache.reserve(needed, Math.min(columnsFor(needed) + columnGroup, mostColumns()));
      const result = await model.forward({
        sequences: S,
        tokens: 1,
        ids: Int32Array.from(sequences, ({ sampled }) => sampled.at(-1)!),
        pastLengths: cache.lengths,
        past: cache.view,
        logitRows: [...sequences.keys()],
        cache: true,
        ...(packed ? { edits: packed } : {}),
      });
      const { vocabulary } = model.config;
      cache.takeStates(result);
      const ended = sequences.filter((sequence, s) => {
        try {
          count(result, packed, s);
          const done = sequence.take(result.logits.subarray(s * vocabulary, (s + 1) * vocabulary));
          cache.append(s, result, s, 1, 1);
          return done;
        } catch (error) {
          // Only its own numbers are spoilt (an edit beyond float32), and they stay out of the cache for whoever gets the slot.
          sequence.output.fail(error);
          return true;
        }
      });
      for (const sequence of ended) remove(sequence);
    },
  };
}
