import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import { createBatchWorker } from "../../workers/batch.ts";
import { type Deployment, deploy } from "./deployment.ts";

let deployment: Deployment;
beforeAll(async () => {
  deployment = await deploy();
});
afterAll(() => deployment.close());

test("a worker that is stopped while its device starts again leaves no device behind", async () => {
  const { platform } = deployment;
  const worker = await createBatchWorker(platform, {
    workerId: newId("worker"),
    class: "batch",
    threads: 1,
    residentBytes: 1e9,
    cacheBytes: 1e8,
    maxBatch: 1,
    stepDeadlineMs: 60_000,
    cacheFolder: join(platform.config.DATA_DIR, "cache"),
    platform: platform.config,
  });
  process.kill(worker.devicePid()!, "SIGKILL");
  await expect.poll(() => worker.devicePid()).toBeNull();
  const delivery = { id: newId("request"), queue: "batch.any", attempt: 0, subject: newId("job") };
  // It starts the device before it looks at the delivery. To refuse is to give the delivery back.
  const refused = expect(worker.run(delivery)).rejects.toThrow(/device process ended at its start \(SIGKILL\)/);
  await worker.stop();
  await refused;
  expect(worker.devicePid()).toBeNull();
  await expect(worker.run(delivery)).rejects.toThrow(/abort/);
});
