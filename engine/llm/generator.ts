// Continuous batching: sequences join and leave between steps; long prompts are read in chunks between the steps of the others.
//
// A sequence's numbers do not depend on its company, to the last bit. Its prompt is read alone, on a fixed grid of chunks; a sampled
// token is always fed back alone per sequence; and columns of the cache come in groups of 64 (see forward.ts).

import { setImmediate } from "node:timers/promises";
import { type CacheMemory, createCacheMemory } from "./cache-memory.ts";
import {
  cacheBytesFor,
  createSequence,
  type GenerationEvent,
  type GenerationRequest,
  type Sequence,
} from "./generation.ts";
import type { LanguageModel } from "./model.ts";
import { createPromptReader, type Reading } from "./prompt-reader.ts";
import { createRunningBatch, type RunningBatch } from "./running-batch.ts";

export type { GeneratedToken, GenerationEnd, GenerationEvent, GenerationRequest } from "./generation.ts";

export interface GeneratorOptions {
  /** Sequences that are generated together. Default 8. */
  readonly maxBatch?: number;
  /** Where keys and values may lie; several generators may share it. Default: one of `cacheBytes`. */
  readonly memory?: CacheMemory;
  /** Default 2 GiB. */
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
  /** Sequences in the batch or being read, those waiting, and the cache bytes that the former have reserved. */
  readonly load: { readonly active: number; readonly waiting: number; readonly cacheBytes: number };
  /** What their caches take in memory now. */
  readonly heldBytes: number;
  /** Runs other work of the model between two steps, in turn with the chunks of prompts: a forward of at most some chunks' length. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  /** Waits until everything asked for has ended. */
  idle(): Promise<void>;
  /** Forgets what is kept of earlier prompts. */
  forgetPrefixes(): void;
  /** Forgets its prefixes and gives its place in the memory back. Nothing may be running. */
  close(): void;
}

export function createGenerator(model: LanguageModel, options: GeneratorOptions = {}): Generator {
  const { maxBatch = 8, cacheBytes = 2 ** 31, chunkTokens = 256 } = options;
  const memory = options.memory ?? createCacheMemory(cacheBytes);
  const account = memory.openAccount();
  const waiting: Sequence[] = [];
  /** The first has its turn next. */
  const reading: Reading[] = [];
  const other: (() => Promise<void>)[] = [];
  let otherIsNext = false;
  const reader = createPromptReader(model, memory.prefixes, account, chunkTokens);
  const batch: RunningBatch = createRunningBatch(model, () => batchBytes());
  let loop: Promise<void> | null = null;

  const active = () => [...reading.map(({ sequence }) => sequence), ...batch.sequences];
  const readingBytes = () => reading.reduce((sum, { cache }) => sum + cache.sizeBytes, 0);
  // All slots of a batch are as long as its longest sequence.
  const needOf = (sequences: readonly Sequence[], count = sequences.length) => {
    const longest = sequences.reduce((most, { reservedColumns }) => Math.max(most, reservedColumns), 0);
    return cacheBytesFor(model.config, count, longest);
  };
  const reservedBytes = () => needOf(active());
  /** The part of it that the prompts which are being read will not come to need. */
  const batchBytes = () => needOf(active(), batch.sequences.length);

  function admit(): void {
    // In order of arrival: a large request is not overtaken for ever by small ones.
    for (let next = waiting[0]; next && active().length < maxBatch; next = waiting[0]) {
      if (!account.raise(needOf([...active(), next]), next.ticket)) return;
      waiting.shift();
      reading.push(reader.begin(next));
    }
    account.stopWaiting();
  }

  function dropCanceled(): void {
    const kept = waiting.filter((sequence) => !leaveIfCanceled(sequence));
    waiting.splice(0, waiting.length, ...kept);
    const stillReading = reading.filter(({ sequence }) => !leaveIfCanceled(sequence));
    reading.splice(0, reading.length, ...stillReading);
    for (const sequence of [...batch.sequences]) if (leaveIfCanceled(sequence)) batch.remove(sequence);
  }

  /** What has left gives back what it had reserved. */
  function settle(): void {
    if (batch.sizeBytes > batchBytes()) batch.compact();
    account.lower(reservedBytes());
  }

  function start(): void {
    loop ??= run().finally(() => {
      loop = null;
    });
  }

  async function run(): Promise<void> {
    for (;;) {
      // Lets new requests, cancellations and readers have their turn between steps.
      await setImmediate();
      dropCanceled();
      settle();
      admit();
      if (active().length === 0 && other.length === 0) {
        if (waiting.length === 0) return;
        // What it needs is held by requests of another model.
        await account.room();
        continue;
      }
      await takeTurn();
      if (batch.sequences.length > 0) await failing([...batch.sequences], () => batch.step());
    }
  }

  /** One chunk of a prompt or one piece of other work, by turns. */
  async function takeTurn(): Promise<void> {
    const [first] = reading;
    if (other.length > 0 && (otherIsNext || !first)) {
      otherIsNext = false;
      await other.shift()!();
    } else if (first) {
      otherIsNext = true;
      await failing([first.sequence], () => read(first));
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

  /** One turn of a prompt; those that read at the same time take turns, so that a short one is not held up by a long one. */
  async function read(item: Reading): Promise<void> {
    const logits = await reader.advance(item);
    reading.shift();
    if (!logits) reading.push(item);
    else if (!item.sequence.take(logits)) batch.join(item.sequence, item.cache);
  }

  return {
    add(request) {
      const grant = { bytes: memory.limitBytes, sequences: maxBatch };
      const sequence = createSequence(model, request, grant, memory.ticket());
      // One that waits for room is noticed to have left, and lets others before it, at once.
      request.signal?.addEventListener("abort", () => account.wake(), { once: true });
      waiting.push(sequence);
      start();
      return sequence.output.events;
    },
    inTurn(work) {
      const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<typeof work>>>();
      // Its failure is the caller's, not the loop's.
      other.push(() =>
        Promise.resolve(work()).then(
          (value) => resolve(value),
          (error) => resolve(Promise.reject(error)),
        ),
      );
      account.wake();
      start();
      return promise;
    },
    get load() {
      return { active: active().length, waiting: waiting.length, cacheBytes: reservedBytes() };
    },
    get heldBytes() {
      return batch.sizeBytes + readingBytes();
    },
    async idle() {
      while (loop) await loop;
    },
    forgetPrefixes: () => memory.prefixes.drop(account),
    close: () => account.close(),
  };
}

function leaveIfCanceled(sequence: Sequence): boolean {
  if (!sequence.canceled()) return false;
  sequence.output.close();
  return true;
}
