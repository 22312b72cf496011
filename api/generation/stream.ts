// The stream of a completion: OpenAI's chunks, `[DONE]` at the end, and an error event when the worker fails midway.
import type { FastifyReply, FastifyRequest } from "fastify";
import { toOpenAIError } from "../../domain/problem.ts";
import type { RequestEvent } from "../../domain/request.ts";
import { toProblem } from "../plugins/problems.ts";
import { type ServerSentEvent, sendEvents } from "../sse.ts";
import type { Relay } from "./relay.ts";

interface Chunks {
  of(event: RequestEvent): object[];
  last(): object[];
}

export function streamChunks(
  request: FastifyRequest,
  reply: FastifyReply,
  relay: Relay,
  chunks: Chunks,
  abandon: () => void,
): FastifyReply {
  return sendEvents(reply, events(), abandon);

  async function* events(): AsyncGenerator<ServerSentEvent> {
    try {
      for await (const event of relay.events) {
        for (const chunk of chunks.of(event)) yield { data: JSON.stringify(chunk) };
      }
      for (const chunk of chunks.last()) yield { data: JSON.stringify(chunk) };
      yield { data: "[DONE]" };
    } catch (error) {
      // The head is gone: the client hears of it in the stream, and no [DONE] follows.
      const problem = toProblem(error as Error);
      if (problem.status >= 500) request.log.error({ err: problem.cause ?? problem }, problem.code);
      yield { data: JSON.stringify(toOpenAIError(problem)) };
    }
  }
}
