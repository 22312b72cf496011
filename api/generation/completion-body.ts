// The bodies and chunks of /v1/completions.
import type { Completion, CompletionLogprobs } from "../../domain/completion.ts";
import type { RequestEvent, TokenLogprobEvent } from "../../domain/request.ts";
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
      logprobs: choice.logprobs.length > 0 ? completionLogprobs(choice.logprobs, 0) : null,
      finish_reason: choice.finishReason,
      ...experimentFields(choice, choice.report),
    })),
    usage: usageOf(answer),
  };
}

/** Turns events into chunks; keeps where each choice's text has got to, which the log-probabilities' offsets need. */
export function createCompletionChunks(head: Head, answer: Answer, includeUsage: boolean) {
  const offsets = answer.choices.map(() => 0);
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
        const tokens = event.data.logprobs ?? [];
        const logprobs = tokens.length > 0 ? completionLogprobs(tokens, offsets[choice.index] ?? 0) : null;
        offsets[choice.index] = (offsets[choice.index] ?? 0) + textLength(tokens);
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

function textLength(tokens: readonly TokenLogprobEvent[]): number {
  return tokens.reduce((sum, token) => sum + token.token.length, 0);
}

function completionLogprobs(tokens: readonly TokenLogprobEvent[], offset: number): CompletionLogprobs {
  let position = offset;
  return {
    tokens: tokens.map((token) => token.token),
    token_logprobs: tokens.map((token) => token.logprob),
    top_logprobs: tokens.some((token) => token.top.length > 0)
      ? tokens.map((token) => Object.fromEntries(token.top.map((other) => [other.token, other.logprob])))
      : null,
    text_offset: tokens.map((token) => {
      const start = position;
      position += token.token.length;
      return start;
    }),
  };
}
