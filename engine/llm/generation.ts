// What is asked of a generator and what comes back.

import { createRandom, type Random } from "../runtime/random.ts";
import { cacheBytesPerSequence, cacheBytesPerToken, columnsFor } from "./cache.ts";
import type { DecoderConfig } from "./config.ts";
import { columnGroup } from "./forward.ts";
import type { LanguageModel } from "./model.ts";
import { logprobsOf, type SamplingSettings, sampleToken, type TokenLogprob } from "./sampling.ts";
import { checkEdits, createSteeringTally, type EditReport, type SteeringEdit, type SteeringTally } from "./steering.ts";
import { createTokenStream, type StreamedPiece, type TokenStream } from "./streaming.ts";

export interface GenerationRequest extends SamplingSettings {
  readonly promptIds: ArrayLike<number>;
  /** null: as many as the context and the request's share of the cache leave room for. */
  readonly maxTokens: number | null;
  readonly seed: number;
  /** Text that ends the answer and is not part of it. */
  readonly stop: readonly string[];
  /** How many alternatives to report with each token's log probability; null for no log probabilities. */
  readonly logprobs: number | null;
  readonly edits: readonly SteeringEdit[];
  /**
   * Requests of one scope share what was computed for prompts that begin alike (with the same edits there); null: nothing is kept of
   * this one or taken from others. Default: the generator's own scope.
   */
  readonly prefixScope?: string | null;
  /** Leaves the batch before the next step; the events then just end. */
  readonly signal?: AbortSignal;
}

export interface GeneratedToken {
  readonly id: number;
  /** By the model's own distribution, before temperature and cuts; NaN unless the request asked. */
  readonly logprob: number;
  readonly top: readonly TokenLogprob[];
}

export interface GenerationDelta {
  readonly type: "delta";
  readonly text: string;
  readonly tokens: readonly GeneratedToken[];
}

export interface GenerationEnd {
  readonly type: "end";
  /** stop: a stop token or string; length: maxTokens. */
  readonly finishReason: "stop" | "length";
  /** Sampled tokens, the stop token included. */
  readonly completionTokens: number;
  /** Tokens of the prompt that were not computed, because they had been before the request came. */
  readonly cachedTokens: number;
  /** Every sampled id in order, also those whose text a stop withheld; all but the last were fed back. */
  readonly sampledIds: readonly number[];
  /** One per edit of the request. */
  readonly edits: readonly EditReport[];
}

export type GenerationEvent = GenerationDelta | GenerationEnd;

/** The prompt and the answer asked for do not fit; the message has both numbers. */
export class ContextLengthError extends RangeError {
  override readonly name = "ContextLengthError";
}

/** The cache that the request needs is larger than all that the generator may use; the message has both numbers. */
export class CacheTooLargeError extends RangeError {
  override readonly name = "CacheTooLargeError";
}

/** The cache that all sequences of a generator may hold together, and how many may be at it at once. */
export interface CacheGrant {
  readonly bytes: number;
  readonly sequences: number;
}

/** Bytes of cache that so many sequences take when each has so many columns. */
export function cacheBytesFor(config: DecoderConfig, sequences: number, columns: number): number {
  return sequences * (columns * cacheBytesPerToken(config) + cacheBytesPerSequence(config));
}

/**
 * Room for an answer of open length: the context's, but no more than an equal share of the cache, so that one such request does not
 * keep all others out; a prompt that is itself about as long as the share may still be answered with a few hundred tokens.
 */
function openEnd(config: DecoderConfig, promptTokens: number, cache: CacheGrant): number {
  const shareBytes = cache.bytes / cache.sequences - cacheBytesPerSequence(config);
  const share = Math.floor(shareBytes / cacheBytesPerToken(config) / columnGroup) * columnGroup;
  return Math.min(config.contextLength - promptTokens, Math.max(share - promptTokens, 256));
}

/** A request on its way through the generator. */
export interface Sequence {
  readonly request: GenerationRequest;
  readonly prompt: Int32Array;
  readonly maxTokens: number;
  /** Cache columns that it may come to need. */
  readonly reservedColumns: number;
  readonly tally: SteeringTally;
  readonly output: EventQueue;
  /** Its place in the order of arrival. */
  readonly ticket: number;
  cachedTokens: number;
  /** Sampled so far, the last not yet fed back. */
  readonly sampled: number[];
  readonly canceled: () => boolean;
  /** Samples from logits [V]; true when the sequence has ended and said so. */
  take(logits: Float32Array): boolean;
}

/**
 * Checks a request and makes its state.
 *
 * @throws RangeError, ContextLengthError or CacheTooLargeError
 */
export function createSequence(
  model: LanguageModel,
  request: GenerationRequest,
  cache: CacheGrant,
  ticket: number,
): Sequence {
  const { config, tokenizer } = model;
  const prompt = Int32Array.from(request.promptIds);
  if (prompt.length === 0) throw new RangeError("the prompt is empty");
  const wrong = prompt.find((id) => id < 0 || id >= config.vocabulary);
  if (wrong !== undefined)
    throw new RangeError(`the prompt has the id ${wrong}; the vocabulary has ${config.vocabulary}`);
  const maxTokens = request.maxTokens ?? openEnd(config, prompt.length, cache);
  if (maxTokens < 1 || prompt.length + maxTokens > config.contextLength) {
    const asked = request.maxTokens ?? 1;
    throw new ContextLengthError(
      `the prompt's ${prompt.length} tokens and ${asked} more exceed the context of ${config.contextLength}`,
    );
  }
  checkEdits(config, request.edits);
  const reservedColumns = columnsFor(prompt.length + maxTokens);
  const neededBytes = cacheBytesFor(config, 1, reservedColumns);
  if (neededBytes > cache.bytes) {
    throw new CacheTooLargeError(`the request needs ${neededBytes} bytes of cache; ${cache.bytes} are granted`);
  }
  const output = createEventQueue();
  const random = createRandom(request.seed).fork("sampling");
  const stream = createTokenStream<GeneratedToken>(tokenizer, request.stop);
  const seen = new Set(prompt);
  const sampled: number[] = [];
  const tally = createSteeringTally(request.edits);
  const sequence: Sequence = {
    request,
    prompt,
    maxTokens,
    reservedColumns,
    tally,
    output,
    ticket,
    cachedTokens: 0,
    sampled,
    canceled: () => output.abandoned || (request.signal?.aborted ?? false),
    take: (logits) => takeToken(model, sequence, sampler, logits),
  };
  const sampler = { random, stream, seen };
  return sequence;
}

interface Sampler {
  readonly random: Random;
  readonly stream: TokenStream<GeneratedToken>;
  /** Ids of prompt and answer. */
  readonly seen: Set<number>;
}

function takeToken(model: LanguageModel, sequence: Sequence, sampler: Sampler, logits: Float32Array): boolean {
  const { stream, seen } = sampler;
  const { request, sampled, output } = sequence;
  // The penalty changes the logits in place; what is reported is what the model said.
  const reported = request.logprobs !== null && request.repetitionPenalty !== 1 ? logits.slice() : logits;
  const id = sampleToken(logits, request, seen, sampler.random);
  sampled.push(id);
  seen.add(id);
  if (model.stopTokenIds.has(id)) return end(stream.flush(), "stop");
  const token =
    request.logprobs === null ? { id, logprob: Number.NaN, top: [] } : logprobsOf(reported, id, request.logprobs);
  const piece = stream.push(token);
  if (piece.stopped) return end(piece, "stop");
  show(piece);
  return sampled.length === sequence.maxTokens ? end(stream.flush(), "length") : false;

  function show({ text, tokens }: StreamedPiece<GeneratedToken>): void {
    if (text !== "" || tokens.length > 0) output.push({ type: "delta", text, tokens });
  }

  function end(last: StreamedPiece<GeneratedToken>, finishReason: "stop" | "length"): true {
    show(last);
    output.push({
      type: "end",
      finishReason,
      completionTokens: sampled.length,
      cachedTokens: sequence.cachedTokens,
      sampledIds: sampled.slice(),
      edits: sequence.tally.report(),
    });
    output.close();
    return true;
  }
}

interface EventQueue {
  /** The reader has gone. */
  readonly abandoned: boolean;
  push(event: GenerationEvent): void;
  close(): void;
  fail(error: unknown): void;
  readonly events: AsyncIterable<GenerationEvent>;
}

/** Events of one request in order, for one reader; a reader who leaves the loop abandons the request. */
function createEventQueue(): EventQueue {
  const ready: GenerationEvent[] = [];
  let done = false;
  let failure: { error: unknown } | null = null;
  let abandoned = false;
  let wake: (() => void) | null = null;
  const notify = () => {
    wake?.();
    wake = null;
  };
  async function* read(): AsyncGenerator<GenerationEvent> {
    try {
      for (;;) {
        const event = ready.shift();
        if (event) yield event;
        else if (failure) throw failure.error;
        else if (done) return;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      abandoned = !done && !failure;
    }
  }
  return {
    get abandoned() {
      return abandoned;
    },
    push(event) {
      ready.push(event);
      notify();
    },
    close() {
      done = true;
      notify();
    },
    fail(error) {
      failure = { error };
      notify();
    },
    events: read(),
  };
}
