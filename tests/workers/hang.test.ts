import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
let worker: Worker;
beforeAll(async () => {
  deployment = await deploy({ STEP_DEADLINE_SECONDS: "10" });
  worker = await deployment.worker("batch");
});
afterAll(() => deployment.close());

describe("a device that hangs", () => {
  test("is killed when its step is overdue, and the job is done by the next", async () => {
    const { platform } = deployment;
    const input = { name: "tiny", source: { type: "directory", path: fixtureModel } };
    const stuck = worker.devicePid()!;
    // Stopped before the job comes: it accepts the job and never answers.
    process.kill(stuck, "SIGSTOP");
    const jobId = await deployment.submit("model.import", input);
    await eventOf(platform, jobId, (event) => event.type === "crashed");
    expect(() => process.kill(stuck, 0)).toThrow("ESRCH");
    expect(await deployment.ended(jobId)).toMatchObject({ state: "succeeded", attempt: 2 });
  });
});
