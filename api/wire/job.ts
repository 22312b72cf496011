import type { Job as WireJob, JobEvent as WireJobEvent } from "../../domain/job.ts";
import { isTerminal } from "../../domain/job.ts";
import type { Job, JobEvent } from "../../platform/database.ts";
import type { Platform } from "../../platform/platform.ts";
import { wireArtifactLink } from "./artifact.ts";

/** Rows of a page with what their own table does not hold: artifacts, the newest checkpoint, the place in the queue. */
export async function wireJobs(platform: Platform, rows: readonly Job[]): Promise<WireJob[]> {
  const ids = rows.map((row) => row.id);
  const [links, checkpoints, positions] = await Promise.all([
    // Links of a job become visible with the commit that ends it.
    platform.db.jobArtifact.findMany({
      where: { job_id: { in: ids }, artifact: { state: "visible" } },
      include: { artifact: true },
      orderBy: { name: "asc" },
    }),
    platform.db.jobCheckpoint.findMany({
      where: { job_id: { in: ids } },
      orderBy: [{ step: "asc" }, { epoch: "asc" }],
    }),
    Promise.all(rows.map((row) => (row.state === "queued" ? platform.jobs.queuePosition(row) : null))),
  ]);
  const checkpointOf = new Map(checkpoints.map((checkpoint) => [checkpoint.job_id, checkpoint]));
  return rows.map((row, index) => {
    const checkpoint = checkpointOf.get(row.id);
    return {
      id: row.id,
      object: "job",
      kind: row.kind,
      state: row.state as WireJob["state"],
      parent_id: row.parent_id,
      cancel_requested_at: row.cancel_requested_at?.toISOString() ?? null,
      input: row.input as WireJob["input"],
      progress: row.progress as WireJob["progress"],
      queue_position: positions[index] ?? null,
      attempt: row.attempt,
      preemptions: row.preemptions,
      checkpoint: checkpoint
        ? {
            step: Number(checkpoint.step),
            size_bytes: Number(checkpoint.size_bytes),
            created_at: checkpoint.created_at.toISOString(),
          }
        : null,
      metrics: row.metrics as WireJob["metrics"],
      error: row.error as WireJob["error"],
      result: row.result as WireJob["result"],
      artifacts: isTerminal(row.state)
        ? links.filter((link) => link.job_id === row.id).map((link) => wireArtifactLink(link.name, link.artifact))
        : [],
      metadata: row.metadata as WireJob["metadata"],
      created_at: row.created_at.toISOString(),
      started_at: row.started_at?.toISOString() ?? null,
      finished_at: row.finished_at?.toISOString() ?? null,
    };
  });
}

export async function wireJob(platform: Platform, row: Job): Promise<WireJob> {
  const [job] = await wireJobs(platform, [row]);
  if (job === undefined) throw new Error(`${row.id}: no wire form`);
  return job;
}

/** Changes with every write of a worker, and with the place in the queue, which no write of this row shows. */
export function jobETag(row: Job, job: WireJob): string {
  return `"${row.revision}-${row.state}-${job.queue_position ?? ""}"`;
}

export function wireJobEvent(row: JobEvent): WireJobEvent {
  return {
    id: row.seq,
    object: "job.event",
    type: row.type,
    data: row.data as WireJobEvent["data"],
    created_at: row.created_at.toISOString(),
  };
}
