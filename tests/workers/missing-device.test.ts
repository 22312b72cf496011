import { afterAll, beforeAll, expect, test } from "vitest";
import { checkDevice } from "../../engine/runtime/session.ts";
import { type Deployment, deploy } from "./deployment.ts";

const hasCuda = await checkDevice("cuda").then(
  () => true,
  () => false,
);

let deployment: Deployment;
beforeAll(async () => {
  deployment = await deploy({ DEVICE: "cuda" });
});
afterAll(() => deployment.close());

test.skipIf(hasCuda)("a worker whose device is missing does not start, and says what to install", async () => {
  await expect(deployment.worker("batch")).rejects.toThrow("ONNXRUNTIME_NODE_INSTALL=cuda12");
  await expect(deployment.worker("interactive")).rejects.toThrow("the device cuda cannot be used");
  expect(await deployment.platform.workers.live()).toEqual([]);
});
