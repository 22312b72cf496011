// One budget per key (per workspace without keys), kept in Postgres so that every API process draws on the same one.
import type { FastifyReply } from "fastify";
import fp from "fastify-plugin";
import { Problem } from "../../domain/problem.ts";

const windowSeconds = 60;

export const rateLimits = fp(
  async (app) => {
    const { platform } = app;
    const limit = platform.config.RATE_LIMIT_PER_MINUTE;

    app.addHook("onRequest", async (request, reply) => {
      if (limit === 0 || request.routeOptions.config.scope === undefined) return;
      const bucket = request.caller.keyId ?? request.caller.workspaceId;
      const taken = await platform.rateLimits.take(bucket, { limit, windowSeconds });
      describeLimit(reply, taken);
      if (!taken.allowed) {
        const detail = `The limit is ${limit} requests in ${windowSeconds} seconds.`;
        throw new Problem("RATE_LIMITED", detail, { retryAfterS: taken.retryAfterSeconds });
      }
    });
  },
  { name: "rate-limits", dependencies: ["auth"] },
);

function describeLimit(
  reply: FastifyReply,
  taken: { readonly limit: number; readonly remaining: number; readonly resetSeconds: number },
): void {
  reply.header("RateLimit-Policy", `"default";q=${taken.limit};w=${windowSeconds}`);
  reply.header("RateLimit", `"default";r=${taken.remaining};t=${Math.ceil(taken.resetSeconds)}`);
}
