// The bodies and chunks of /v1/chat/completions.
import type { ChatCompletion, ChatCompletionChunk, ChatLogprobs } from "../completion.ts";
import type { RequestEvent, TokenLogprobEvent } from "../request.ts";
import { type Answer, addEvent, experimentFields, usageOf } from "./choices.ts";
import type { Head } from "./completion-body.ts";

export function chatBody(head: Head, answer: Answer): ChatCompletion {
  return {
    ...head,
    object: "chat.completion",
    system_fingerprint: answer.runtime,
    choices: answer.choices.map((choice) => ({
      index: choice.index,
      message: { role: "assistant", content: choice.texts.join(""), refusal: null },
      logprobs: choice.logprobs === null ? null : chatLogprobs(choice.logprobs),
      finish_reason: choice.finishReason ?? "stop",
      ...experimentFields(choice, choice.report),
    })),
    usage: usageOf(answer),
  };
}

export function createChatChunks(head: Head, answer: Answer, includeUsage: boolean) {
  const opened = new Set<number>();
  const chunk = (choices: ChatCompletionChunk["choices"]): ChatCompletionChunk => ({
    ...head,
    object: "chat.completion.chunk",
    system_fingerprint: answer.runtime,
    choices,
    ...(includeUsage ? { usage: null } : {}),
  });
  return {
    of(event: RequestEvent): ChatCompletionChunk[] {
      const choice = addEvent(answer, event);
      if (choice === null) return [];
      const base = { index: choice.index, logprobs: null, finish_reason: null, ...experimentFields(choice, null) };
      // The role comes once, before the first text of each choice.
      const chunks = opened.has(choice.index) ? [] : [chunk([{ ...base, delta: { role: "assistant", content: "" } }])];
      opened.add(choice.index);
      if (event.type === "delta") {
        const logprobs = choice.logprobs === null ? null : chatLogprobs(event.data.logprobs ?? []);
        chunks.push(chunk([{ ...base, delta: { content: event.data.text }, logprobs }]));
      } else {
        const { finishReason, report } = choice;
        chunks.push(chunk([{ ...base, delta: {}, finish_reason: finishReason, ...experimentFields(choice, report) }]));
      }
      return chunks;
    },
    last(): ChatCompletionChunk[] {
      return includeUsage ? [{ ...chunk([]), usage: usageOf(answer) }] : [];
    },
  };
}

function chatLogprobs(tokens: readonly TokenLogprobEvent[]): ChatLogprobs {
  return {
    content: tokens.map((token) => ({
      token: token.token,
      logprob: token.logprob,
      bytes: token.bytes,
      top_logprobs: token.top.map(({ token: text, logprob, bytes }) => ({ token: text, logprob, bytes })),
    })),
    refusal: null,
  };
}
