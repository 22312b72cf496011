// What was computed for the beginnings of prompts, to be used again by a prompt that begins the same way.
//
// An entry is one chunk of the grid on which prompts are read. Its key chains the scope, the ids of all tokens up to its end, and the
// edits that acted on them: whatever decides its numbers. A chunk that is taken from here therefore has the bits it would have anew.

import { createHash } from "node:crypto";
import type { CachedTokens } from "./cache.ts";
import type { EditCounts, SteeringEdit } from "./steering.ts";

export interface PrefixChunk {
  readonly tokens: number;
  readonly cached: CachedTokens;
  /** [V] after the last token, where a prompt ended there. */
  readonly logits: Float32Array | null;
  /** What each of the edits that act on the chunk did, for the report. */
  readonly counts: readonly EditCounts[];
}

interface Entry {
  readonly chunk: PrefixChunk;
  readonly owner: object;
  readonly parent: string;
  readonly sizeBytes: number;
  /** The value of the clock when it was stored. */
  readonly storedAt: number;
}

export interface PrefixStore {
  readonly sizeBytes: number;
  readonly entries: number;
  /** Counts what was stored: a request remembers it to tell what was there before it. */
  readonly clock: number;
  find(owner: object, key: string): { readonly chunk: PrefixChunk; readonly storedAt: number } | null;
  /** Keeps the chunk where there is room for it beside those that it follows. */
  add(owner: object, key: string, parent: string, chunk: PrefixChunk): void;
  /** Forgets the least recently used until no more than so many bytes are held. */
  shrinkTo(bytes: number): void;
  /** Forgets everything of one owner. */
  drop(owner: object): void;
}

/** `roomBytes`: what the entries may take together at the moment. */
export function createPrefixStore(roomBytes: () => number): PrefixStore {
  // A Map keeps insertion order; a used entry is moved to the end, so the first is the least recently used.
  const all = new Map<object, Map<string, Entry>>();
  const order = new Map<Entry, string>();
  let held = 0;
  let clock = 0;

  /** A chunk is of no use without those before it, so they count as used after it. */
  function touch(owned: Map<string, Entry>, key: string): void {
    for (let at: string = key, entry = owned.get(at); entry; at = entry.parent, entry = owned.get(at)) {
      order.delete(entry);
      order.set(entry, at);
    }
  }

  function forget(entry: Entry): void {
    all.get(entry.owner)?.delete(order.get(entry)!);
    order.delete(entry);
    held -= entry.sizeBytes;
  }

  function shrinkTo(bytes: number): void {
    for (const entry of order.keys()) {
      if (held <= bytes) return;
      forget(entry);
    }
  }

  return {
    shrinkTo,
    get sizeBytes() {
      return held;
    },
    get entries() {
      return order.size;
    },
    get clock() {
      return clock;
    },
    find(owner, key) {
      const owned = all.get(owner);
      const entry = owned?.get(key);
      if (!owned || !entry) return null;
      touch(owned, key);
      return entry;
    },
    add(owner, key, parent, chunk) {
      const owned = all.get(owner) ?? new Map<string, Entry>();
      all.set(owner, owned);
      const before = owned.get(key);
      if (before) forget(before);
      const sizeBytes = bytesOf(chunk);
      let needed = sizeBytes;
      for (let above = owned.get(parent); above; above = owned.get(above.parent)) needed += above.sizeBytes;
      if (needed > roomBytes()) return;
      touch(owned, parent);
      shrinkTo(roomBytes() - sizeBytes);
      clock += 1;
      const entry = { chunk, owner, parent, sizeBytes, storedAt: clock };
      owned.set(key, entry);
      held += sizeBytes;
      touch(owned, key);
    },
    drop(owner) {
      for (const entry of [...(all.get(owner)?.values() ?? [])]) forget(entry);
      all.delete(owner);
    },
  };
}

function bytesOf({ cached, logits, counts }: PrefixChunk): number {
  const { newKeys, newValues, newStates = [], newConvolutions = [] } = cached;
  const arrays = [...newKeys, ...newValues, ...newStates, ...newConvolutions, ...(logits ? [logits] : [])];
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0) + 16 * counts.length + 256;
}

/** Where the chain of a scope begins. */
export function firstPrefixKey(scope: string): string {
  return createHash("sha256").update(scope).digest("base64");
}

/** The key of a chunk after the chunk of key `parent`; `edits` are those that act on it, each with its mask over the chunk's tokens. */
export function nextPrefixKey(
  parent: string,
  ids: Int32Array,
  edits: readonly { readonly digest: string; readonly mask: Uint8Array }[],
): string {
  const hash = createHash("sha256").update(parent).update(Int32Array.of(ids.length, edits.length)).update(ids);
  for (const { digest, mask } of edits) hash.update(digest).update(mask);
  return hash.digest("base64");
}

/** Names everything about an edit that decides what it does to a token it is applied to. */
export function editDigest({ layer, direction, encoder, c0, c1, c2, gate }: SteeringEdit): string {
  const hash = createHash("sha256");
  const vector = (numbers: Float32Array) => hash.update(Int32Array.of(numbers.length)).update(numbers);
  hash.update(Float64Array.of(layer, c0, c1, c2, encoder ? 1 : 0, gate ? 1 : 0));
  vector(direction);
  if (encoder) vector(encoder.weight).update(Float64Array.of(encoder.bias, encoder.threshold));
  if (gate) vector(gate.weight).update(Float64Array.of(gate.bias, gate.threshold, gate.layer, gate.above));
  return hash.digest("base64");
}
