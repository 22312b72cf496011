import { afterAll, beforeAll, expect, test } from "vitest";
import { Job } from "../../domain/job.ts";
import { TrainEstimate } from "../../domain/training-cost.ts";
import type { Model } from "../../platform/database.ts";
import { datasetOf, expectBody, expectProblem, modelRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  dataset = await datasetOf(api.admin);
});
afterAll(() => api.close());

const input = (changes: object = {}) => ({
  model_id: model.name,
  dataset_id: dataset.name,
  width: 64,
  k: 4,
  tokens: 8192,
  ...changes,
});
const start = (changes: object = {}) => api.admin.post("/v1/jobs").send({ kind: "sae.release", input: input(changes) });
const childrenOf = async (
  id: string,
): Promise<{ id: string; kind: string; state: string; input: { layers: number[] } }[]> =>
  (await api.admin.get(`/v1/jobs?parent_id=${id}`)).body.data.toReversed();

test("a release names every layer of its model, and queues trainings of some layers each under its name", async () => {
  const response = await start({ name: "whole", layers_per_job: 2 });
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expectBody(Job, response.body);
  const all = Array.from({ length: model.layers }, (_, layer) => layer);
  expect(response.body).toMatchObject({ kind: "sae.release", state: "queued", input: { layers: all, name: "whole" } });
  const children = await childrenOf(response.body.id);
  expect(children.map((child) => child.kind)).toEqual(children.map(() => "sae.train"));
  expect(children.flatMap((child) => child.input.layers)).toEqual(all);
  expect(Math.max(...children.map((child) => child.input.layers.length))).toBeLessThanOrEqual(2);
  const { release_id } = response.body.input;
  for (const child of children) expect(child.input).toMatchObject({ name: "whole", release_id });

  expectProblem(await start({ name: "whole" }), "NAME_TAKEN", "/input/name");

  const canceled = await api.admin.post(`/v1/jobs/${response.body.id}/cancel`);
  expect(canceled.body.state).toBe("canceled");
  expect((await childrenOf(response.body.id)).map((child) => child.state)).toEqual(children.map(() => "canceled"));
});

test("a release obeys the laws of training", async () => {
  expectProblem(await start({ layers: [0, model.layers] }), "LAYER_OUT_OF_RANGE", "/input/layers/1");
  expectProblem(await start({ k: 65 }), "K_ABOVE_WIDTH", "/input/k");
  expectProblem(await start({ layers_per_job: 0 }), "VALIDATION_FAILED", "/input/layers_per_job");
});

test("nobody else puts a job under a release", async () => {
  const release = await start();
  const training = { kind: "sae.train", input: input({ layers: [0] }), parent_id: release.body.id };
  expectProblem(await api.admin.post("/v1/jobs").send(training), "SETTINGS_CONTRADICTORY", "/parent_id");
  await api.admin.post(`/v1/jobs/${release.body.id}/cancel`);
});

test("the estimate of a release is the work of all its jobs and the memory of the largest", async () => {
  const estimate = async (kind: string, changes: object): Promise<TrainEstimate> => {
    const response = await api.admin.post("/v1/jobs/estimate").send({ kind, input: input(changes) });
    expect(response.status, JSON.stringify(response.body)).toBe(200);
    expectBody(TrainEstimate, response.body.estimate);
    return response.body.estimate;
  };
  const each = await Promise.all([0, 1].map((layer) => estimate("sae.train", { layers: [layer] })));
  const release = await estimate("sae.release", { layers: [0, 1], layers_per_job: 1 });
  expect(release.flops).toBeCloseTo(each[0]!.flops + each[1]!.flops);
  expect(release.memory_bytes).toBe(Math.max(...each.map((one) => one.memory_bytes)));
});
