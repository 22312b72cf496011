// What is done to a job that exists. These routes take no body; one that clients send out of habit must be empty.
import type { FastifyRequest } from "fastify";
import { Job } from "../../domain/job.ts";
import { Problem } from "../../domain/problem.ts";
import { closed, parse } from "../../domain/schema.ts";
import type { App } from "../context.ts";
import { found } from "../lookup.ts";
import { wireJob } from "../wire/job.ts";
import { answerWithJob } from "./job-answer.ts";
import { JobParams } from "./jobs.ts";

const Nothing = closed({});

async function refuseFields(request: FastifyRequest): Promise<void> {
  parse(Nothing, request.body ?? {});
}

export async function jobActionRoutes(app: App): Promise<void> {
  const { platform } = app;
  const parseJson = app.getDefaultJsonParser("error", "error");
  // Many clients set the type on every POST. Fastify's own parser refuses an empty body of that type.
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, undefined);
    else parseJson(request, body as string, done);
  });

  app.post(
    "/v1/jobs/:id/cancel",
    {
      config: { scope: "write" },
      preHandler: refuseFields,
      schema: {
        tags: ["jobs"],
        operationId: "cancelJob",
        summary: "Cancel a job",
        description:
          "A queued job is canceled at once; a running one keeps its last checkpoint and stops soon after. Canceling a job that has ended changes nothing.",
        params: JobParams,
        querystring: Nothing,
        response: { 200: Job },
      },
    },
    async (request) => {
      const { id } = request.params;
      const row = found(await platform.jobs.requestCancel(request.caller.workspaceId, id), "JOB_NOT_FOUND", id);
      return wireJob(platform, row);
    },
  );

  app.post(
    "/v1/jobs/:id/resume",
    {
      config: { scope: "write" },
      preHandler: refuseFields,
      schema: {
        tags: ["jobs"],
        operationId: "resumeJob",
        summary: "Continue a failed or canceled job from its last checkpoint",
        params: JobParams,
        querystring: Nothing,
        response: { 202: Job, 200: Job },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const before = found(await platform.jobs.find(request.caller.workspaceId, id), "JOB_NOT_FOUND", id);
      const resumed = await platform.jobs.resume(request.caller.workspaceId, id);
      if (resumed === "refused" || resumed === null) {
        if (before.state !== "failed" && before.state !== "canceled") {
          throw new Problem("JOB_STATE_CONFLICT", `The job is ${before.state}; only failed and canceled jobs resume.`);
        }
        throw new Problem("CHECKPOINT_MISSING");
      }
      return answerWithJob(request, reply, resumed);
    },
  );
}
