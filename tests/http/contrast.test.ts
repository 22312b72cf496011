import { afterAll, beforeAll, expect, test } from "vitest";
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

const contrast = (changes: object = {}) => {
  const input = { sae_ids: [sae.name], positive: { texts: ["one"] }, negative: { texts: ["two"] }, ...changes };
  return api.admin.post("/v1/jobs").send({ kind: "features.contrast", input });
};

test("a contrast is queued with its defaults and ids for names", async () => {
  const response = await contrast({ negative: [{ dataset_id: dataset.name }, { texts: ["two"] }] });
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expect(response.body.input).toMatchObject({
    ...{ model_id: model.id, sae_ids: [sae.id], statistic: "mean_difference", top: 20, shuffles: 200, draws: 500 },
    negative: [{ dataset_id: dataset.id }, { texts: ["two"] }],
    leave_out: { first_position: true, special_tokens: true, shared_prefix: false, registers: true },
  });
});

test("sets that say too much or too little are refused where they stand", async () => {
  const refused = async (changes: object, pointer: string) =>
    expectProblem(await contrast(changes), "SETTINGS_CONTRADICTORY", pointer);
  await refused({ positive: {} }, "/input/positive");
  await refused({ positive: { texts: ["a"], dataset_id: dataset.name } }, "/input/positive");
  await refused({ positive: { texts: ["a"], where: { language: "en" } } }, "/input/positive/where");
  await refused({ negative: [{ texts: ["a"] }, {}] }, "/input/negative/1");
  await refused({ negative: undefined }, "/input/negative");
  await refused({ statistic: "repetition" }, "/input/negative");
  await refused({ positive: { dataset_id: dataset.name, where: { nothing: "x" } } }, "/input/positive/where");
  expectProblem(
    await contrast({ positive: { dataset_id: "none" } }),
    "REFERENCE_NOT_FOUND",
    "/input/positive/dataset_id",
  );
});

test("saes of two models, and one sae twice, are refused", async () => {
  const other = await saeRow(api, await modelRow(api, api.platform.workspaceId));
  expectProblem(await contrast({ sae_ids: [sae.name, other.name] }), "SAE_MODEL_MISMATCH", "/input/sae_ids/1");
  expectProblem(await contrast({ sae_ids: [sae.name, sae.id] }), "SETTINGS_CONTRADICTORY", "/input/sae_ids/1");
});
