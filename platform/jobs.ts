// A job as clients see it: created with its queue delivery in one transaction, watched, canceled, resumed.
// What a worker does to a job is in job-claims.ts.
import { isTerminal } from "../domain/job.ts";
import { type Job, type JobCheckpoint, type JobEvent, Prisma, type PrismaClient } from "../prisma/client/client.ts";
import type { StoredBlob } from "./artifacts/store.ts";
import type { Json, Transaction } from "./database.ts";
import { followRows, type Notifications, notify } from "./notifications.ts";
import { batchQueue, type Delivery, type Queue } from "./queue.ts";

export type { Json, Transaction };
export type JobRow = Job;
export type JobEventRow = JobEvent;
export type JobCheckpointRow = JobCheckpoint;

/** The type of the event that ends a job; its data is `{state}`. */
export const JOB_END = "end";

export const jobTopic = (id: string): string => `job:${id}`;

export interface NewJob {
  readonly id: string;
  readonly workspaceId: string;
  readonly apiKeyId?: string | undefined;
  readonly parentId?: string | undefined;
  readonly kind: string;
  readonly input: Json;
  readonly metadata?: Json | undefined;
  /** Higher goes first. Default 0. */
  readonly priority?: number | undefined;
  /** A queue name from queue.ts (`batchQueue("any")`). Default: any batch worker. */
  readonly queue?: string | undefined;
}

export interface Jobs {
  /** Writes the row and its delivery in `tx`, so that neither exists without the other. */
  create(tx: Transaction, job: NewJob): Promise<JobRow>;
  /** Null when the workspace has no such job. */
  find(workspaceId: string, id: string): Promise<JobRow | null>;
  /** A queued job is canceled at once; a running one is asked to stop; a finished one stays as it is. Null: no such job. */
  requestCancel(workspaceId: string, id: string): Promise<JobRow | null>;
  /** Queues a failed or canceled job that has a checkpoint again. "refused" when its state or a missing checkpoint forbids it. */
  resume(workspaceId: string, id: string): Promise<JobRow | "refused" | null>;
  /** Events after a cursor, oldest first. */
  events(jobId: string, after: number, limit: number): Promise<JobEventRow[]>;
  /** Yields events after the cursor as they come; ends after the event that ends the job, or when the signal aborts. */
  subscribe(jobId: string, after: number, signal: AbortSignal): AsyncIterable<JobEventRow>;
  /** Resolves with the row when it is terminal, or as it is after `timeoutMs` (`Prefer: wait`). */
  waitForEnd(jobId: string, timeoutMs: number, signal?: AbortSignal): Promise<JobRow | null>;
  latestCheckpoint(jobId: string): Promise<JobCheckpointRow | null>;
  /** How many queued jobs of the same queue will start before it; null unless it is queued. */
  queuePosition(job: JobRow): Promise<number | null>;
}

/** Names the right to write: a row that has moved on to another epoch, or ended, refuses it. */
export interface Fence {
  readonly jobId: string;
  readonly epoch: number;
}

export interface JobClaim extends Fence {
  readonly job: JobRow;
  readonly delivery: Delivery;
  readonly checkpoint: JobCheckpointRow | null;
}

export interface JobOutcome {
  readonly state: "succeeded" | "failed" | "canceled";
  readonly result?: Json | undefined;
  /** A problem object (domain/problem.ts) for failed. */
  readonly error?: Json | undefined;
  readonly metrics?: Json | undefined;
  /** Names under which artifacts of this job become visible: artifacts.create(…, {jobId}) made them pending. */
  readonly artifacts?: readonly { readonly name: string; readonly artifactId: string }[] | undefined;
  /** Runs inside the ending transaction: rows of models, saes, datasets that exist only if this commit wins. */
  readonly write?: ((tx: Transaction) => Promise<void>) | undefined;
}

/** The worker's side. Every method that writes throws `StaleEpoch` when the fence is no longer the row's. */
export interface JobClaims {
  /** Takes the next epoch. Null: nothing to do (the row has ended, or another live delivery owns it); the delivery is settled. */
  claim(delivery: Delivery, workerId: string): Promise<JobClaim | null>;
  /** Renews the queue's claim and the row's heartbeat; tells whether a cancel was requested. Call every 3–5 s while the device makes steps. */
  heartbeat(claim: JobClaim): Promise<{ readonly cancelRequested: boolean }>;
  progress(fence: Fence, progress: Json, options?: { step?: bigint | number; metrics?: Json }): Promise<void>;
  appendEvent(fence: Fence, type: string, data: Json): Promise<number>;
  /**
   * Records an already stored blob as the newest checkpoint, then forgets the older ones in the same commit. `blobs` are contents
   * made so far that the job's end will show: they stay as long as the checkpoint does.
   */
  recordCheckpoint(
    fence: Fence,
    checkpoint: { step: bigint | number; digest: string; sizeBytes: number; blobs?: readonly StoredBlob[] },
  ): Promise<void>;
  /** First commit under epoch and state wins. */
  finish(claim: JobClaim, outcome: JobOutcome): Promise<JobRow>;
  /** SIGTERM or the queue's 24 h limit: back to queued, a new delivery and the end of the old one in one transaction. No attempt counted. */
  requeuePreempted(claim: JobClaim): Promise<JobRow>;
  /** The device process died. Retried with backoff from the last checkpoint, or failed with a diagnosis when it died at this step before. */
  reportCrash(claim: JobClaim, reason: string): Promise<JobRow>;
  /** Queues running rows that no delivery will ever run again; fails none. Any process may call it every few seconds. */
  reconcile(): Promise<readonly string[]>;
}

export class StaleEpoch extends Error {
  override readonly name = "StaleEpoch";
  readonly jobId: string;
  readonly epoch: number;
  constructor(fence: Fence) {
    super(`${fence.jobId}: epoch ${fence.epoch} is no longer the one that may write`);
    this.jobId = fence.jobId;
    this.epoch = fence.epoch;
  }
}

/** Takes the row for the rest of the transaction; null when it is gone. Whoever changes the state of a job does this first. */
export async function lockJob(tx: Transaction, id: string): Promise<JobRow | null> {
  const rows = await tx.$queryRaw<{ id: string }[]>`SELECT id FROM jobs WHERE id = ${id} FOR UPDATE`;
  return rows.length === 0 ? null : tx.job.findUniqueOrThrow({ where: { id } });
}

/** Changes a locked row and appends the event that tells so; both get the next revision and cursor. */
export async function changeJob(
  tx: Transaction,
  job: JobRow,
  data: Prisma.JobUncheckedUpdateInput,
  event: { type: string; data: Json },
): Promise<JobRow> {
  const changed = await tx.job.update({
    where: { id: job.id },
    data: { ...data, revision: { increment: 1 }, event_seq: { increment: 1 }, updated_at: new Date() },
  });
  await tx.jobEvent.create({
    data: { job_id: job.id, seq: changed.event_seq, epoch: changed.epoch, type: event.type, data: event.data },
  });
  await notify(tx, jobTopic(job.id));
  return changed;
}

export function createJobs(parts: { db: PrismaClient; queue: Queue; notifications: Notifications }): Jobs {
  const { db, queue, notifications } = parts;

  async function requeue(tx: Transaction, job: JobRow, event: string): Promise<JobRow> {
    const delivery = await queue.send(tx, job.queue, job.id, { priority: job.priority });
    return changeJob(
      tx,
      job,
      {
        state: "queued",
        delivery_id: delivery,
        queued_at: new Date(),
        finished_at: null,
        cancel_requested_at: null,
        crash_count: 0,
      },
      { type: event, data: {} },
    );
  }

  const jobs: Jobs = {
    async create(tx, job) {
      const row = await tx.job.create({
        data: {
          id: job.id,
          workspace_id: job.workspaceId,
          api_key_id: job.apiKeyId ?? null,
          parent_id: job.parentId ?? null,
          kind: job.kind,
          state: "queued",
          queue: job.queue ?? batchQueue("any"),
          priority: job.priority ?? 0,
          input: job.input,
          metadata: job.metadata ?? {},
        },
      });
      return requeue(tx, row, "queued");
    },
    find: (workspaceId, id) => db.job.findFirst({ where: { id, workspace_id: workspaceId } }),
    async requestCancel(workspaceId, id) {
      return db.$transaction(async (tx) => {
        const job = await lockJob(tx, id);
        if (job === null || job.workspace_id !== workspaceId) return null;
        if (isTerminal(job.state) || job.cancel_requested_at !== null) return job;
        const asked = { cancel_requested_at: new Date() };
        if (job.state === "running") return changeJob(tx, job, asked, { type: "cancel_requested", data: {} });
        return changeJob(
          tx,
          job,
          { ...asked, state: "canceled", finished_at: new Date() },
          { type: JOB_END, data: { state: "canceled" } },
        );
      });
    },
    async resume(workspaceId, id) {
      return db.$transaction(async (tx) => {
        const job = await lockJob(tx, id);
        if (job === null || job.workspace_id !== workspaceId) return null;
        const checkpoints = await tx.jobCheckpoint.count({ where: { job_id: id } });
        if (checkpoints === 0 || (job.state !== "failed" && job.state !== "canceled")) return "refused" as const;
        const cleared = await tx.job.update({ where: { id }, data: { error: Prisma.DbNull } });
        return requeue(tx, cleared, "resumed");
      });
    },
    events: (jobId, after, limit) =>
      db.jobEvent.findMany({ where: { job_id: jobId, seq: { gt: after } }, orderBy: { seq: "asc" }, take: limit }),
    subscribe: (jobId, after, signal) =>
      followRows({
        notifications,
        topic: jobTopic(jobId),
        after,
        read: (cursor) => jobs.events(jobId, cursor, 100),
        isLast: (event) => event.type === JOB_END,
        signal,
      }),
    async waitForEnd(jobId, timeoutMs, signal) {
      const read = () => db.job.findUnique({ where: { id: jobId } });
      const first = await read();
      if (first === null || isTerminal(first.state)) return first;
      const deadline = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]);
      for await (const event of jobs.subscribe(jobId, first.event_seq, deadline)) if (event.type === JOB_END) break;
      return read();
    },
    latestCheckpoint: (jobId) =>
      db.jobCheckpoint.findFirst({ where: { job_id: jobId }, orderBy: [{ epoch: "desc" }, { step: "desc" }] }),
    async queuePosition(job) {
      if (job.state !== "queued") return null;
      return db.job.count({
        where: {
          queue: job.queue,
          state: "queued",
          OR: [{ priority: { gt: job.priority } }, { priority: job.priority, queued_at: { lt: job.queued_at } }],
        },
      });
    },
  };
  return jobs;
}
