// One workspace cannot see, name, change or delete what belongs to another: for each of them it does not exist.
import type { Agent } from "supertest";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Dataset, Model, Sae } from "../../platform/database.ts";
import { testWorkspace } from "../support/platform.ts";
import { expectOpenAIError, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let stranger: Agent;
let model: Model;
let sae: Sae;
let dataset: Dataset;
let artifactId: string;
let jobId: string;
beforeAll(async () => {
  api = await testApi();
  stranger = await api.as(await testWorkspace(api.platform, "strangers"));
  model = await modelRow(api, api.platform.workspaceId);
  sae = await saeRow(api, model);
  const made = await api.admin
    .post("/v1/datasets")
    .send({ name: "ours", samples: [{ text: "private" }, { text: "too" }] });
  dataset = await api.platform.db.dataset.findUniqueOrThrow({ where: { id: made.body.id } });
  artifactId = dataset.artifact_id;
  const input = { model_id: model.id, dataset_id: dataset.id, layers: [0], width: 64, k: 4, tokens: 8192 };
  jobId = (await api.admin.post("/v1/jobs").send({ kind: "sae.train", input })).body.id;
});
afterAll(() => api.close());

test("reading, changing and deleting by id or name is 404", async () => {
  for (const given of [model.id, model.name]) {
    expectOpenAIError(await stranger.get(`/v1/models/${given}`), 404, "MODEL_NOT_FOUND");
    expectProblem(await stranger.delete(`/v1/models/${given}`), "MODEL_NOT_FOUND");
  }
  for (const given of [sae.id, sae.name]) {
    expectProblem(await stranger.get(`/v1/saes/${given}`), "SAE_NOT_FOUND");
    expectProblem(await stranger.delete(`/v1/saes/${given}`), "SAE_NOT_FOUND");
    expectProblem(await stranger.post(`/v1/saes/${given}/encode`).send({ texts: ["x"] }), "SAE_NOT_FOUND");
  }
  for (const given of [dataset.id, dataset.name]) {
    expectProblem(await stranger.get(`/v1/datasets/${given}`), "DATASET_NOT_FOUND");
    expectProblem(await stranger.get(`/v1/datasets/${given}/samples`), "DATASET_NOT_FOUND");
    expectProblem(await stranger.delete(`/v1/datasets/${given}`), "DATASET_NOT_FOUND");
  }
  expectProblem(await stranger.get(`/v1/artifacts/${artifactId}`), "ARTIFACT_NOT_FOUND");
  expectProblem(await stranger.get(`/v1/artifacts/${artifactId}/content`), "ARTIFACT_NOT_FOUND");
  expectProblem(await stranger.put(`/v1/artifacts/${artifactId}/content`).send("x"), "ARTIFACT_NOT_FOUND");
  expectProblem(
    await stranger.post(`/v1/artifacts/${artifactId}/complete`).send({ parts: [{ number: 1, etag: "x" }] }),
    "ARTIFACT_NOT_FOUND",
  );
  expectProblem(await stranger.get(`/v1/jobs/${jobId}`), "JOB_NOT_FOUND");
  expectProblem(await stranger.get(`/v1/jobs/${jobId}/events`), "JOB_NOT_FOUND");
  expectProblem(await stranger.post(`/v1/jobs/${jobId}/cancel`), "JOB_NOT_FOUND");
  expectProblem(await stranger.post(`/v1/jobs/${jobId}/resume`), "JOB_NOT_FOUND");
  expect((await api.admin.get(`/v1/jobs/${jobId}`)).body.state).toBe("queued");
});

test("lists are empty", async () => {
  for (const list of ["models", "saes", "datasets", "jobs"]) {
    expect((await stranger.get(`/v1/${list}`)).body.data, list).toEqual([]);
  }
  expect((await stranger.get("/v1/keys")).body.data).toHaveLength(1);
});

test("naming it in a request is an unknown reference", async () => {
  const input = { model_id: model.id, dataset_id: dataset.id, layers: [0], width: 64, k: 4, tokens: 8192 };
  expectProblem(
    await stranger.post("/v1/jobs").send({ kind: "sae.train", input }),
    "REFERENCE_NOT_FOUND",
    "/input/model_id",
  );
  expectProblem(
    await stranger.post("/v1/datasets").send({ name: "stolen", artifact_id: artifactId }),
    "REFERENCE_NOT_FOUND",
    "/artifact_id",
  );
  const source = { type: "artifacts", files: [{ path: "a", artifact_id: artifactId }] };
  expectProblem(
    await stranger.post("/v1/models").send({ name: "m", source }),
    "REFERENCE_NOT_FOUND",
    "/source/files/0/artifact_id",
  );
  expectOpenAIError(
    await stranger.post("/v1/completions").send({ model: model.id, prompt: "x" }),
    404,
    "MODEL_NOT_FOUND",
  );
  const own = await modelRow(
    api,
    (await api.platform.db.workspace.findFirstOrThrow({ where: { name: "strangers" } })).id,
  );
  const steering = { edits: [{ feature: `${sae.id}:0`, op: "ablate" }] };
  const steered = await stranger.post("/v1/completions").send({ model: own.id, prompt: "x", steering });
  expectOpenAIError(steered, 422, "REFERENCE_NOT_FOUND", "steering.edits[0].feature");
});

test("names are free in each workspace", async () => {
  expect((await stranger.post("/v1/datasets").send({ name: "ours", samples: [{ text: "mine" }] })).status).toBe(201);
  const [mine] = (await stranger.get("/v1/datasets/ours/samples")).body.data;
  expect(mine.text).toBe("mine");
});
