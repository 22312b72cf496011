// The one place that writes an error body.
import type { FastifyReply, FastifyRequest } from "fastify";
import fp from "fastify-plugin";
import { isProblem, Problem, type ProblemCode, toOpenAIError, toProblemDetails } from "../../domain/problem.ts";

// Fastify's and its plugins' own refusals, in our words.
const codeOfFastify: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_INVALID_MULTIPART_CONTENT_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_REQ_FILE_TOO_LARGE: "BODY_TOO_LARGE",
  FST_FILES_LIMIT: "BODY_TOO_LARGE",
  FST_PARTS_LIMIT: "BODY_TOO_LARGE",
  FST_FIELDS_LIMIT: "BODY_TOO_LARGE",
  FST_ERR_CTP_EMPTY_JSON_BODY: "REQUEST_MALFORMED",
  FST_ERR_CTP_INVALID_JSON_BODY: "REQUEST_MALFORMED",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "REQUEST_MALFORMED",
  FST_ERR_BAD_URL: "REQUEST_MALFORMED",
  FST_ERR_NOT_FOUND: "ROUTE_NOT_FOUND",
};

export const problems = fp(
  async (app) => {
    app.addHook("onRequest", async (request, reply) => {
      reply.header("X-Request-Id", request.id);
      reply.header("X-Content-Type-Options", "nosniff");
    });
    app.setErrorHandler((error: Error, request, reply) => sendProblem(error, request, reply));
    app.setNotFoundHandler((request, reply) => {
      const path = request.url.split("?", 1)[0];
      return sendProblem(new Problem("ROUTE_NOT_FOUND", `${request.method} ${path} does not exist.`), request, reply);
    });
  },
  { name: "problems" },
);

export function toProblem(error: Error): Problem {
  if (isProblem(error)) return error;
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  const known = code === undefined ? undefined : codeOfFastify[code];
  if (known !== undefined) return new Problem(known, known === "ROUTE_NOT_FOUND" ? undefined : error.message);
  if (isDatabaseAway(error)) {
    return new Problem("SERVICE_UNAVAILABLE", undefined, { retryAfterS: 5, cause: error });
  }
  if (statusCode === 413) return new Problem("BODY_TOO_LARGE", error.message);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem("REQUEST_MALFORMED", error.message);
  }
  return new Problem("INTERNAL_ERROR", undefined, { cause: error });
}

/** Prisma's connection codes and Node's; a connection that the driver lost or waited for in vain has a message only. */
function isDatabaseAway(error: Error): boolean {
  const { code } = error as { code?: string };
  if (code !== undefined && /^(P10\d\d|P2024|ECONNREFUSED|ECONNRESET)$/.test(code)) return true;
  return /Connection terminated|timeout exceeded when trying to connect/.test(error.message);
}

export function sendProblem(error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  // A bug's message goes to the log only; the answer carries the request id that finds it there.
  if (problem.status >= 500) request.log.error({ err: problem.cause ?? problem }, problem.code);
  if (reply.raw.headersSent) {
    reply.raw.destroy();
    return reply;
  }
  reply.code(problem.status).header("Cache-Control", "no-store").header("X-Request-Id", request.id);
  if (problem.retryAfterS !== null) reply.header("Retry-After", String(Math.ceil(problem.retryAfterS)));
  if (problem.status === 401) reply.header("WWW-Authenticate", "Bearer");
  if (request.routeOptions?.config?.openAIErrors) {
    return reply.type("application/json; charset=utf-8").send(JSON.stringify(toOpenAIError(problem)));
  }
  return reply
    .type("application/problem+json; charset=utf-8")
    .send(JSON.stringify(toProblemDetails(problem, request.id)));
}
