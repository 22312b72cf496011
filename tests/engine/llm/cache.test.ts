import fc from "fast-check";
import { expect, it } from "vitest";
import { cacheBytesPerSequence, cacheBytesPerToken, KeyValueCache } from "../../../engine/llm/cache.ts";
import { fixtureConfig } from "./fixtures.ts";

const config = fixtureConfig("qwen3-gqa-f16");
const { layers, kvHeads, headDim } = config;

/** A number that tells which sequence, token and place it belongs to. */
const mark = (sequence: number, token: number, layer: number, place: number) =>
  1 + place + 50 * (layer + 5 * (token + 1000 * sequence));

/** What a forward over these tokens of one sequence would add. */
function added(sequence: number, from: number, count: number) {
  const list = (fill: (array: Float32Array, layer: number) => void) =>
    Array.from({ length: layers }, (_, layer) => {
      const array = new Float32Array(kvHeads * headDim * count);
      fill(array, layer);
      return array;
    });
  const each = (visit: (head: number, d: number, t: number) => void) => {
    for (let head = 0; head < kvHeads; head++)
      for (let d = 0; d < headDim; d++) for (let t = 0; t < count; t++) visit(head, d, t);
  };
  return {
    newKeys: list((array, layer) => {
      each((head, d, t) => {
        array[(head * count + t) * headDim + d] = mark(sequence, from + t, layer, head * headDim + d);
      });
    }),
    newValues: list((array, layer) => {
      each((head, d, t) => {
        array[(head * count + t) * headDim + d] = -mark(sequence, from + t, layer, head * headDim + d);
      });
    }),
  };
}

function cacheOf(sequence: number, tokens: number): KeyValueCache {
  const cache = new KeyValueCache(config, 1, tokens);
  cache.append(0, added(sequence, 0, tokens), 0, tokens, tokens);
  return cache;
}

/** Every place of every slot, or the first that is wrong. */
function firstWrong(cache: KeyValueCache, sequences: readonly number[]): string | null {
  const { columns, keys, values } = cache.view;
  for (const [slot, sequence] of sequences.entries()) {
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < kvHeads; head++) {
        for (let d = 0; d < headDim; d++) {
          for (let t = 0; t < cache.lengths[slot]!; t++) {
            const row = slot * kvHeads + head;
            const expected = mark(sequence, t, layer, head * headDim + d);
            if (keys[layer]![(row * columns + t) * headDim + d] !== expected) return `key ${slot} ${layer} ${d} ${t}`;
            if (values[layer]![(row * columns + t) * headDim + d] !== -expected)
              return `value ${slot} ${layer} ${d} ${t}`;
          }
        }
      }
    }
  }
  return null;
}

it("holds every slot's numbers through any order of joining, growing, leaving and giving back", () => {
  const operation = fc.record({
    kind: fc.constantFrom("join", "join", "append", "append", "leave", "reserve", "compact"),
    pick: fc.nat(100),
    tokens: fc.integer({ min: 1, max: 90 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 25 }), fc.integer({ min: 0, max: 3 }), (operations, granted) => {
      const bytes = granted * 300 * cacheBytesPerToken(config);
      const cache = new KeyValueCache(config, 0, 0, { grantedBytes: () => bytes });
      const sequences: number[] = [];
      let next = 0;
      for (const { kind, pick, tokens } of operations) {
        const slot = sequences.length === 0 ? -1 : pick % sequences.length;
        if (kind === "join" && sequences.length < 5) {
          cache.absorb(cacheOf(next, tokens));
          sequences.push(next++);
        } else if (kind === "append" && slot >= 0) {
          const length = cache.lengths[slot]!;
          const count = Math.min(tokens, 400 - length);
          if (count > 0) cache.append(slot, added(sequences[slot]!, length, count), 0, count, count);
        } else if (kind === "leave" && slot >= 0) {
          const last = sequences.pop()!;
          if (slot < sequences.length) sequences[slot] = last;
          cache.remove(slot, 512);
        } else if (kind === "reserve") cache.reserve(tokens * 3);
        else if (kind === "compact") cache.compact();
        expect(cache.slots).toBe(sequences.length);
        expect(firstWrong(cache, sequences)).toBeNull();
        const needed = sequences.length * cache.columns * cacheBytesPerToken(config);
        expect(cache.sizeBytes).toBeGreaterThanOrEqual(needed);
        if (kind === "compact") expect(cache.sizeBytes).toBe(needed);
      }
    }),
    { numRuns: 60, seed: 7 },
  );
});

it("a slot that joins while there is room moves nothing of the others, and leaves its own cache empty", () => {
  const cache = new KeyValueCache(config, 0, 0, { grantedBytes: () => 1e9 });
  for (const sequence of [0, 1]) cache.absorb(cacheOf(sequence, 60));
  const { buffer } = cache.view.keys[0]!;
  const room = cache.sizeBytes;
  // Room for twice the first need, so the third needs new arrays and the fourth none.
  cache.absorb(cacheOf(2, 60));
  expect(cache.view.keys[0]!.buffer).not.toBe(buffer);
  expect(cache.sizeBytes).toBeGreaterThan(room);
  const grown = cache.view.keys[0]!.buffer;
  const own = cacheOf(3, 60);
  cache.absorb(own);
  expect(cache.view.keys[0]!.buffer).toBe(grown);
  expect([own.sizeBytes, own.slots]).toEqual([0, 0]);
  expect(firstWrong(cache, [0, 1, 2, 3])).toBeNull();
});

it("columns shrink when the longest leaves, and an empty cache gives everything back", () => {
  const cache = new KeyValueCache(config, 0, 0);
  for (const [sequence, tokens] of [300, 20, 40].entries()) cache.absorb(cacheOf(sequence, tokens));
  expect(cache.columns).toBe(320);
  cache.remove(0, 512);
  expect(cache.columns).toBe(128);
  expect(firstWrong(cache, [2, 1])).toBeNull();
  // No more columns than the rest may come to need.
  cache.remove(0, 64);
  expect(cache.columns).toBe(64);
  cache.remove(0, 0);
  cache.compact();
  expect(cache.sizeBytes).toBe(0);
});

it("the bytes of a token are what its keys and values take over all layers", () => {
  expect(cacheBytesPerToken(config)).toBe(2 * layers * kvHeads * headDim * 4);
  expect(cacheBytesPerSequence(config)).toBe(0);
  expect(cacheOf(0, 64).sizeBytes).toBe(64 * cacheBytesPerToken(config));
});
