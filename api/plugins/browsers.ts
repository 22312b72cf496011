// What web pages may do. Without keys anyone who can reach the port may act, so a page in the same person's browser
// must not: the Host header must be a loopback name (which defeats DNS rebinding) and an Origin must be our own.
import cors from "@fastify/cors";
import type { FastifyRequest } from "fastify";
import fp from "fastify-plugin";
import { Problem } from "../../domain/problem.ts";
import { isLoopback } from "../../platform/config.ts";

const exposed = [
  "ETag",
  "Idempotency-Replayed",
  "Location",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "X-Request-Id",
];

export const browsers = fp(
  async (app) => {
    const allowed = new Set(app.platform.config.CORS_ORIGINS);
    if (app.platform.config.AUTH === "off") {
      app.addHook("onRequest", async (request) => checkLoopback(request, allowed));
    }
    await app.register(cors, {
      origin: (origin, answer) => answer(null, origin !== undefined && allowed.has(origin) ? origin : false),
      methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
      exposedHeaders: exposed,
      credentials: false,
      maxAge: 600,
      // Fastify's hook order: the loopback check above must see a preflight first.
      hook: "onRequest",
    });
  },
  { name: "browsers" },
);

function checkLoopback(request: FastifyRequest, allowed: ReadonlySet<string>): void {
  const host = request.headers.host ?? "";
  if (!isLoopback(hostName(host))) {
    throw new Problem("HOST_REFUSED", `The server runs without keys and answers to localhost only, not to "${host}".`);
  }
  const { origin } = request.headers;
  if (origin === undefined || allowed.has(origin)) return;
  if (origin !== `http://${host}` && origin !== `https://${host}`) throw new Problem("ORIGIN_REFUSED");
}

function hostName(host: string): string {
  return host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : (host.split(":", 1)[0] ?? "");
}
