// The bodies and chunks of /v1/completions.
import type { Completion, CompletionLogprobs } from "../completion.ts";
import type { RequestEvent, TokenLogprobEvent } from "../request.ts";
import { type Answer, addEvent, type Choice, experimentFields, usageOf } from "./choices.ts";

export interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export function completionBody(head: Head, answer: Answer): Completion {
  return {
    ...head,
    object: "text_completion",
    system_fingerprint: answer.runtime,
    choices: answer.choices.map((choice) => ({
      index: choice.index,
      text: choice.texts.join(""),
      logprobs: choice.logprobs === null ? null : completionLogprobs(choice.logprobs, createOffsets()),
      finish_reason: choice.finishReason,
      ...experimentFields(choice, choice.report),
    })),
    usage: usageOf(answer),
  };
}

/** Turns events into chunks; keeps how far each choice's text is decoded, which the log-probabilities' offsets need. */
export function createCompletionChunks(head: Head, answer: Answer, includeUsage: boolean) {
  const offsets = answer.choices.map(() => createOffsets());
  const chunk = (choices: Completion["choices"]): Completion => ({
    ...head,
    object: "text_completion",
    system_fingerprint: answer.runtime,
    choices,
    ...(includeUsage ? { usage: null } : {}),
  });
  return {
    of(event: RequestEvent): Completion[] {
      const choice = addEvent(answer, event);
      if (choice === null) return [];
      if (event.type === "delta") {
        const logprobs =
          choice.logprobs === null
            ? null
            : completionLogprobs(event.data.logprobs ?? [], offsets[choice.index] ?? createOffsets());
        return [chunk([piece(choice, event.data.text, logprobs)])];
      }
      return [
        chunk([
          {
            ...piece(choice, "", null),
            ...experimentFields(choice, choice.report),
            finish_reason: choice.finishReason,
          },
        ]),
      ];
    },
    last(): Completion[] {
      return includeUsage ? [{ ...chunk([]), usage: usageOf(answer) }] : [];
    },
  };
}

function piece(choice: Choice, text: string, logprobs: CompletionLogprobs | null): Completion["choices"][number] {
  return { index: choice.index, text, logprobs, finish_reason: null, ...experimentFields(choice, null) };
}

/** Where each token's text begins, in UTF-16 units of the text. Bytes are decoded as the text was: a token that goes on
 *  with a character begins where the character does, and special tokens have no text. */
function createOffsets(): (token: TokenLogprobEvent) => number {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let decoded = 0;
  return (token) => {
    const start = decoded;
    if (!token.special) decoded += decoder.decode(Uint8Array.from(token.bytes), { stream: true }).length;
    return start;
  };
}

function completionLogprobs(
  tokens: readonly TokenLogprobEvent[],
  offsetOf: (token: TokenLogprobEvent) => number,
): CompletionLogprobs {
  return {
    tokens: tokens.map(nameOf),
    token_logprobs: tokens.map((token) => token.logprob),
    top_logprobs: tokens.some((token) => token.top.length > 0) ? tokens.map(topOf) : null,
    text_offset: tokens.map(offsetOf),
  };
}

const encoder = new TextEncoder();

type Named = Pick<TokenLogprobEvent, "token" | "token_id" | "bytes" | "logprob">;

/** The token's text; of one that is no whole characters its bytes, as OpenAI writes them: all such texts look the same. */
function nameOf({ token, bytes }: Named): string {
  if (!token.includes("\ufffd") || encoder.encode(token).join() === bytes.join()) return token;
  return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

/** The most likely tokens and always the sampled one, whose name is the one in `tokens`. Different tokens may share a
 *  text: the later one is named by its id. */
function topOf(sampled: TokenLogprobEvent): Record<string, number> {
  const own = nameOf(sampled);
  const taken = new Set([own]);
  const entries = sampled.top.map((other): [string, number] => {
    if (other.token_id === sampled.token_id) return [own, other.logprob];
    const name = nameOf(other);
    const free = taken.has(name) ? `token_id:${other.token_id}` : name;
    taken.add(free);
    return [free, other.logprob];
  });
  if (!entries.some(([name]) => name === own)) entries.push([own, sampled.logprob]);
  return Object.fromEntries(entries);
}
