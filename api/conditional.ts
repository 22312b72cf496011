// ETag and If-None-Match.
import type { FastifyReply, FastifyRequest } from "fastify";

/** Sets the ETag; true when the client already has this version, and then the answer is `sendEmpty(reply, 304)`. */
export function isUnchanged(request: FastifyRequest, reply: FastifyReply, etag: string): boolean {
  reply.header("ETag", etag);
  const given = request.headers["if-none-match"];
  if (given === undefined) return false;
  const bare = (tag: string) => tag.trim().replace(/^W\//, "");
  return given.trim() === "*" || given.split(",").some((tag) => bare(tag) === bare(etag));
}

/** An answer without a body, whatever the route declares for its others. */
export function sendEmpty(reply: FastifyReply, status: 204 | 304): FastifyReply {
  return reply.code(status).send();
}
