import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { crashLimit } from "../../platform/job-claims.ts";
import { JOB_END, type JobClaim, type JobRow, StaleEpoch } from "../../platform/jobs.ts";
import type { Delivery } from "../../platform/queue.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform, testWorkspace } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

/** Each test has a queue of its own, so that they do not take each other's deliveries. */
async function newJob(options: { queue?: string } = {}): Promise<JobRow> {
  const queue = options.queue ?? `batch.test-${newId("job")}`;
  return platform.db.$transaction((tx) =>
    platform.jobs.create(tx, {
      id: newId("job"),
      workspaceId: platform.workspaceId,
      kind: "test",
      input: { a: 1 },
      queue,
    }),
  );
}

async function claimed(job: JobRow): Promise<JobClaim> {
  const claim = await platform.claims.claim(await takeDelivery(platform, job.queue), "worker_a");
  expect(claim).not.toBeNull();
  return claim as JobClaim;
}

const row = (id: string) => platform.db.job.findUniqueOrThrow({ where: { id } });
const eventTypes = async (id: string) => (await platform.jobs.events(id, 0, 100)).map((event) => event.type);

describe("creation", () => {
  test("a job and its delivery exist together or not at all", async () => {
    const id = newId("job");
    const queue = `batch.test-${id}`;
    const creation = platform.db.$transaction(async (tx) => {
      await platform.jobs.create(tx, { id, workspaceId: platform.workspaceId, kind: "test", input: {}, queue });
      throw new Error("the request failed afterwards");
    });
    await expect(creation).rejects.toThrow("afterwards");
    expect(await platform.db.job.findUnique({ where: { id } })).toBeNull();
    const [{ count }] = (await platform.db
      .$queryRaw`SELECT count(*)::int AS count FROM pgboss.job WHERE name = ${queue}`) as [{ count: number }];
    expect(count).toBe(0);
  });

  test("a job of one workspace is invisible to another", async () => {
    const job = await newJob();
    const other = await testWorkspace(platform, newId("workspace"));
    expect(await platform.jobs.find(other, job.id)).toBeNull();
    expect(await platform.jobs.requestCancel(other, job.id)).toBeNull();
    expect((await row(job.id)).state).toBe("queued");
  });

  test("the queue position counts the jobs that will start before it", async () => {
    const first = await newJob();
    const second = await newJob({ queue: first.queue });
    expect(await platform.jobs.queuePosition(first)).toBe(0);
    expect(await platform.jobs.queuePosition(second)).toBe(1);
    await claimed(first);
    expect(await platform.jobs.queuePosition(second)).toBe(0);
    expect(await platform.jobs.queuePosition(await row(first.id))).toBeNull();
  });
});

describe("claims", () => {
  test("of two claimers of one delivery, the epoch of the first is refused from then on", async () => {
    const job = await newJob();
    const delivery = await takeDelivery(platform, job.queue);
    const other = await platform.another();
    const claims = await Promise.all([
      platform.claims.claim(delivery, "worker_a"),
      other.claims.claim(delivery, "worker_b"),
    ]);
    const [older, newer] = (claims as JobClaim[]).sort((a, b) => a.epoch - b.epoch) as [JobClaim, JobClaim];
    expect(newer.epoch).toBe(older.epoch + 1);
    await expect(platform.claims.progress(older, { done: 1 })).rejects.toThrow(StaleEpoch);
    await expect(platform.claims.finish(older, { state: "succeeded" })).rejects.toThrow(StaleEpoch);
    expect((await platform.claims.finish(newer, { state: "succeeded" })).state).toBe("succeeded");
  });

  test("two workers that take from one queue never get the same job", async () => {
    const queue = `batch.test-${newId("job")}`;
    const made = await Promise.all(Array.from({ length: 20 }, () => newJob({ queue })));
    const other = await platform.another();
    const taken: string[] = [];
    const all = Promise.withResolvers<void>();
    const run = (owner: typeof other, worker: string) =>
      owner.queue.consume({ queues: [queue], concurrency: 3 }, async (delivery) => {
        const claim = await owner.claims.claim(delivery, worker);
        if (claim === null) return;
        taken.push(claim.jobId);
        await owner.claims.finish(claim, { state: "succeeded", result: { worker } });
        if (taken.length === made.length) all.resolve();
      });
    const consumers = await Promise.all([run(platform, "worker_a"), run(other, "worker_b")]);
    await all.promise;
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    expect([...taken].sort()).toEqual(made.map((job) => job.id).sort());
    expect(await platform.db.job.count({ where: { queue, state: "succeeded", attempt: 1 } })).toBe(20);
  });

  test("a delivery for a job that has ended does nothing", async () => {
    const job = await newJob();
    const delivery = await takeDelivery(platform, job.queue);
    await platform.jobs.requestCancel(platform.workspaceId, job.id);
    expect(await platform.claims.claim(delivery, "worker_a")).toBeNull();
    expect((await row(job.id)).epoch).toBe(0);
    expect((await platform.queue.touch([delivery])).size).toBe(0);
  });

  test("a delivery that is no longer the row's does nothing", async () => {
    const job = await newJob();
    const claim = await claimed(job);
    await platform.claims.requeuePreempted(claim);
    const old: Delivery = { ...claim.delivery };
    expect(await platform.claims.claim(old, "worker_b")).toBeNull();
    expect((await row(job.id)).state).toBe("queued");
  });

  test("progress, metrics and events reach the row under the epoch", async () => {
    const claim = await claimed(await newJob());
    await platform.claims.progress(claim, { done: 3, total: 10 }, { step: 3, metrics: { loss: 0.5 } });
    const seq = await platform.claims.appendEvent(claim, "warning", { text: "cold" });
    const job = await row(claim.jobId);
    expect(job).toMatchObject({ progress: { done: 3, total: 10 }, step: 3n, metrics: { loss: 0.5 }, event_seq: seq });
    expect(await eventTypes(claim.jobId)).toEqual(["queued", "started", "progress", "warning"]);
  });
});

describe("the end", () => {
  test("of cancel and completion at the same time exactly one ends the job, and once", async () => {
    for (let round = 0; round < 10; round++) {
      const claim = await claimed(await newJob());
      const blob = await platform.store.put(platform.workspaceId, Buffer.from(`result ${round}`));
      const artifact = await platform.artifacts.create({
        workspaceId: platform.workspaceId,
        name: "result",
        contentType: "text/plain",
        blob,
        jobId: claim.jobId,
      });
      await Promise.all([
        platform.jobs.requestCancel(platform.workspaceId, claim.jobId),
        platform.claims.finish(claim, { state: "succeeded", artifacts: [{ name: "result", artifactId: artifact.id }] }),
      ]);
      const job = await row(claim.jobId);
      const events = await eventTypes(claim.jobId);
      expect(job.state).toBe("succeeded");
      expect(events.filter((type) => type === JOB_END)).toHaveLength(1);
      expect(events.at(-1)).toBe(JOB_END);
      expect(await platform.artifacts.find(platform.workspaceId, artifact.id)).not.toBeNull();
    }
  });

  test("a running job that is canceled is told so at its next heartbeat and ends as canceled with what it has", async () => {
    const claim = await claimed(await newJob());
    expect(await platform.claims.heartbeat(claim)).toEqual({ cancelRequested: false });
    await platform.jobs.requestCancel(platform.workspaceId, claim.jobId);
    expect(await platform.claims.heartbeat(claim)).toEqual({ cancelRequested: true });
    await platform.claims.finish(claim, { state: "canceled", result: { partial: true } });
    expect(await row(claim.jobId)).toMatchObject({ state: "canceled", result: { partial: true } });
  });

  test("a queued job is canceled at once", async () => {
    const job = await newJob();
    expect(await platform.jobs.requestCancel(platform.workspaceId, job.id)).toMatchObject({ state: "canceled" });
  });

  test("artifacts are visible by the commit that ends the job, and those it does not name are gone", async () => {
    const claim = await claimed(await newJob());
    const blob = await platform.store.put(platform.workspaceId, Buffer.from("report"));
    const make = (name: string) =>
      platform.artifacts.create({
        workspaceId: platform.workspaceId,
        name,
        contentType: "text/plain",
        blob,
        jobId: claim.jobId,
      });
    const [kept, dropped] = [await make("kept"), await make("dropped")];
    expect(await platform.artifacts.find(platform.workspaceId, kept.id)).toBeNull();
    await platform.claims.finish(claim, { state: "succeeded", artifacts: [{ name: "kept", artifactId: kept.id }] });
    expect(await platform.artifacts.find(platform.workspaceId, kept.id)).not.toBeNull();
    expect(await platform.db.artifact.findUnique({ where: { id: dropped.id } })).toBeNull();
    expect(await platform.db.jobArtifact.findMany({ where: { job_id: claim.jobId } })).toMatchObject([
      { name: "kept", artifact_id: kept.id },
    ]);
  });

  test("when the ending transaction fails, the job has not ended and nothing it made shows", async () => {
    const claim = await claimed(await newJob());
    const write = async () => {
      throw new Error("the name is taken");
    };
    await expect(platform.claims.finish(claim, { state: "succeeded", write })).rejects.toThrow("taken");
    expect((await row(claim.jobId)).state).toBe("running");
    expect((await platform.claims.finish(claim, { state: "failed", error: { code: "NAME_TAKEN" } })).state).toBe(
      "failed",
    );
  });
});

describe("preemption and crashes", () => {
  test("a preempted job is queued again in one commit, counts no attempt and says so in its history", async () => {
    const claim = await claimed(await newJob());
    await platform.claims.requeuePreempted(claim);
    const queued = await row(claim.jobId);
    expect(queued).toMatchObject({ state: "queued", preemptions: 1, attempt: 0 });
    const again = await claimed(queued);
    expect(again.job).toMatchObject({ state: "running", attempt: 1, epoch: claim.epoch + 1 });
    expect(await eventTypes(claim.jobId)).toEqual(["queued", "started", "preempted", "started"]);
    await expect(platform.claims.heartbeat(claim)).rejects.toThrow(StaleEpoch);
  });

  test("a job whose worker lost its claim runs again from its checkpoint under the next epoch", async () => {
    const claim = await claimed(await newJob());
    const blob = await platform.store.put(platform.workspaceId, Buffer.from("half way"));
    await platform.claims.recordCheckpoint(claim, { step: 7, ...blob });
    await lapse(claim.delivery);
    const again = await claimed(await row(claim.jobId));
    expect(again).toMatchObject({ epoch: claim.epoch + 1, checkpoint: { step: 7n } });
    expect(again.delivery.attempt).toBe(claim.delivery.attempt + 1);
    expect(await row(claim.jobId)).toMatchObject({ crash_count: 1, attempt: 2 });
    await expect(platform.claims.heartbeat(claim)).rejects.toThrow(StaleEpoch);
  });

  test(`a job that crashes ${crashLimit} times in a row without getting further is failed with a diagnosis`, async () => {
    const job = await newJob();
    for (let crash = 1; crash <= crashLimit; crash++) {
      const claim = await claimed(job);
      // Progress is written now and then: of one and the same death it tells a little more or less each time.
      const done = 4000 - 10 * crash;
      await platform.claims.progress(claim, { done, unit: "tokens" }, { step: done });
      await platform.claims.reportCrash(claim, "the device process got SIGSEGV");
      if (crash < crashLimit) await hasten(job.queue);
    }
    const failed = await row(job.id);
    expect(failed.state).toBe("failed");
    expect(failed.error).toMatchObject({ code: "JOB_CRASHED", detail: expect.stringContaining("beyond 3990 tokens") });
    expect((failed.error as { detail: string }).detail).toContain("SIGSEGV");
  });

  test("a job that gets further between crashes is not poison", async () => {
    const job = await newJob();
    for (let step = 1; step <= crashLimit + 2; step++) {
      const claim = await claimed(job);
      await platform.claims.progress(claim, { done: step }, { step });
      await platform.claims.reportCrash(claim, "out of memory");
      await hasten(job.queue);
    }
    expect(await row(job.id)).toMatchObject({ state: "queued", crash_count: 1 });
  });

  test("checkpoints that count something else than the progress neither hide a poison nor make one", async () => {
    const runs = async (job: JobRow, checkpoints: readonly number[]) => {
      for (const step of checkpoints) {
        const claim = await claimed(job);
        await platform.claims.progress(claim, { done: 4096, unit: "tokens" }, { step: 4096 });
        const blob = await platform.store.put(platform.workspaceId, Buffer.from(`${job.id} at ${step}`));
        await platform.claims.recordCheckpoint(claim, { step, ...blob });
        await platform.claims.reportCrash(claim, "out of memory");
        await hasten(job.queue);
      }
      return row(job.id);
    };
    expect(await runs(await newJob(), [2, 2, 2])).toMatchObject({ state: "failed", step: 4096n });
    expect(await runs(await newJob(), [2, 3, 4, 5])).toMatchObject({ state: "queued", crash_count: 1 });
  });

  test("a job that was canceled while its worker was dead is canceled, not run again", async () => {
    const claim = await claimed(await newJob());
    await platform.jobs.requestCancel(platform.workspaceId, claim.jobId);
    await lapse(claim.delivery);
    expect(await platform.claims.claim(await takeDelivery(platform, claim.delivery.queue), "worker_b")).toBeNull();
    expect((await row(claim.jobId)).state).toBe("canceled");
  });

  test("the reconciler queues a running job whose delivery is gone, and leaves the others alone", async () => {
    const lost = await claimed(await newJob());
    const healthy = await claimed(await newJob());
    await platform.db.$executeRaw`DELETE FROM pgboss.job WHERE id::text = ${lost.delivery.id}`;
    const other = await platform.another();
    const requeued = await Promise.all([platform.claims.reconcile(), other.claims.reconcile()]);
    expect(requeued.flat()).toEqual([lost.jobId]);
    expect((await row(healthy.jobId)).state).toBe("running");
    expect((await claimed(await row(lost.jobId))).epoch).toBe(lost.epoch + 1);
  });

  /** What the queue's supervision does to a claim whose heartbeat is too old, without waiting for it to grow old. */
  async function lapse(delivery: Delivery): Promise<void> {
    await platform.db.$executeRaw`
      UPDATE pgboss.job SET heartbeat_on = now() - interval '1 minute' WHERE id::text = ${delivery.id}`;
    await platform.queue.supervise(delivery.queue);
    await hasten(delivery.queue);
  }

  /** Skips the backoff. */
  async function hasten(queue: string): Promise<void> {
    await platform.db
      .$executeRaw`UPDATE pgboss.job SET start_after = now() WHERE name = ${queue} AND state IN ('created', 'retry')`;
  }
});

describe("watching", () => {
  test("a subscriber gets every event once and in order, whenever it begins", async () => {
    const claim = await claimed(await newJob());
    const watch = async (after: number) => {
      const seen: number[] = [];
      for await (const event of platform.jobs.subscribe(claim.jobId, after, AbortSignal.timeout(50_000)))
        seen.push(event.seq);
      return seen;
    };
    const early = watch(0);
    const later = watch(4);
    for (let i = 0; i < 30; i++) await platform.claims.appendEvent(claim, "line", { i });
    await platform.claims.finish(claim, { state: "succeeded" });
    const all = Array.from({ length: 33 }, (_, i) => i + 1);
    expect(await early).toEqual(all);
    expect(await later).toEqual(all.slice(4));
    expect(await watch(31)).toEqual([32, 33]);
  });

  test("events are seen from another process too, and after its notification connection was cut", async () => {
    const other = await platform.another();
    const claim = await claimed(await newJob());
    const events = other.jobs.subscribe(claim.jobId, 0, AbortSignal.timeout(50_000));
    expect((await events[Symbol.asyncIterator]().next()).value?.type).toBe("queued");
    await platform.db
      .$executeRaw`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'qwen-scope listen' AND datname = current_database()`;
    await platform.claims.finish(claim, { state: "succeeded" });
    const rest: string[] = [];
    for await (const event of events) rest.push(event.type);
    expect(rest).toEqual(["started", "end"]);
  });

  test("waiting for the end answers with the row as soon as it has ended, or as it is when the time is up", async () => {
    const claim = await claimed(await newJob());
    expect((await platform.jobs.waitForEnd(claim.jobId, 50))?.state).toBe("running");
    const waiting = platform.jobs.waitForEnd(claim.jobId, 20_000);
    await platform.claims.finish(claim, { state: "succeeded", result: { answer: 42 } });
    expect(await waiting).toMatchObject({ state: "succeeded", result: { answer: 42 } });
  });
});
