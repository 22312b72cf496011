// Idempotency-Key: the same key and request give the stored answer, another request under the key is refused.
//
// Only answers that created something (2xx) are stored. After a refusal nothing exists, so the key is free again.
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import fp from "fastify-plugin";
import { Problem } from "../../domain/problem.ts";

export interface IdempotentRequest {
  readonly scope: string;
  readonly key: string;
  begun: boolean;
  replayed: boolean;
}

const storedHeaders = ["content-type", "location", "etag", "preference-applied"];

export const idempotency = fp(
  async (app) => {
    app.decorateRequest("idempotent", null);

    app.addHook("preHandler", async (request, reply) => {
      if (!request.routeOptions.config.idempotent) return;
      const key = request.headers["idempotency-key"];
      if (key === undefined) return;
      if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)) {
        throw new Problem("REQUEST_MALFORMED", "Idempotency-Key must be 1 to 255 printable characters without spaces.");
      }
      const scope = request.caller.keyId ?? request.caller.workspaceId;
      request.idempotent = { scope, key, begun: false, replayed: false };
      // A body that is not read yet: its route begins with the digest of what it received.
      if (request.headers["content-type"]?.startsWith("multipart/") || request.body instanceof Readable) return;
      // The route must not run as well: its turn comes when this hook has ended, and by then the answer is out.
      if (await beginIdempotent(request, reply, JSON.stringify(request.body ?? null))) await reply;
    });

    app.addHook("onSend", async (request, reply, payload) => {
      const state = request.idempotent;
      if (!state?.begun || state.replayed) return;
      const { scope, key } = state;
      state.begun = false;
      if (reply.statusCode >= 300 || typeof payload !== "string") {
        await app.platform.idempotency.abandon(scope, key);
        return;
      }
      const redact = request.routeOptions.config.redactReplay;
      const body = redact ? JSON.stringify(redact(JSON.parse(payload) as Record<string, unknown>)) : payload;
      const headers = Object.fromEntries(
        storedHeaders.flatMap((name) => {
          const value = reply.getHeader(name);
          return value === undefined ? [] : [[name, String(value)]];
        }),
      );
      await app.platform.idempotency.complete(scope, key, { status: reply.statusCode, headers, body });
    });
  },
  { name: "idempotency" },
);

/** Claims the key for this request, or sends the stored answer; true when an answer was sent. */
export async function beginIdempotent(request: FastifyRequest, reply: FastifyReply, content: string): Promise<boolean> {
  const state = request.idempotent;
  if (state === null) return false;
  const hash = createHash("sha256").update(`${request.method}\n${request.url}\n${content}`).digest("hex");
  const begun = await request.server.platform.idempotency.begin(state.scope, state.key, hash);
  switch (begun.outcome) {
    case "new":
      state.begun = true;
      return false;
    case "replay":
      state.replayed = true;
      reply
        .code(begun.status)
        .headers({ ...begun.headers, "Idempotency-Replayed": "true" })
        .send(begun.body);
      return true;
    case "conflict":
      throw new Problem("IDEMPOTENCY_KEY_REUSED");
    case "running":
      throw new Problem("IDEMPOTENCY_IN_PROGRESS", undefined, { retryAfterS: 1 });
  }
}
