import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import type { JobClaim, JobRow } from "../../platform/jobs.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

interface Family {
  readonly parent: JobRow;
  readonly children: readonly string[];
  readonly parentQueue: string;
  readonly childQueue: string;
}

/** A fan-out with queues of its own, so that a test takes what it means to take. */
async function newFamily(count = 2): Promise<Family> {
  const common = { workspaceId: platform.workspaceId, kind: "test", input: {} };
  const [parentQueue, childQueue] = [`batch.test-${newId("job")}`, `batch.test-${newId("job")}`];
  await platform.queue.ensure(parentQueue);
  const children = Array.from({ length: count }, () => newId("job"));
  const parent = await platform.db.$transaction((tx) =>
    platform.jobs.createFanOut(
      tx,
      { ...common, id: newId("job"), queue: parentQueue },
      children.map((id) => ({ ...common, id, queue: childQueue })),
    ),
  );
  return { parent, children, parentQueue, childQueue };
}

const row = (id: string) => platform.db.job.findUniqueOrThrow({ where: { id } });

async function claimNext(queue: string): Promise<JobClaim> {
  const claim = await platform.claims.claim(await takeDelivery(platform, queue), "worker_a");
  if (claim === null) throw new Error(`${queue}: nothing to claim`);
  return claim;
}

async function endAll({ children, childQueue }: Family): Promise<void> {
  for (const _ of children) await platform.claims.finish(await claimNext(childQueue), { state: "succeeded" });
}

describe("a fan-out", () => {
  test("is delivered once, when the last of its children has ended", async () => {
    const family = await newFamily();
    expect(await platform.queue.take(family.parentQueue)).toBeNull();
    await platform.claims.finish(await claimNext(family.childQueue), { state: "succeeded" });
    expect(await platform.queue.take(family.parentQueue)).toBeNull();
    await platform.claims.finish(await claimNext(family.childQueue), { state: "failed", error: { code: "X" } });
    const claim = await claimNext(family.parentQueue);
    expect(claim.jobId).toBe(family.parent.id);
    expect((await platform.claims.finish(claim, { state: "succeeded", result: { put: "together" } })).state).toBe(
      "succeeded",
    );
    expect(await platform.queue.take(family.parentQueue)).toBeNull();
  });

  test("is left alone by the reconciler while it waits, and found by it when nobody told it of the end", async () => {
    const family = await newFamily();
    expect(await platform.claims.reconcile()).not.toContain(family.parent.id);
    expect((await row(family.parent.id)).delivery_id).toBeNull();
    // As a worker that died between the end of the last child and its word to the parent would leave it.
    await platform.db.job.updateMany({ where: { parent_id: family.parent.id }, data: { state: "succeeded" } });
    await platform.claims.reconcile();
    expect((await claimNext(family.parentQueue)).jobId).toBe(family.parent.id);
  });

  test("runs as soon as a child does, and shows the sum of their progress", async () => {
    const family = await newFamily();
    const first = await claimNext(family.childQueue);
    await platform.claims.progress(first, { done: 30, total: 100, unit: "tokens", rate: 5, eta_s: 14 });
    await platform.claims.reconcile();
    // Until every child has said how much it has to do, children are what can be counted.
    expect(await row(family.parent.id)).toMatchObject({
      state: "running",
      progress: { done: 0, total: 2, unit: "jobs" },
    });
    const second = await claimNext(family.childQueue);
    await platform.claims.progress(second, { done: 10, total: 100, unit: "tokens", rate: 5, eta_s: 18 });
    await platform.claims.reconcile();
    expect((await row(family.parent.id)).progress).toEqual({
      done: 40,
      total: 200,
      unit: "tokens",
      rate: 10,
      eta_s: 16,
    });
  });

  test("takes its children along when it is canceled, and ends when the last of them has stopped", async () => {
    const family = await newFamily();
    const running = await claimNext(family.childQueue);
    await platform.jobs.requestCancel(platform.workspaceId, family.parent.id);
    expect((await row(family.parent.id)).state).not.toBe("canceled");
    expect((await platform.claims.heartbeat(running)).cancelRequested).toBe(true);
    expect((await row(family.children[1]!)).state).toBe("canceled");
    await platform.claims.finish(running, { state: "canceled" });
    expect((await row(family.parent.id)).state).toBe("canceled");
    expect(await platform.queue.take(family.parentQueue)).toBeNull();
  });

  test("that is canceled before anything ran ends at once", async () => {
    const family = await newFamily();
    const canceled = await platform.jobs.requestCancel(platform.workspaceId, family.parent.id);
    expect(canceled?.state).toBe("canceled");
  });

  test("resumed, runs again only what did not succeed", async () => {
    const family = await newFamily();
    await platform.claims.finish(await claimNext(family.childQueue), { state: "succeeded" });
    const failed = await claimNext(family.childQueue);
    await platform.claims.finish(failed, { state: "failed", error: { code: "X" } });
    await platform.claims.finish(await claimNext(family.parentQueue), { state: "failed", error: { code: "Y" } });
    const resumed = await platform.jobs.resume(platform.workspaceId, family.parent.id);
    expect(resumed).toMatchObject({ state: "queued", error: null, delivery_id: null });
    const again = await claimNext(family.childQueue);
    expect(again.jobId).toBe(failed.jobId);
    await platform.claims.finish(again, { state: "succeeded" });
    expect((await claimNext(family.parentQueue)).jobId).toBe(family.parent.id);
  });

  test("whose own run failed is delivered again when it is resumed", async () => {
    const family = await newFamily(1);
    await endAll(family);
    await platform.claims.finish(await claimNext(family.parentQueue), { state: "failed", error: { code: "Y" } });
    expect(await platform.jobs.resume(platform.workspaceId, family.parent.id)).not.toBe("refused");
    await platform.claims.finish(await claimNext(family.parentQueue), { state: "succeeded" });
    expect(await platform.jobs.resume(platform.workspaceId, family.parent.id)).toBe("refused");
  });

  test("is brought up to date by many processes at once, and delivered once", async () => {
    const family = await newFamily(1);
    const other = await platform.another();
    await platform.db.job.updateMany({ where: { parent_id: family.parent.id }, data: { state: "succeeded" } });
    await Promise.all([platform.claims.reconcile(), other.claims.reconcile(), platform.claims.reconcile()]);
    await takeDelivery(platform, family.parentQueue);
    expect(await platform.queue.take(family.parentQueue)).toBeNull();
  });
});
