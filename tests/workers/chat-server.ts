// A stand-in for a language model elsewhere: speaks the chat endpoint, says what a test tells it to say, remembers what it was asked.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ChatRequest {
  readonly model: string;
  readonly temperature: number;
  readonly max_tokens: number;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

export interface ChatReply {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer of the model, in the right frame; or `raw`, whatever it is. */
  readonly content?: string;
  readonly raw?: string;
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

export interface ChatServer {
  /** For OUTBOUND_ALLOW. */
  readonly place: string;
  readonly url: string;
  readonly requests: ChatRequest[];
  readonly authorizations: (string | undefined)[];
  answer: (request: ChatRequest, count: number) => ChatReply | Promise<ChatReply>;
  close(): Promise<void>;
}

export async function startChatServer(): Promise<ChatServer> {
  const chat: Omit<ChatServer, "place" | "url" | "close"> = {
    requests: [],
    authorizations: [],
    answer: () => ({ content: "hello" }),
  };
  const server = createServer((request, response) => {
    respond(chat, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(chat, {
    place: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}/v1`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

async function respond(
  chat: Omit<ChatServer, "place" | "url" | "close">,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
    response.writeHead(404).end("no such route");
    return;
  }
  const asked = JSON.parse(Buffer.concat(chunks).toString("utf8")) as ChatRequest;
  chat.requests.push(asked);
  chat.authorizations.push(request.headers.authorization);
  const reply = await chat.answer(asked, chat.requests.length);
  const usage = reply.usage ?? { prompt_tokens: 100, completion_tokens: 10 };
  const body = { choices: [{ index: 0, message: { role: "assistant", content: reply.content } }], usage };
  response.writeHead(reply.status ?? 200, { "content-type": "application/json", ...reply.headers });
  response.end(reply.raw ?? JSON.stringify(body));
}
