// From a request to a queued job: the schema of its kind, the laws of its kind, one row and one delivery.
import { newId } from "../../domain/id.ts";
import { type JobInput, type JobKind, jobKind, jobKinds } from "../../domain/job.ts";
import { type Metadata, parse } from "../../domain/schema.ts";
import type { Json } from "../../platform/database.ts";
import type { JobRow } from "../../platform/jobs.ts";
import { resolveHarvest } from "./activations-harvest.ts";
import { resolveBenchmarkAnalyze } from "./benchmark-analyze.ts";
import { resolveFeaturesContrast } from "./features-contrast.ts";
import { resolveFeaturesIndexJob } from "./features-index.ts";
import { resolveFeaturesLabel } from "./features-label.ts";
import { resolveModelImport, resolveSaeImport } from "./imports.ts";
import { resolveSaeExport } from "./sae-export.ts";
import { releaseJobs, resolveSaeRelease } from "./sae-release.ts";
import { resolveSaeTrainJob } from "./sae-train.ts";
import { resolveSteeringBatch } from "./steering-batch.ts";
import { resolveSteeringSearch } from "./steering-search.ts";
import { resolveSteeringSweep } from "./steering-sweep.ts";
import type { ChildJob, Submission } from "./submission.ts";

type Resolver<K extends JobKind> = (submission: Submission, input: JobInput<K>) => Promise<object>;

/** Each resolver refuses with a pointer, or returns the input with names turned into ids and defaults written out. */
const resolvers: { readonly [K in JobKind]: Resolver<K> } = {
  "model.import": resolveModelImport,
  "sae.import": resolveSaeImport,
  "sae.export": resolveSaeExport,
  "activations.harvest": resolveHarvest,
  "sae.train": resolveSaeTrainJob,
  "sae.release": resolveSaeRelease,
  "features.index": resolveFeaturesIndexJob,
  "features.label": resolveFeaturesLabel,
  "features.contrast": resolveFeaturesContrast,
  "steering.batch": resolveSteeringBatch,
  "steering.sweep": resolveSteeringSweep,
  "steering.search": resolveSteeringSearch,
  "benchmark.analyze": resolveBenchmarkAnalyze,
};

/** Kinds that are done by other jobs: which, once the input is resolved. The job itself runs when they have ended. */
const fanOuts: Partial<Record<JobKind, (jobId: string, input: never) => ChildJob[]>> = {
  "sae.release": releaseJobs,
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
  const common = { workspaceId: caller.workspaceId, apiKeyId: caller.keyId ?? undefined, metadata: given.metadata };
  const job = { ...common, id: newId("job"), parentId: given.parentId, kind, input: input as Json };
  const children = fanOuts[kind]?.(job.id, input as never).map((child) => ({
    ...common,
    id: newId("job"),
    kind: child.kind,
    input: child.input as Json,
  }));
  return platform.db.$transaction((tx) =>
    children === undefined ? platform.jobs.create(tx, job) : platform.jobs.createFanOut(tx, job, children),
  );
}

async function resolve<K extends JobKind>(submission: Submission, kind: K, given: unknown): Promise<object> {
  const input = parse(jobKinds[kind].input, given, submission.at) as JobInput<K>;
  return resolvers[kind](submission, input);
}
