import { afterAll, beforeAll, expect, test } from "vitest";
import { Capabilities } from "../../domain/capabilities.ts";
import { newId } from "../../domain/id.ts";
import { jobKindNames } from "../../domain/job.ts";
import { interactiveQueue } from "../../platform/queue.ts";
import { testWorkspace } from "../support/platform.ts";
import { expectBody, modelRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await testApi();
});
afterAll(() => api.close());

async function worker(workerClass: "interactive" | "batch", queues: string[], capability: object): Promise<string> {
  const id = newId("worker");
  const about = { hostname: "here", pid: 1, version: "test", device: "cpu" } as const;
  await api.platform.workers.register({ id, class: workerClass, ...about, queues, capability: { ...capability } });
  return id;
}
const read = async (): Promise<Capabilities> => {
  const response = await api.admin.get("/v1/capabilities");
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(Capabilities, response.body);
  return response.body;
};

test("without workers every kind is known and none can be done", async () => {
  const { job_kinds, served_models, workers } = await read();
  expect(Object.keys(job_kinds).sort()).toEqual([...jobKindNames].sort());
  expect(Object.values(job_kinds)).not.toContain(true);
  expect([served_models, workers]).toEqual([[], []]);
});

test("what the workers say of themselves can be done, until they leave", async () => {
  const mine = await modelRow(api, api.platform.workspaceId);
  const other = await modelRow(api, await testWorkspace(api.platform, "other"));
  const queues = [mine, other].map((model) => interactiveQueue(model.id));
  const batch = await worker("batch", ["batch.any"], {
    kinds: ["sae.train"],
    threads: 2,
    memory_bytes: 1e9,
    runtime: "r",
  });
  const serving = await worker("interactive", queues, { threads: 1 });
  const now = await read();
  expect(now.job_kinds).toMatchObject({ "sae.train": true, "model.import": false });
  expect(now.served_models).toEqual([{ id: mine.id, name: mine.name, workers: 1 }]);
  expect(now.workers).toMatchObject([
    { class: "batch", threads: 2, memory_bytes: 1e9, runtime: "r", job_kinds: ["sae.train"], models: [] },
    { class: "interactive", job_kinds: [], models: [mine.id] },
  ]);
  expect(JSON.stringify(now)).not.toContain(other.id);

  await api.platform.workers.beat(serving, { draining: true });
  await api.platform.workers.remove(batch);
  const later = await read();
  expect(later.served_models).toEqual([]);
  expect(later.job_kinds["sae.train"]).toBe(false);
});
