import { afterAll, beforeAll, expect, test } from "vitest";
import { Job } from "../../domain/job.ts";
import { Sae } from "../../domain/sae.ts";
import type { Model } from "../../platform/database.ts";
import { datasetOf, expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
beforeAll(async () => {
  api = await testApi({ MODEL_ROOTS: "/" });
  model = await modelRow(api, api.platform.workspaceId);
});
afterAll(() => api.close());

const given = (changes: object = {}) => ({
  name: "imported",
  model_id: model.name,
  layer: 1,
  source: { type: "directory", path: import.meta.dirname },
  layout: "saelens",
  ...changes,
});

test("importing an sae starts a job whose input names the model by id", async () => {
  const response = await api.admin.post("/v1/saes").send(given());
  expect(response.status).toBe(202);
  expectBody(Job, response.body);
  expect(response.body).toMatchObject({ kind: "sae.import", input: { model_id: model.id, layer: 1 } });
});

test("an unknown model, a layer that it lacks and an unknown layout are refused at their fields", async () => {
  const send = (changes: object) => api.admin.post("/v1/saes").send(given({ name: "other", ...changes }));
  expectProblem(await send({ model_id: "none" }), "REFERENCE_NOT_FOUND", "/model_id");
  expectProblem(await send({ layer: 4 }), "LAYER_OUT_OF_RANGE", "/layer");
  expectProblem(await send({ layer: -1 }), "VALIDATION_FAILED", "/layer");
  expectProblem(await send({ layout: "own" }), "VALIDATION_FAILED", "/layout");
});

test("saes are listed by model, release and layer, and read by id and name", async () => {
  const sae = await saeRow(api, model, { layer: 2, metrics: { l0_per_token: 4 } });
  await saeRow(api, model, { layer: 3 });
  const read = await api.admin.get(`/v1/saes/${sae.id}`);
  expectBody(Sae, read.body);
  expect(read.body).toMatchObject({ id: sae.id, model_id: model.id, width: 32, k: 4, metrics: { l0_per_token: 4 } });
  expect((await api.admin.get(`/v1/saes/${sae.name}`)).body).toEqual(read.body);
  const ids = async (query: string) =>
    (await api.admin.get(`/v1/saes?${query}`)).body.data.map((one: { id: string }) => one.id);
  expect(await ids(`model_id=${model.name}&layer=2`)).toEqual([sae.id]);
  expect(await ids(`release_id=${sae.release_id}`)).toEqual([sae.id]);
  expect(await ids("model_id=none")).toEqual([]);
  expectProblem(await api.admin.get("/v1/saes/none"), "SAE_NOT_FOUND");
});

test("an sae that an unfinished job reads is not deleted", async () => {
  const sae = await saeRow(api, model);
  const dataset = await datasetOf(api.admin);
  const job = await api.admin.post("/v1/jobs").send({
    kind: "benchmark.analyze",
    input: { model_id: model.id, sae_ids: [sae.name], benchmarks: [{ dataset_id: dataset.name }] },
  });
  expect(job.status).toBe(202);
  const refused = await api.admin.delete(`/v1/saes/${sae.id}`);
  expectProblem(refused, "RESOURCE_IN_USE");
  expect(refused.body.detail).toContain(job.body.id);
  expectProblem(await api.admin.delete(`/v1/datasets/${dataset.id}`), "RESOURCE_IN_USE");
  await api.admin.post(`/v1/jobs/${job.body.id}/cancel`);
  expect((await api.admin.delete(`/v1/saes/${sae.id}`)).status).toBe(204);
  expect((await api.admin.delete(`/v1/datasets/${dataset.id}`)).status).toBe(204);
});

test("several layers are planned as one import, each with a name of its own", async () => {
  const several = (changes: object) =>
    given({ name: "many", layer: undefined, layers: { from: 1, to: 3 }, ...changes });
  const response = await api.admin.post("/v1/saes").send(several({}));
  expect(response.status).toBe(202);
  expect(response.body.input).toMatchObject({ layers: [1, 2] });
  const send = (changes: object) => api.admin.post("/v1/saes").send(several({ name: "more", ...changes }));
  expectProblem(await send({ layers: { from: 2, to: 2 } }), "VALIDATION_FAILED", "/layers");
  expectProblem(await send({ layers: [3, 4] }), "LAYER_OUT_OF_RANGE", "/layers");
  expectProblem(await send({ layer: 1 }), "VALIDATION_FAILED", "/layer");
  expectProblem(await send({ layers: undefined }), "VALIDATION_FAILED", "/layer");
  await saeRow(api, model, { name: "more-layer2" });
  expectProblem(await send({}), "NAME_TAKEN", "/name");
});

test("a Qwen-Scope import needs k from a folder's name or from the request, and not two different ones", async () => {
  const artifact = await api.admin.post("/v1/artifacts").send({ size_bytes: 0, digest: "0".repeat(64) });
  const send = (path: string, changes: object) => {
    const source = { type: "artifacts", files: [{ path, artifact_id: artifact.body.id }] };
    return api.admin.post("/v1/saes").send(given({ name: "qwen", layout: "qwen_scope", source, ...changes }));
  };
  expectProblem(await send("layer1.sae.pt", {}), "VALIDATION_FAILED", "/k");
  expectProblem(await send("SAE-Res-X-W32K-L0_50/layer1.sae.pt", { k: 100 }), "SETTINGS_CONTRADICTORY", "/k");
});

test("an export is refused for what its layout cannot hold, at the sae", async () => {
  const other = await modelRow(api, api.platform.workspaceId, { name: "other-model" });
  const a = await saeRow(api, model, { layer: 1 });
  const send = (layout: string, saes: readonly { id: string }[], changes: object = {}) => {
    const input = { sae_ids: saes.map(({ id }) => id), layout, ...changes };
    return api.admin.post("/v1/jobs").send({ kind: "sae.export", input });
  };
  const sameLayer = await saeRow(api, model, { layer: 1 });
  const wider = await saeRow(api, model, { layer: 2, width: 64 });
  const elsewhere = await saeRow(api, other, { layer: 3 });
  const jump = await saeRow(api, model, { layer: 3, architecture: "jumprelu", k: null });
  expectProblem(await send("sparsify", [a, sameLayer]), "SETTINGS_CONTRADICTORY", "/input/sae_ids/1");
  expectProblem(await send("sparsify", [a, elsewhere]), "SETTINGS_CONTRADICTORY", "/input/sae_ids/1");
  expectProblem(await send("qwen_scope", [a, wider]), "SETTINGS_CONTRADICTORY", "/input/sae_ids/1");
  expectProblem(await send("qwen_scope", [jump]), "SETTINGS_CONTRADICTORY", "/input/sae_ids/0");
  expectProblem(await send("saelens", [{ id: "none" }]), "REFERENCE_NOT_FOUND", "/input/sae_ids/0");
  expectProblem(await send("onnx", [a], { precision: "float16" }), "SETTINGS_CONTRADICTORY", "/input/precision");
  const accepted = await send("onnx", [a, jump]);
  expect(accepted.status).toBe(202);
  expectBody(Job, accepted.body);
  expectProblem(await api.admin.delete(`/v1/saes/${a.id}`), "RESOURCE_IN_USE");
});
