import { Type } from "typebox";
import { idPattern } from "../../domain/id.ts";
import { CreateJob, CreateJobOfKind, Job, jobKindNames, jobStates } from "../../domain/job.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { SaeReleaseInput } from "../../domain/release.ts";
import { closed, oneOf, parse } from "../../domain/schema.ts";
import { SaeTrainInput } from "../../domain/training.ts";
import { TrainEstimate } from "../../domain/training-cost.ts";
import { isUnchanged, sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { found, referred } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { estimateRelease } from "../submit/sae-release.ts";
import { estimateTraining } from "../submit/sae-train.ts";
import type { Submission } from "../submit/submission.ts";
import { submitJob } from "../submit/table.ts";
import { jobETag, wireJob, wireJobs } from "../wire/job.ts";
import { answerWithJob } from "./job-answer.ts";

export const JobParams = closed({ id: Type.String({ pattern: idPattern("job") }) });

const ListQuery = closed({
  ...PageQuery.properties,
  state: Type.Optional(oneOf(jobStates)),
  kind: Type.Optional(oneOf(jobKindNames)),
  parent_id: Type.Optional(Type.String({ pattern: idPattern("job") })),
});

const EstimateRequest = closed(
  {
    kind: Type.String({ description: "sae.train and sae.release are the kinds that have a cost model" }),
    input: Type.Record(Type.String(), Type.Unknown()),
  },
  { title: "EstimateJob" },
);
const Estimate = Type.Object(
  { object: Type.Literal("estimate"), kind: Type.String(), estimate: TrainEstimate },
  { title: "Estimate" },
);

const wait = "`Prefer: wait=n` (at most 60 s) waits for the end and then answers 200.";

async function estimateOf(submission: Submission, kind: string, input: unknown): Promise<TrainEstimate> {
  if (kind === "sae.train") return estimateTraining(submission, parse(SaeTrainInput, input, "/input"));
  if (kind === "sae.release") return estimateRelease(submission, parse(SaeReleaseInput, input, "/input"));
  const detail = `only sae.train and sae.release have a cost model, "${kind}" has none`;
  throw fieldProblem("VALIDATION_FAILED", "/kind", detail);
}

export async function jobRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/jobs",
    {
      config: { scope: "write", idempotent: true, documentedBody: { "application/json": CreateJobOfKind } },
      schema: {
        tags: ["jobs"],
        operationId: "createJob",
        summary: "Start a job",
        description: wait,
        body: CreateJob,
        response: { 202: Job, 200: Job },
      },
    },
    async (request, reply) => {
      const { kind, input, parent_id, metadata } = request.body;
      const submission = { platform, caller: request.caller, at: "/input" };
      if (parent_id !== undefined) {
        const parent = await platform.jobs.find(request.caller.workspaceId, parent_id);
        const named = referred(parent, "job", parent_id, "/parent_id");
        if (named.fan_out)
          throw fieldProblem("SETTINGS_CONTRADICTORY", "/parent_id", `${parent_id} waits for its own jobs only`);
      }
      const row = await submitJob(submission, { kind, input, parentId: parent_id, metadata });
      return answerWithJob(request, reply, row);
    },
  );

  app.get(
    "/v1/jobs",
    {
      config: { scope: "read" },
      schema: {
        tags: ["jobs"],
        operationId: "listJobs",
        summary: "List jobs",
        querystring: ListQuery,
        response: { 200: Page(Job, "JobPage") },
      },
    },
    async (request) => {
      const { state, kind, parent_id } = request.query;
      const page = pageOf(request.query);
      const rows = await platform.db.job.findMany({
        where: {
          workspace_id: request.caller.workspaceId,
          ...(state === undefined ? {} : { state }),
          ...(kind === undefined ? {} : { kind }),
          ...(parent_id === undefined ? {} : { parent_id }),
          ...page.beyond,
        },
        ...page.order,
      });
      const jobs = await wireJobs(platform, rows.slice(0, page.limit));
      return { ...toPage(rows, page.limit, positionOf, () => null), data: jobs };
    },
  );

  app.post(
    "/v1/jobs/estimate",
    {
      config: { scope: "read" },
      schema: {
        tags: ["jobs"],
        operationId: "estimateJob",
        summary: "What a job would take, without starting it",
        body: EstimateRequest,
        response: { 200: Estimate },
      },
    },
    async (request) => {
      const { kind, input } = request.body;
      const submission = { platform, caller: request.caller, at: "/input" };
      const estimate = await estimateOf(submission, kind, input);
      return { object: "estimate" as const, kind, estimate };
    },
  );

  app.get(
    "/v1/jobs/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["jobs"],
        operationId: "getJob",
        summary: "Read a job",
        description: "Answers 304 when `If-None-Match` still holds.",
        params: JobParams,
        response: { 200: Job },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const row = found(await platform.jobs.find(request.caller.workspaceId, id), "JOB_NOT_FOUND", id);
      const job = await wireJob(platform, row);
      if (isUnchanged(request, reply, jobETag(row, job))) return sendEmpty(reply, 304);
      return job;
    },
  );
}
