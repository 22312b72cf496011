import { Type } from "typebox";
import { Completion, CreateCompletion } from "../../domain/completion.ts";
import { collectAnswer, emptyAnswer } from "../../domain/generation/choices.ts";
import { completionBody, createCompletionChunks } from "../../domain/generation/completion-body.ts";
import { completionInput } from "../../domain/generation/input.ts";
import type { App } from "../context.ts";
import { createLookups } from "../generation/lookups.ts";
import { startRequest } from "../generation/relay.ts";
import { streamChunks } from "../generation/stream.ts";
import { clientAbort } from "../sse.ts";

export async function completionRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/completions",
    {
      config: { scope: "write", openAIErrors: true },
      schema: {
        tags: ["completions"],
        operationId: "createCompletion",
        summary: "Continue a text",
        description:
          "OpenAI-compatible, with `steering`. With `stream: true` the chunks come as server-sent events and end with `[DONE]`. 503 with Retry-After when no worker serves the model.",
        body: CreateCompletion,
        response: {
          200: {
            description: "the completion, or the stream of its chunks",
            content: { "application/json": { schema: Completion }, "text/event-stream": { schema: Type.String() } },
          },
        },
      },
    },
    async (request, reply) => {
      const { name, input } = await completionInput(createLookups(platform, request.caller.workspaceId), request.body);
      const client = clientAbort(reply);
      const relay = await startRequest(platform, request.caller, input, client.signal);
      const head = {
        id: `cmpl-${relay.id.replace(/^req_/, "")}`,
        created: Math.floor(relay.createdAt.getTime() / 1000),
        model: name,
      };
      if (!request.body.stream) return completionBody(head, await collectAnswer(relay.events, input));
      const includeUsage = request.body.stream_options?.include_usage ?? false;
      const chunks = createCompletionChunks(head, emptyAnswer(input), includeUsage);
      return streamChunks(request, reply, relay, chunks, () => client.abort());
    },
  );
}
