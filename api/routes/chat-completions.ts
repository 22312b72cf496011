import { Type } from "typebox";
import { ChatCompletion, CreateChatCompletion } from "../../domain/completion.ts";
import { chatBody, createChatChunks } from "../../domain/generation/chat-body.ts";
import { collectAnswer, emptyAnswer } from "../../domain/generation/choices.ts";
import { chatInput } from "../../domain/generation/input.ts";
import type { App } from "../context.ts";
import { createLookups } from "../generation/lookups.ts";
import { startRequest } from "../generation/relay.ts";
import { streamChunks } from "../generation/stream.ts";
import { clientAbort } from "../sse.ts";

export async function chatCompletionRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/chat/completions",
    {
      config: { scope: "write", openAIErrors: true },
      schema: {
        tags: ["completions"],
        operationId: "createChatCompletion",
        summary: "Answer a conversation",
        description:
          "OpenAI-compatible, with `steering`; the model's own chat template is applied. With `stream: true` the chunks come as server-sent events and end with `[DONE]`.",
        body: CreateChatCompletion,
        response: {
          200: {
            description: "the answer, or the stream of its chunks",
            content: {
              "application/json": { schema: ChatCompletion },
              "text/event-stream": { schema: Type.String() },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { name, input } = await chatInput(createLookups(platform, request.caller.workspaceId), request.body);
      const client = clientAbort(reply);
      const relay = await startRequest(platform, request.caller, input, client.signal);
      const head = {
        id: `chatcmpl-${relay.id.replace(/^req_/, "")}`,
        created: Math.floor(relay.createdAt.getTime() / 1000),
        model: name,
      };
      if (!request.body.stream) return chatBody(head, await collectAnswer(relay.events, input));
      const includeUsage = request.body.stream_options?.include_usage ?? false;
      const chunks = createChatChunks(head, emptyAnswer(input), includeUsage);
      return streamChunks(request, reply, relay, chunks, () => client.abort());
    },
  );
}
