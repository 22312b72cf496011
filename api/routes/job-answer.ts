// How every route that starts a job answers: 202 with Location, or 200 when the client waits and the job ends in time.
import type { FastifyReply, FastifyRequest } from "fastify";
import { isTerminal, type Job } from "../../domain/job.ts";
import type { JobRow } from "../../platform/jobs.ts";
import { clientAbort } from "../sse.ts";
import { jobETag, wireJob } from "../wire/job.ts";

const longestWaitSeconds = 60;

export async function answerWithJob(request: FastifyRequest, reply: FastifyReply, row: JobRow): Promise<Job> {
  const { platform } = request.server;
  let current = row;
  const seconds = preferredWait(request.headers.prefer);
  if (seconds !== null) {
    current = (await platform.jobs.waitForEnd(row.id, seconds * 1000, clientAbort(reply).signal)) ?? row;
    reply.header("Preference-Applied", `wait=${seconds}`);
  }
  const job = await wireJob(platform, current);
  reply
    .code(isTerminal(current.state) ? 200 : 202)
    .header("Location", `/v1/jobs/${row.id}`)
    .header("ETag", jobETag(current, job));
  return job;
}

/** `Prefer: wait=n` (RFC 7240) in seconds, at most 60. A preference that cannot be read is ignored, as the RFC says. */
export function preferredWait(header: string | string[] | undefined): number | null {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  const match = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?/i.exec(text);
  return match?.[1] === undefined ? null : Math.min(Number(match[1]), longestWaitSeconds);
}
