import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { thinJobEvents } from "../../platform/job-events.ts";
import type { JobClaim } from "../../platform/jobs.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

async function running(): Promise<JobClaim> {
  const job = { id: newId("job"), workspaceId: platform.workspaceId, kind: "test", input: {} };
  const { queue } = await platform.db.$transaction((tx) =>
    platform.jobs.create(tx, { ...job, queue: `batch.test-${job.id}` }),
  );
  return (await platform.claims.claim(await takeDelivery(platform, queue), "worker_a")) as JobClaim;
}

const events = (claim: JobClaim) => platform.jobs.events(claim.jobId, 0, 100);

async function report(claim: JobClaim, from: number, to: number): Promise<void> {
  for (let done = from; done <= to; done++) {
    await platform.claims.progress(claim, { done });
    await platform.claims.appendEvent(claim, "metrics", { step: done });
  }
}

test("of a running job the newest progress and metrics stay, and every other event", async () => {
  const [long, short] = [await running(), await running()];
  await report(long, 1, 3);
  await platform.claims.appendEvent(long, "warning", { text: "cold" });
  await report(long, 4, 6);
  await report(short, 1, 2);
  const before = await events(long);
  expect(await thinJobEvents(platform.db, 4)).toBe(8);
  const after = await events(long);
  expect(after.map(({ type }) => type)).toEqual([
    "queued",
    "started",
    "warning",
    "progress",
    "metrics",
    "progress",
    "metrics",
  ]);
  expect(after.slice(-4)).toEqual(before.slice(-4));
  expect(await events(short)).toHaveLength(6);
  expect(await thinJobEvents(platform.db, 4)).toBe(0);
});

test("a reader that comes back with the cursor of an event that is gone gets all that came after it", async () => {
  const claim = await running();
  await report(claim, 1, 5);
  const cursor = (await events(claim))[3]!.seq;
  await thinJobEvents(platform.db, 2);
  const rest = await platform.jobs.events(claim.jobId, cursor, 100);
  expect(rest.map(({ type, data }) => [type, data])).toEqual([
    ["progress", { done: 5 }],
    ["metrics", { step: 5 }],
  ]);
});
