// From a request to a queued job: the schema of its kind, the laws of its kind, one row and one delivery.
import { newId } from "../../domain/id.ts";
import { type JobInput, type JobKind, jobKind, jobKinds } from "../../domain/job.ts";
import { type Metadata, parse } from "../../domain/schema.ts";
import type { Json } from "../../platform/database.ts";
import type { JobRow } from "../../platform/jobs.ts";
import { resolveBenchmarkAnalyze } from "./benchmark-analyze.ts";
import { resolveModelImport, resolveSaeImport } from "./imports.ts";
import { resolveSaeTrainJob } from "./sae-train.ts";
import type { Submission } from "./submission.ts";

type Resolver<K extends JobKind> = (submission: Submission, input: JobInput<K>) => Promise<object>;

/** Each resolver refuses with a pointer, or returns the input with names turned into ids and defaults written out. */
const resolvers: { readonly [K in JobKind]: Resolver<K> } = {
  "model.import": resolveModelImport,
  "sae.import": resolveSaeImport,
  "sae.train": resolveSaeTrainJob,
  "benchmark.analyze": resolveBenchmarkAnalyze,
};

export interface NewSubmission {
  readonly kind: string;
  readonly input: unknown;
  readonly parentId?: string | undefined;
  readonly metadata?: Metadata | undefined;
}

export async function submitJob(submission: Submission, given: NewSubmission): Promise<JobRow> {
  const { platform, caller } = submission;
  const kind = jobKind(given.kind);
  const input = await resolve(submission, kind, given.input);
  return platform.db.$transaction((tx) =>
    platform.jobs.create(tx, {
      id: newId("job"),
      workspaceId: caller.workspaceId,
      apiKeyId: caller.keyId ?? undefined,
      parentId: given.parentId,
      kind,
      input: input as Json,
      metadata: given.metadata,
    }),
  );
}

async function resolve<K extends JobKind>(submission: Submission, kind: K, given: unknown): Promise<object> {
  const input = parse(jobKinds[kind].input, given, submission.at) as JobInput<K>;
  return resolvers[kind](submission, input);
}
