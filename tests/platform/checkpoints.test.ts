import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { type JobClaim, type JobRow, StaleEpoch } from "../../platform/jobs.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

/** Each test has a queue of its own, so that they do not take each other's deliveries. */
async function newJob(): Promise<JobRow> {
  const job = { id: newId("job"), workspaceId: platform.workspaceId, kind: "test", input: {} };
  return platform.db.$transaction((tx) => platform.jobs.create(tx, { ...job, queue: `batch.test-${job.id}` }));
}

async function claimed(job: JobRow): Promise<JobClaim> {
  const claim = await platform.claims.claim(await takeDelivery(platform, job.queue), "worker_a");
  expect(claim).not.toBeNull();
  return claim as JobClaim;
}

const row = (id: string) => platform.db.job.findUniqueOrThrow({ where: { id } });

const checkpoint = async (claim: JobClaim, step: number) => {
  const blob = await platform.store.put(platform.workspaceId, Buffer.from(`state at ${step} of ${claim.jobId}`));
  await platform.claims.recordCheckpoint(claim, { step, ...blob });
  return blob;
};

test("only the newest is kept, and what it replaces leaves the store unless something else points to it", async () => {
  const claim = await claimed(await newJob());
  const first = await checkpoint(claim, 10);
  const shared = await checkpoint(claim, 15);
  await platform.artifacts.create({
    workspaceId: platform.workspaceId,
    name: "kept.bin",
    contentType: "application/octet-stream",
    blob: shared,
  });
  const second = await checkpoint(claim, 20);
  expect(await platform.store.head(platform.workspaceId, first.digest)).toBeNull();
  for (const { digest } of [shared, second])
    expect(await platform.store.head(platform.workspaceId, digest)).not.toBeNull();
  expect(await platform.db.jobCheckpoint.findMany({ where: { job_id: claim.jobId } })).toMatchObject([
    { step: 20n, digest: second.digest },
  ]);
});

test("a canceled job keeps its last checkpoint and can be resumed from it", async () => {
  const claim = await claimed(await newJob());
  const blob = await checkpoint(claim, 5);
  await platform.claims.finish(claim, { state: "canceled" });
  const resumed = await platform.jobs.resume(platform.workspaceId, claim.jobId);
  expect(resumed).toMatchObject({ state: "queued", cancel_requested_at: null });
  const again = await claimed(await row(claim.jobId));
  expect(again.checkpoint).toMatchObject({ step: 5n, digest: blob.digest });
  expect(again.epoch).toBe(claim.epoch + 1);
});

test("a job that is canceled, resumed and canceled again may leave artifacts of the same name", async () => {
  const claim = await claimed(await newJob());
  const blob = await checkpoint(claim, 5);
  const cancel = async (running: JobClaim) => {
    const named = { workspaceId: platform.workspaceId, name: "partial", contentType: "text/plain", blob };
    const { id } = await platform.artifacts.create({ ...named, jobId: running.jobId });
    await platform.claims.finish(running, { state: "canceled", artifacts: [{ name: "partial", artifactId: id }] });
    return id;
  };
  await cancel(claim);
  await platform.jobs.resume(platform.workspaceId, claim.jobId);
  const newer = await cancel(await claimed(await row(claim.jobId)));
  expect((await row(claim.jobId)).state).toBe("canceled");
  expect(await platform.db.jobArtifact.findMany({ where: { job_id: claim.jobId } })).toMatchObject([
    { name: "partial", artifact_id: newer },
  ]);
});

test("a job without a checkpoint, or one that succeeded, is not resumed", async () => {
  const claim = await claimed(await newJob());
  await checkpoint(claim, 5);
  await platform.claims.finish(claim, { state: "succeeded" });
  expect(await platform.jobs.resume(platform.workspaceId, claim.jobId)).toBe("refused");
  const bare = await newJob();
  await platform.jobs.requestCancel(platform.workspaceId, bare.id);
  expect(await platform.jobs.resume(platform.workspaceId, bare.id)).toBe("refused");
});

test("a stale epoch records none and prunes none", async () => {
  const claim = await claimed(await newJob());
  await checkpoint(claim, 10);
  const stale = { ...claim, epoch: claim.epoch - 1 };
  await expect(checkpoint(stale, 30)).rejects.toThrow(StaleEpoch);
  expect((await platform.jobs.latestCheckpoint(claim.jobId))?.step).toBe(10n);
});
