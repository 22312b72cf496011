// What a worker does to a job. The row names the one delivery that may run it and the epoch that may write; whoever
// comes with another is refused, so a worker that was thought dead and is not cannot undo what its successor did.
import { isTerminal } from "../domain/job.ts";
import { Problem, toProblemDetails } from "../domain/problem.ts";
import type { Prisma, PrismaClient } from "../prisma/client/client.ts";
import { dropUnused, recordBlob } from "./artifacts/artifacts.ts";
import type { ArtifactStore } from "./artifacts/store.ts";
import {
  changeJob,
  type Fence,
  JOB_END,
  type JobClaims,
  type JobRow,
  type Json,
  lockJob,
  StaleEpoch,
  type Transaction,
} from "./jobs.ts";
import type { Metrics } from "./metrics.ts";
import type { Queue } from "./queue.ts";

/** A job that dies so often in a row without getting further is poison: another try would die there too. */
export const crashLimit = 3;

const crashProblem = (job: JobRow, count: number, reason: string): Json => {
  const unit = (job.progress as { unit?: string } | null)?.unit;
  const reached = `${job.step}${unit === undefined ? "" : ` ${unit}`}`;
  const detail = `The worker died ${count} times in a row and never got beyond ${reached} done: ${reason}. It will not be tried again.`;
  return toProblemDetails(new Problem("JOB_CRASHED", detail)) as unknown as Json;
};

export function createJobClaims(parts: {
  db: PrismaClient;
  queue: Queue;
  store: ArtifactStore;
  metrics: Metrics;
}): JobClaims {
  const { db, queue, store, metrics } = parts;

  /** The row under the fence, locked. */
  async function holdRow(tx: Transaction, fence: Fence): Promise<JobRow> {
    const job = await lockJob(tx, fence.jobId);
    if (job === null || job.epoch !== fence.epoch || job.state !== "running") {
      metrics.staleWritesRefused.inc();
      throw new StaleEpoch(fence);
    }
    return job;
  }

  async function end(
    tx: Transaction,
    job: JobRow,
    state: string,
    data: Prisma.JobUncheckedUpdateInput = {},
  ): Promise<JobRow> {
    // What the job made and no commit showed is nobody's; the collector takes the contents.
    await tx.artifact.deleteMany({ where: { job_id: job.id, state: "pending" } });
    if (state === "succeeded") await tx.jobCheckpoint.deleteMany({ where: { job_id: job.id } });
    const ended = await changeJob(
      tx,
      job,
      { ...data, state, finished_at: new Date() },
      { type: JOB_END, data: { state } },
    );
    metrics.jobsEnded.inc({ kind: job.kind, state });
    return ended;
  }

  /**
   * Counts a death. Those before it count along unless the job has got further since: by its progress, or by its
   * checkpoint, each compared with its own kind, for they need not count the same thing. A job that starts again
   * repeats what it had reported, so only what is beyond the furthest crash is further.
   * Null: it was one too many, and the job is failed now.
   */
  async function countCrash(tx: Transaction, job: JobRow, reason: string): Promise<{ count: number } | null> {
    const where = { job_id: job.id };
    const newest = await tx.jobCheckpoint.findFirst({ where, orderBy: [{ epoch: "desc" }, { step: "desc" }] });
    const checkpoint = newest === null ? null : Number(newest.step);
    const last = await tx.jobEvent.findFirst({ where: { ...where, type: "crashed" }, orderBy: { seq: "desc" } });
    const lastCheckpoint = (last?.data as { checkpoint?: number | null } | undefined)?.checkpoint ?? -1;
    const further = job.crash_step === null || job.step > job.crash_step || (checkpoint ?? -1) > lastCheckpoint;
    const count = further ? 1 : job.crash_count + 1;
    const furthest = job.crash_step === null || job.step > job.crash_step ? job.step : job.crash_step;
    const counted = await changeJob(
      tx,
      job,
      { crash_step: furthest, crash_count: count },
      { type: "crashed", data: { done: Number(job.step), checkpoint, count, reason } },
    );
    if (count < crashLimit) return { count };
    await end(tx, counted, "failed", { error: crashProblem({ ...counted, step: furthest }, count, reason) });
    return null;
  }

  async function sendAgain(
    tx: Transaction,
    job: JobRow,
    event: string,
    options: { delaySeconds?: number; data?: Prisma.JobUncheckedUpdateInput } = {},
  ): Promise<JobRow> {
    const delivery = await queue.send(tx, job.queue, job.id, {
      priority: job.priority,
      delaySeconds: options.delaySeconds,
    });
    metrics.jobsRequeued.inc({ kind: job.kind, reason: event });
    const data = { ...options.data, state: "queued", delivery_id: delivery, worker_id: null, queued_at: new Date() };
    return changeJob(tx, job, data, { type: event, data: {} });
  }

  const claims: JobClaims = {
    async claim(delivery, workerId) {
      // Lapsed before it came to this (a slow start, a pause): the queue gives it out again, and that one counts.
      if (!(await queue.touch([delivery])).has(delivery.id)) return null;
      return db.$transaction(async (tx) => {
        const found = await lockJob(tx, delivery.subject);
        const giveUp = async () => {
          await queue.complete(delivery, tx);
          return null;
        };
        if (found === null || isTerminal(found.state) || found.delivery_id !== delivery.id) return giveUp();
        if (found.cancel_requested_at !== null) {
          await end(tx, found, "canceled");
          return giveUp();
        }
        // The same delivery again while the row runs: its former holder stopped renewing the claim.
        if (found.state === "running" && (await countCrash(tx, found, "its worker stopped responding")) === null)
          return giveUp();
        const job = await tx.job.update({
          where: { id: found.id },
          data: {
            state: "running",
            epoch: { increment: 1 },
            attempt: { increment: 1 },
            worker_id: workerId,
            started_at: found.started_at ?? new Date(),
            heartbeat_at: new Date(),
          },
        });
        const checkpoint = await tx.jobCheckpoint.findFirst({
          where: { job_id: job.id },
          orderBy: [{ epoch: "desc" }, { step: "desc" }],
        });
        const started = await changeJob(
          tx,
          job,
          {},
          {
            type: "started",
            data: {
              attempt: job.attempt,
              worker_id: workerId,
              from_step: checkpoint === null ? 0 : Number(checkpoint.step),
            },
          },
        );
        return { jobId: job.id, epoch: job.epoch, job: started, delivery, checkpoint };
      });
    },

    async heartbeat(claim) {
      const held = await queue.touch([claim.delivery]);
      const [row] = await db.$queryRaw<{ cancel: boolean }[]>`
        UPDATE jobs SET heartbeat_at = now() WHERE id = ${claim.jobId} AND epoch = ${claim.epoch} AND state = 'running'
        RETURNING cancel_requested_at IS NOT NULL AS cancel`;
      if (row === undefined || !held.has(claim.delivery.id)) {
        metrics.staleWritesRefused.inc();
        throw new StaleEpoch(claim);
      }
      return { cancelRequested: row.cancel };
    },

    async progress(fence, progress, options = {}) {
      await db.$transaction(async (tx) => {
        const job = await holdRow(tx, fence);
        const step = options.step === undefined ? {} : { step: BigInt(options.step) };
        const metricsPart = options.metrics === undefined ? {} : { metrics: options.metrics };
        await changeJob(tx, job, { progress, ...step, ...metricsPart }, { type: "progress", data: progress });
      });
    },

    async appendEvent(fence, type, data) {
      return db.$transaction(
        async (tx) => (await changeJob(tx, await holdRow(tx, fence), {}, { type, data })).event_seq,
      );
    },

    async recordCheckpoint(fence, { step, digest, sizeBytes, blobs = [] }) {
      const { workspaceId, unused } = await db.$transaction(async (tx) => {
        const job = await holdRow(tx, fence);
        const key = { job_id: job.id, step: BigInt(step), epoch: job.epoch };
        const metadata = { blobs: blobs.map((blob) => blob.digest) };
        const row = { workspace_id: job.workspace_id, digest, size_bytes: BigInt(sizeBytes), metadata };
        for (const blob of [{ digest, sizeBytes }, ...blobs]) await recordBlob(tx, job.workspace_id, blob);
        await tx.jobCheckpoint.upsert({ where: { job_id_step_epoch: key }, create: { ...key, ...row }, update: row });
        const older = { job_id: job.id, NOT: { step: key.step, epoch: key.epoch } };
        const digests = (await tx.jobCheckpoint.findMany({ where: older })).map((one) => one.digest);
        await tx.jobCheckpoint.deleteMany({ where: older });
        await changeJob(
          tx,
          job,
          // Its step is the handler's own count and no progress: the row's step is what was reported as done.
          {},
          { type: "checkpoint", data: { step: Number(step), size_bytes: sizeBytes } },
        );
        return { workspaceId: job.workspace_id, unused: await dropUnused(tx, job.workspace_id, digests) };
      });
      // At once, not with the collector: a long training would fill the disk with a day of checkpoints.
      for (const digest of unused) await store.delete(workspaceId, digest).catch(() => {});
    },

    async finish(claim, outcome) {
      return db.$transaction(async (tx) => {
        const job = await holdRow(tx, claim);
        for (const { name, artifactId } of outcome.artifacts ?? []) {
          await tx.artifact.update({
            where: { id: artifactId, workspace_id: job.workspace_id },
            data: { state: "visible", visible_at: new Date() },
          });
          // A job that was resumed and ends again may leave a thing of the same name: the newer one counts.
          const made = { artifact_id: artifactId, epoch: job.epoch };
          await tx.jobArtifact.upsert({
            where: { job_id_name: { job_id: job.id, name } },
            create: { job_id: job.id, name, ...made },
            update: made,
          });
        }
        await outcome.write?.(tx);
        const ended = await end(tx, job, outcome.state, {
          ...(outcome.result === undefined ? {} : { result: outcome.result }),
          ...(outcome.error === undefined ? {} : { error: outcome.error }),
          ...(outcome.metrics === undefined ? {} : { metrics: outcome.metrics }),
        });
        await queue.complete(claim.delivery, tx);
        return ended;
      });
    },

    async requeuePreempted(claim) {
      return db.$transaction(async (tx) => {
        const job = await holdRow(tx, claim);
        await queue.complete(claim.delivery, tx);
        if (job.cancel_requested_at !== null) return end(tx, job, "canceled");
        return sendAgain(tx, job, "preempted", { data: { preemptions: { increment: 1 }, attempt: { decrement: 1 } } });
      });
    },

    async reportCrash(claim, reason) {
      return db.$transaction(async (tx) => {
        const job = await holdRow(tx, claim);
        await queue.complete(claim.delivery, tx);
        if (job.cancel_requested_at !== null) return end(tx, job, "canceled");
        const crash = await countCrash(tx, job, reason);
        if (crash === null) return tx.job.findUniqueOrThrow({ where: { id: job.id } });
        return sendAgain(tx, job, "requeued", { delaySeconds: 2 ** (crash.count - 1) });
      });
    },

    async reconcile() {
      const lost = await db.$queryRaw<{ id: string }[]>`
        SELECT j.id FROM jobs j WHERE j.state IN ('queued', 'running') AND NOT (j.fan_out AND j.delivery_id IS NULL) AND NOT EXISTS (
          SELECT 1 FROM pgboss.job d WHERE d.name = j.queue AND d.id::text = j.delivery_id AND d.state IN ('created', 'retry', 'active')
        ) LIMIT 100`;
      const requeued: string[] = [];
      for (const { id } of lost) {
        await db.$transaction(async (tx) => {
          const job = await lockJob(tx, id);
          if (job === null || isTerminal(job.state)) return;
          // Again under the lock: a requeue may have committed since the first look.
          const alive = await tx.$queryRaw<unknown[]>`
            SELECT 1 AS alive FROM pgboss.job WHERE name = ${job.queue} AND id::text = ${job.delivery_id}
            AND state IN ('created', 'retry', 'active')`;
          if (alive.length > 0) return;
          if (job.cancel_requested_at !== null) await end(tx, job, "canceled");
          else await sendAgain(tx, job, "requeued");
          requeued.push(id);
        });
      }
      return requeued;
    },
  };
  return claims;
}
