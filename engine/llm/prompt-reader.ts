// Reading a prompt: alone, on a fixed grid of chunks, each of them taken from the prefix store or run.

import { columnsFor, KeyValueCache } from "./cache.ts";
import type { Sequence } from "./generation.ts";
import type { LanguageModel } from "./model.ts";
import { editDigest, firstPrefixKey, nextPrefixKey, type PrefixChunk, type PrefixStore } from "./prefix-store.ts";
import { countEdits, expectWithinFloat32, layOutEdits, type SteeringEdit } from "./steering.ts";

/** To copy this many is quicker than to run one. */
const knownChunksPerTurn = 16;

/** A sequence whose prompt is being read into a cache of its own. */
export interface Reading {
  readonly sequence: Sequence;
  readonly cache: KeyValueCache;
  readonly editDigests: readonly string[];
  /** What the store had counted when the reading began: chunks stored later were computed for a request at the same time. */
  readonly began: number;
  /** Names all that was read; null where nothing is shared. */
  prefixKey: string | null;
}

export interface PromptReader {
  begin(sequence: Sequence): Reading;
  /** One turn: takes known chunks, up to a number, or those before the first that is not known, and runs that one. Gives the logits [V] after the prompt's last token once it is read. */
  advance(reading: Reading): Promise<Float32Array | null>;
}

/** A piece of the grid of one prompt. */
interface Chunk {
  readonly start: number;
  readonly ids: Int32Array;
  readonly last: boolean;
  /** Indices of the edits that select one of its tokens: no others are part of its run, so that they cannot matter for its bits. */
  readonly edits: readonly number[];
  readonly prefixKey: string | null;
}

/** `owner` stands for the model in the store. */
export function createPromptReader(
  model: LanguageModel,
  prefixes: PrefixStore,
  owner: object,
  chunkTokens: number,
): PromptReader {
  function nextChunk({ sequence, cache, editDigests, prefixKey }: Reading): Chunk {
    const { prompt, request } = sequence;
    const start = cache.lengths[0]!;
    const end = Math.min(start + chunkTokens, prompt.length);
    const masks = request.edits.map((edit) => edit.selection.prompt.subarray(start, end));
    const edits = [...masks.keys()].filter((e) => masks[e]!.includes(1));
    const ids = prompt.subarray(start, end);
    const named = edits.map((e) => ({ digest: editDigests[e]!, mask: masks[e]! }));
    const key = prefixKey === null ? null : nextPrefixKey(prefixKey, ids, named);
    return { start, ids, last: end === prompt.length, edits, prefixKey: key };
  }

  function take(reading: Reading, chunk: Chunk, known: PrefixChunk): Float32Array | null {
    const { cache, sequence } = reading;
    const end = chunk.start + chunk.ids.length;
    // Twice the columns at a time: attention runs over all of them, and moving them for every chunk would cost as much.
    const columns = Math.max(columnsFor(end), Math.min(2 * cache.columns, columnsFor(sequence.prompt.length)));
    cache.reserve(end, columns);
    cache.append(0, known.cached, 0, chunk.ids.length, chunk.ids.length);
    sequence.tally.add(known.counts, "prompt", chunk.edits);
    reading.prefixKey = chunk.prefixKey;
    return chunk.last ? known.logits!.slice() : null;
  }

  async function run({ sequence, cache }: Reading, { start, ids, last, edits }: Chunk): Promise<PrefixChunk> {
    const tokens = ids.length;
    const own = edits.map((e) => sequence.request.edits[e]!);
    const layout = layOutEdits(model.config, [own]);
    const packed = layout?.pack(tokens, (_, e, t) => selects(own[e]!, start + t));
    const result = await model.forward({
      sequences: 1,
      tokens,
      ids,
      pastLengths: [start],
      ...(start > 0 ? { past: cache.view } : {}),
      logitRows: last ? [tokens - 1] : [],
      cache: true,
      ...(packed ? { edits: packed } : {}),
    });
    const counts = packed && layout ? countEdits(result, packed, layout, 0, tokens) : [];
    const described = `the prompt's tokens ${start} to ${start + tokens - 1}`;
    expectWithinFloat32(counts, sequence.request.edits, described, edits);
    // Nothing that is not finite gets into memory that others will use.
    const remembered = [result.newKeys, result.newStates].map((layers) => layers.findLast(({ length }) => length > 0));
    if (!remembered.every((array) => array?.every(Number.isFinite) ?? true)) {
      throw new RangeError(`${described} give something that is not a number`);
    }
    const { newKeys, newValues, newStates, newConvolutions, newLengths } = result;
    const cached = { newKeys, newValues, newStates, newConvolutions, newLengths };
    return { tokens, cached, logits: last ? result.logits : null, counts };
  }

  return {
    begin(sequence) {
      const { edits, prefixScope = "" } = sequence.request;
      return {
        sequence,
        cache: new KeyValueCache(model.config, 1, 0),
        editDigests: prefixScope === null ? [] : edits.map(editDigest),
        began: prefixes.clock,
        prefixKey: prefixScope === null ? null : firstPrefixKey(prefixScope),
      };
    },
    async advance(reading) {
      for (let taken = 0; taken < knownChunksPerTurn; taken++) {
        const chunk = nextChunk(reading);
        const known = chunk.prefixKey === null ? null : prefixes.find(owner, chunk.prefixKey);
        if (!known || (chunk.last && !known.chunk.logits)) {
          const computed = await run(reading, chunk);
          if (chunk.prefixKey !== null) prefixes.add(owner, chunk.prefixKey, reading.prefixKey!, computed);
          return take(reading, chunk, computed);
        }
        if (known.storedAt <= reading.began) reading.sequence.cachedTokens += chunk.ids.length;
        const logits = take(reading, chunk, known.chunk);
        if (logits) return logits;
      }
      return null;
    },
  };
}

function selects({ selection }: SteeringEdit, position: number): boolean {
  return selection.prompt[position] === 1;
}
