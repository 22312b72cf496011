// A job that waits for others. Its children are ordinary jobs; the parent has no delivery until the last of them has
// ended, shows their progress as its own, and then runs once to put their results together. It holds no worker meanwhile.
import { isTerminal } from "../domain/job.ts";
import { Prisma, type PrismaClient } from "../prisma/client/client.ts";
import type { Json, Transaction } from "./database.ts";
import { changeJob, JOB_END, type JobClaims, type JobRow, type Jobs, lockJob, type NewJob } from "./jobs.ts";
import { batchQueue, type Queue } from "./queue.ts";

export interface FanOutJobs extends Jobs {
  /** Writes the parent and its children in `tx`; only the children are delivered. */
  createFanOut(tx: Transaction, parent: NewJob, children: readonly Omit<NewJob, "parentId">[]): Promise<JobRow>;
}

interface Parts {
  readonly db: PrismaClient;
  readonly queue: Queue;
  readonly jobs: Jobs;
  readonly claims: JobClaims;
}

/** The same jobs and claims, with parents that follow their children. */
export function withFanOut({ db, queue, jobs, claims }: Parts): { jobs: FanOutJobs; claims: JobClaims } {
  const childrenOf = (tx: Transaction, id: string) =>
    tx.job.findMany({ where: { parent_id: id }, orderBy: [{ created_at: "asc" }, { id: "asc" }] });

  /** Brings a waiting parent up to date with its children. Safe to call at any time, by any process. */
  async function follow(id: string): Promise<void> {
    await db.$transaction(async (tx) => {
      const parent = await lockJob(tx, id);
      if (parent === null || !isWaiting(parent)) return;
      const children = await childrenOf(tx, id);
      const shown = await showProgress(tx, parent, children);
      if (!children.every((child) => isTerminal(child.state))) return;
      if (shown.cancel_requested_at !== null) await endCanceled(tx, shown);
      else await deliver(tx, shown);
    });
  }

  async function showProgress(tx: Transaction, parent: JobRow, children: readonly JobRow[]): Promise<JobRow> {
    const progress = progressOf(children);
    const begun = parent.state === "queued" && children.some((child) => child.state === "running");
    if (!begun && JSON.stringify(progress) === JSON.stringify(parent.progress)) return parent;
    const state = begun ? { state: "running", started_at: parent.started_at ?? new Date() } : {};
    return changeJob(tx, parent, { ...state, progress }, { type: "progress", data: progress });
  }

  async function deliver(tx: Transaction, parent: JobRow): Promise<void> {
    const delivery = await queue.send(tx, parent.queue, parent.id, { priority: parent.priority });
    const queued = { state: "queued", delivery_id: delivery, queued_at: new Date() };
    await changeJob(tx, parent, queued, { type: "children_ended", data: {} });
  }

  async function endCanceled(tx: Transaction, parent: JobRow): Promise<void> {
    const ended = { state: "canceled", finished_at: new Date() };
    await changeJob(tx, parent, ended, { type: JOB_END, data: { state: "canceled" } });
  }

  async function cancelWaiting(workspaceId: string, parent: JobRow): Promise<JobRow | null> {
    await db.$transaction(async (tx) => {
      const locked = await lockJob(tx, parent.id);
      if (locked === null || isTerminal(locked.state) || locked.cancel_requested_at !== null) return;
      const asked = { cancel_requested_at: new Date() };
      await changeJob(tx, locked, asked, { type: "cancel_requested", data: {} });
    });
    // Each in a transaction of its own, and never while the parent is held: a child that ends locks itself first.
    for (const child of await childrenOf(db, parent.id)) await jobs.requestCancel(workspaceId, child.id);
    await follow(parent.id);
    return jobs.find(workspaceId, parent.id);
  }

  async function resumeFanOut(workspaceId: string, parent: JobRow): Promise<JobRow | null> {
    for (const child of await childrenOf(db, parent.id)) {
      if (child.state !== "failed" && child.state !== "canceled") continue;
      if ((await jobs.resume(workspaceId, child.id)) === "refused") await startOver(child.id);
    }
    await db.$transaction(async (tx) => {
      const locked = await lockJob(tx, parent.id);
      if (locked === null || !isResumable(locked)) return;
      const waiting = { state: "queued", delivery_id: null, error: Prisma.DbNull, queued_at: new Date() };
      const cleared = { finished_at: null, cancel_requested_at: null, crash_count: 0 };
      await changeJob(tx, locked, { ...waiting, ...cleared }, { type: "resumed", data: {} });
    });
    await follow(parent.id);
    return jobs.find(workspaceId, parent.id);
  }

  /** A child that ended before its first checkpoint has nothing to go on from. */
  async function startOver(id: string): Promise<void> {
    await db.$transaction(async (tx) => {
      const child = await lockJob(tx, id);
      if (child === null || !isResumable(child)) return;
      const delivery = await queue.send(tx, child.queue, child.id, { priority: child.priority });
      const queued = { state: "queued", delivery_id: delivery, queued_at: new Date(), error: Prisma.DbNull };
      const cleared = { finished_at: null, cancel_requested_at: null, crash_count: 0 };
      await changeJob(tx, child, { ...queued, ...cleared }, { type: "resumed", data: {} });
    });
  }

  return {
    jobs: {
      ...jobs,
      async createFanOut(tx, parent, children) {
        const row = await tx.job.create({
          data: {
            id: parent.id,
            workspace_id: parent.workspaceId,
            api_key_id: parent.apiKeyId ?? null,
            parent_id: parent.parentId ?? null,
            kind: parent.kind,
            state: "queued",
            fan_out: true,
            queue: parent.queue ?? batchQueue("any"),
            priority: parent.priority ?? 0,
            input: parent.input,
            metadata: parent.metadata ?? {},
          },
        });
        for (const child of children) await jobs.create(tx, { ...child, parentId: parent.id });
        const data = { children: children.map((child) => child.id) };
        return changeJob(tx, row, {}, { type: "queued", data });
      },
      async requestCancel(workspaceId, id) {
        const job = await jobs.find(workspaceId, id);
        if (job !== null && isWaiting(job)) return cancelWaiting(workspaceId, job);
        const asked = await jobs.requestCancel(workspaceId, id);
        if (asked?.parent_id && isTerminal(asked.state)) await follow(asked.parent_id);
        return asked;
      },
      async resume(workspaceId, id) {
        const job = await jobs.find(workspaceId, id);
        if (!job?.fan_out) return jobs.resume(workspaceId, id);
        return isResumable(job) ? resumeFanOut(workspaceId, job) : "refused";
      },
    },
    claims: {
      ...claims,
      async finish(claim, outcome) {
        const ended = await claims.finish(claim, outcome);
        if (ended.parent_id !== null) await follow(ended.parent_id);
        return ended;
      },
      async reconcile() {
        // Whatever ended a child, and whoever died before its parent was told.
        const waiting = await db.job.findMany({
          where: { fan_out: true, delivery_id: null, state: { in: ["queued", "running"] } },
          select: { id: true },
        });
        for (const { id } of waiting) await follow(id);
        return claims.reconcile();
      },
    },
  };
}

function isWaiting(job: JobRow): boolean {
  return job.fan_out && job.delivery_id === null && !isTerminal(job.state);
}

function isResumable(job: JobRow): boolean {
  return job.state === "failed" || job.state === "canceled";
}

interface Progress {
  readonly done: number;
  readonly total: number | null;
  readonly unit: string;
  readonly rate: number | null;
  readonly eta_s: number | null;
}

/**
 * The children's progress as one: sums of what is done and to do, once every child has said how much that is (a total that
 * grows would let the bar run backwards); before that, ended children of all.
 */
function progressOf(children: readonly JobRow[]): Json {
  const own = children.map((child) => child.progress as Progress | null);
  const [first] = own;
  const known = own.every((one) => one !== null && one.total !== null && one.unit === first?.unit);
  if (!known || first === null || first === undefined) {
    const ended = children.filter((child) => isTerminal(child.state)).length;
    return { done: ended, total: children.length, unit: "jobs", rate: null, eta_s: null };
  }
  const sum = (of: (one: Progress, index: number) => number) =>
    own.reduce((total, one, index) => total + of(one as Progress, index), 0);
  const done = sum((one) => one.done);
  const total = sum((one) => one.total ?? 0);
  const rate = sum((one, index) => (children[index]?.state === "running" ? (one.rate ?? 0) : 0));
  return { done, total, unit: first.unit, rate: rate || null, eta_s: rate > 0 ? (total - done) / rate : null };
}
