import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProblemCode } from "../../domain/problem.ts";
import { maximumBatchBytes } from "../../domain/steering-batch.ts";
import type { Model, Sae } from "../../platform/database.ts";
import { datasetOf, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
let sae: Sae;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  sae = await saeRow(api, model);
  dataset = await datasetOf(api.admin);
});
afterAll(() => api.close());

const batch = (input: object) => api.admin.post("/v1/jobs").send({ kind: "steering.batch", input });
const ablate = (feature: string) => ({ edits: [{ feature, op: "ablate" }] });

test("a batch is queued with the ids of its dataset and model, which then cannot be deleted", async () => {
  const body = { model: model.name, max_tokens: 4, steering: ablate(`${sae.name}:1`) };
  const made = await batch({ dataset_id: dataset.name, body });
  expect(made.status, JSON.stringify(made.body)).toBe(202);
  expect(made.body.input).toEqual({
    dataset_id: dataset.id,
    body: { ...body, model: model.id, steering: ablate(`${sae.id}:1`) },
  });
  expectProblem(await api.admin.delete(`/v1/models/${model.id}`), "RESOURCE_IN_USE");
  expectProblem(await api.admin.delete(`/v1/saes/${sae.id}`), "RESOURCE_IN_USE");
});

test("a variant that a batch names cannot be deleted before its end", async () => {
  const steering = ablate(`${sae.name}:1`);
  const variant = await api.admin.post("/v1/variants").send({ name: "kept", model_id: model.name, steering });
  const made = await batch({ dataset_id: dataset.name, body: { model: "kept" } });
  expect(made.body.input.body).toEqual({ model: variant.body.id });
  expectProblem(await api.admin.delete("/v1/variants/kept"), "RESOURCE_IN_USE");
});

test("one source is needed, and it must be there and small enough", async () => {
  expectProblem(await batch({}), "SETTINGS_CONTRADICTORY", "/input/artifact_id");
  expectProblem(
    await batch({ artifact_id: "a", dataset_id: dataset.id }),
    "SETTINGS_CONTRADICTORY",
    "/input/artifact_id",
  );
  expectProblem(await batch({ dataset_id: "none" }), "REFERENCE_NOT_FOUND", "/input/dataset_id");
  expectProblem(await batch({ artifact_id: "none" }), "REFERENCE_NOT_FOUND", "/input/artifact_id");
  const { platform } = api;
  const { workspaceId } = platform;
  const blob = await platform.store.put(workspaceId, Buffer.from("{}"));
  const artifact = await platform.artifacts.create({ workspaceId, name: "b", contentType: "application/jsonl", blob });
  const large = { state: "visible" as const, size_bytes: BigInt(maximumBatchBytes + 1) };
  await platform.db.artifact.update({ where: { id: artifact.id }, data: large });
  expectProblem(await batch({ artifact_id: artifact.id }), "DATASET_TOO_LARGE", "/input/artifact_id");
});

test("what every line would be refused for is refused at once", async () => {
  const refused = async (body: object, code: ProblemCode, pointer: string) =>
    expectProblem(await batch({ dataset_id: dataset.id, body }), code, pointer);
  await refused({ model: "none" }, "REFERENCE_NOT_FOUND", "/input/body/model");
  await refused({ temprature: 1 }, "VALIDATION_FAILED", "/input/body/temprature");
  await refused({ max_tokens: 0 }, "VALIDATION_FAILED", "/input/body/max_tokens");
  const steered = (steering: object) => ({ model: model.name, steering });
  const at = "/input/body/steering/edits/0";
  await refused(steered(ablate(`${sae.name}:${sae.width}`)), "FEATURE_NOT_FOUND", `${at}/feature`);
  await refused(steered({ edits: [{ feature: `${sae.name}:1`, op: "set" }] }), "STEERING_INVALID", `${at}/value`);
  const other = await saeRow(api, await modelRow(api, api.platform.workspaceId));
  await refused(steered(ablate(`${other.name}:1`)), "SAE_MODEL_MISMATCH", `${at}/feature`);
});
