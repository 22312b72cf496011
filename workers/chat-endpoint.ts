/**
 * A language model elsewhere, asked one chat at a time: through the outbound guard, with retries where trying again may help, and
 * within a budget that is reserved before a request is sent, so that requests in flight cannot pass it together.
 */
import { setTimeout as sleepFor } from "node:timers/promises";
import { type ChatPrices, chatAddress, costOf } from "../domain/chat-endpoint.ts";
import { isProblem, Problem } from "../domain/problem.ts";
import type { Outbound } from "../platform/outbound.ts";

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface ChatSettings {
  readonly url: string;
  readonly model: string;
  readonly temperature: number;
  readonly answerTokens: number;
  readonly timeoutMs: number;
}

export interface ChatUsage {
  requests: number;
  input: number;
  output: number;
}

/** Thrown instead of sending a request that could pass the limit. */
export class LimitReached extends Error {
  override readonly name = "LimitReached";
  readonly limit: "tokens" | "cost";

  constructor(limit: "tokens" | "cost") {
    super(`the limit of ${limit} is reached`);
    this.limit = limit;
  }
}

export interface Budget {
  readonly usage: Readonly<ChatUsage>;
  /** @throws LimitReached */
  reserve(estimate: { input: number; output: number }): void;
  /** What a reserved request came to; null: it was never answered. */
  settle(estimate: { input: number; output: number }, actual: { input: number; output: number } | null): void;
}

/** @param spent what an earlier attempt of the same job came to */
export function createBudget(
  limit: { readonly tokens: number; readonly cost?: number },
  prices: ChatPrices | undefined,
  spent: Readonly<ChatUsage>,
): Budget {
  const usage: ChatUsage = { ...spent };
  const reserved = { input: 0, output: 0 };
  // Tokenizers differ, and some models think beyond max_tokens: estimates grow with what was found to be too little.
  const factor = { input: 1, output: 1 };
  return {
    usage,
    reserve(estimate) {
      const input = estimate.input * factor.input;
      const output = estimate.output * factor.output;
      const after = {
        input: usage.input + reserved.input * factor.input + input,
        output: usage.output + reserved.output * factor.output + output,
      };
      if (after.input + after.output > limit.tokens) throw new LimitReached("tokens");
      if (limit.cost !== undefined && prices && costOf(after, prices) > limit.cost) throw new LimitReached("cost");
      reserved.input += estimate.input;
      reserved.output += estimate.output;
    },
    settle(estimate, actual) {
      reserved.input -= estimate.input;
      reserved.output -= estimate.output;
      if (actual === null) return;
      factor.input = Math.max(factor.input, actual.input / estimate.input);
      factor.output = Math.max(factor.output, actual.output / estimate.output);
      usage.requests += 1;
      usage.input += actual.input;
      usage.output += actual.output;
    },
  };
}

export interface ChatEndpoint {
  /**
   * @throws LimitReached, the reason of the signal, or Problem ENDPOINT_REFUSED, ENDPOINT_UNAVAILABLE (after retries),
   * ENDPOINT_ANSWER_INVALID (it does not speak the interface), OUTBOUND_*
   */
  ask(messages: readonly ChatMessage[], signal: AbortSignal): Promise<string>;
}

export interface ChatParts {
  readonly outbound: Outbound;
  readonly budget: Budget;
  readonly key: string | null;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

const TRIES = 6;
const LONGEST_WAIT_MS = 60_000;
const MAXIMUM_ANSWER_BYTES = 4 * 2 ** 20;
const worthAnotherTry = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);

export function createChatEndpoint(settings: ChatSettings, parts: ChatParts): ChatEndpoint {
  const { outbound, budget, key } = parts;
  const sleep = parts.sleep ?? ((ms, signal) => sleepFor(ms, undefined, { signal }));
  const address = chatAddress(settings.url);
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
  };

  /** The start of an answer, for a message. Some servers repeat the key that they refuse, and people who may not know it read messages. */
  function shown(text: string): string {
    const safe = key === null || key === "" ? text : text.replaceAll(key, "[secret]");
    return safe.slice(0, 300).toWellFormed().replaceAll("\0", " ");
  }

  async function once(body: string, signal: AbortSignal): Promise<{ answer: Response; text: string }> {
    const answer = await outbound(address, {
      method: "POST",
      headers,
      body,
      signal,
      timeoutMs: settings.timeoutMs,
      idleMs: settings.timeoutMs,
      maxBytes: MAXIMUM_ANSWER_BYTES,
      redirects: 0,
    });
    return { answer, text: await answer.text() };
  }

  return {
    async ask(messages, signal) {
      const { model, temperature, answerTokens } = settings;
      const body = JSON.stringify({ model, messages, temperature, max_tokens: answerTokens, stream: false });
      const estimate = { input: estimateTokens(messages), output: answerTokens };
      let unreadable = 0;
      for (let attempt = 1; ; attempt++) {
        budget.reserve(estimate);
        let spent: { input: number; output: number } | null = null;
        try {
          const { answer, text } = await once(body, signal);
          if (answer.ok) {
            const read = readAnswer(text, estimate.input);
            // An answer that cannot be read was paid for all the same.
            spent = read?.usage ?? { input: estimate.input, output: estimateText(text) };
            if (read !== null) return read.content;
            unreadable += 1;
            if (unreadable === 2)
              throw new Problem("ENDPOINT_ANSWER_INVALID", `${new URL(address).host} answered ${shown(text)}`);
          } else if (!worthAnotherTry.has(answer.status)) {
            throw new Problem("ENDPOINT_REFUSED", `${new URL(address).host} answered ${answer.status}: ${shown(text)}`);
          } else if (attempt >= TRIES) {
            throw new Problem(
              "ENDPOINT_UNAVAILABLE",
              `${new URL(address).host} answered ${answer.status} ${TRIES} times`,
            );
          } else {
            await sleep(waitMs(answer.headers.get("retry-after"), attempt), signal);
          }
        } catch (error) {
          if (!isPassing(error) || attempt >= TRIES) throw error;
          await sleep(waitMs(null, attempt), signal);
        } finally {
          budget.settle(estimate, spent);
        }
      }
    },
  };
}

function isPassing(error: unknown): boolean {
  return isProblem(error) && (error.code === "OUTBOUND_FAILED" || error.code === "OUTBOUND_TIMEOUT");
}

/** As the other side says (seconds or a date), else twice as long each time. */
function waitMs(retryAfter: string | null, attempt: number): number {
  const seconds = retryAfter === null || retryAfter.trim() === "" ? Number.NaN : Number(retryAfter);
  const asked = Number.isNaN(seconds) ? Date.parse(retryAfter ?? "") - Date.now() : seconds * 1000;
  const wait = Number.isNaN(asked) ? 1000 * 2 ** (attempt - 1) : asked;
  return Math.min(LONGEST_WAIT_MS, Math.max(0, wait));
}

interface ReadAnswer {
  readonly content: string;
  readonly usage: { readonly input: number; readonly output: number };
}

function readAnswer(text: string, estimatedInput: number): ReadAnswer | null {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return null;
  }
  const { choices, usage } = (body ?? {}) as { choices?: unknown; usage?: unknown };
  const first = Array.isArray(choices) ? (choices[0] as { message?: { content?: unknown } } | null) : null;
  const content = first?.message?.content;
  if (typeof content !== "string") return null;
  const { prompt_tokens: input, completion_tokens: output } = (usage ?? {}) as Record<string, unknown>;
  const count = (value: unknown, otherwise: number) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
  return { content, usage: { input: count(input, estimatedInput), output: count(output, estimateText(content)) } };
}

/** Rather too many: English has four bytes to a token, Chinese three or fewer; eight for the frame of a message. */
function estimateTokens(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + estimateText(content) + 8, 0);
}

function estimateText(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 3);
}
