import { afterAll, beforeAll, expect, test } from "vitest";
import type { Model } from "../../platform/database.ts";
import { datasetOf, expectProblem, modelRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  dataset = await datasetOf(api.admin);
});
afterAll(() => api.close());

const post = (kind: string, input: object) => api.admin.post("/v1/jobs").send({ kind, input });

async function manifest(changes: object = {}): Promise<string> {
  const { platform } = api;
  const { workspaceId } = platform;
  const row = await platform.db.dataset.findUniqueOrThrow({ where: { id: dataset.id } });
  const store = async (name: string, bytes: Buffer) => {
    const blob = await platform.store.put(workspaceId, bytes);
    return platform.artifacts.create({ workspaceId, name, contentType: "application/json", blob });
  };
  const shard = await store("shard.safetensors", Buffer.from("checked by the worker"));
  const content = {
    object: "activations",
    model: { id: model.id, name: model.name, digest: model.digest },
    dataset: { id: dataset.id, name: dataset.name, digest: row.digest },
    ...{ d_model: model.d_model, layers: [0, 1], dtype: "float32", context_tokens: 32, seed: 5 },
    ...{ holdout_fraction: 0.25, rows: 100 },
    shards: [{ artifact_id: shard.id, digest: shard.digest, rows: 100, size_bytes: 21 }],
    ...changes,
  };
  return (await store("activations.json", Buffer.from(JSON.stringify(content)))).id;
}

const training = (changes: object) =>
  post("sae.train", {
    ...{ model_id: model.name, dataset_id: dataset.name, layers: [0], width: 64, k: 4, tokens: 8192 },
    ...changes,
  });

test("a harvest is queued with its defaults, and refuses a layer that is not there", async () => {
  const input = { model_id: model.name, dataset_id: dataset.name, layers: [0] };
  const response = await post("activations.harvest", input);
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expect(response.body.input).toMatchObject({ model_id: model.id, dtype: "float32", seed: 0, holdout_fraction: 0.05 });
  const beyond = { ...input, layers: [0, model.layers] };
  expectProblem(await post("activations.harvest", beyond), "LAYER_OUT_OF_RANGE", "/input/layers/1");
});

test("a training that reads a harvest takes over what the harvest decided", async () => {
  const response = await training({ activations_id: await manifest(), layers: [1], holdout_fraction: 0.1 });
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expect(response.body.input).toMatchObject({ context_tokens: 32, holdout_fraction: 0.25 });
});

test("activations of something else are refused, each with what differs", async () => {
  const refused = async (changes: object, pointer: string, saying: RegExp, settings: object = {}) => {
    const response = await training({ activations_id: await manifest(changes), ...settings });
    expectProblem(response, "ACTIVATIONS_MISMATCH", pointer);
    expect(JSON.stringify(response.body)).toMatch(saying);
  };
  const digest = "0".repeat(64);
  const at = "/input/activations_id";
  await refused({ model: { id: "model_x", name: "other", digest } }, at, /of the model .*other/);
  await refused({ dataset: { id: "dataset_x", name: "other", digest } }, at, /of the dataset .*other/);
  await refused({ d_model: model.d_model + 1 }, at, new RegExp(`${model.d_model + 1} wide.* ${model.d_model}`));
  await refused({}, "/input/layers/1", /layer 2 was not harvested; the activations hold 0, 1/, { layers: [0, 2] });
  await refused({ shards: [] }, at, /no manifest of activations\.harvest .*\/shards: must not have fewer/);
  await refused(
    { shards: [{ artifact_id: "artifact_x", digest, rows: 1, size_bytes: 1 }] },
    at,
    /artifact_x is not there/,
  );
  expectProblem(await training({ activations_id: "artifact_x" }), "REFERENCE_NOT_FOUND", at);
});
