import { afterAll, beforeAll, expect, test } from "vitest";
import { datasetOf, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let input: object;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi();
  const model = await modelRow(api, api.platform.workspaceId);
  const sae = await saeRow(api, model);
  dataset = await datasetOf(api.admin);
  input = { model_id: model.id, sae_ids: [sae.id], benchmarks: [{ dataset_id: dataset.id, name: "quiz" }] };
});
afterAll(() => api.close());

const submit = (changes: object = {}) =>
  api.admin.post("/v1/jobs").send({ kind: "benchmark.analyze", input: { ...input, ...changes } });
const scores = (benchmarks: object[], rest: object = {}) =>
  submit({ scores: { models: ["a", "b"], benchmarks, ...rest } });

test("scores of a benchmark or a model that is not there are refused where they stand", async () => {
  const unknown = await scores([{ name: "other", scores: { a: 1 } }]);
  expectProblem(unknown, "SETTINGS_CONTRADICTORY", "/input/scores/benchmarks/0/name");
  expect(unknown.body.detail).toContain("quiz");
  const model = await scores([{ name: "quiz", scores: { a: 1, "c/d": 2 } }]);
  expectProblem(model, "SETTINGS_CONTRADICTORY", "/input/scores/benchmarks/0/scores/c~1d");
  const twice = await scores([{ name: "quiz" }, { name: "quiz" }]);
  expectProblem(twice, "SETTINGS_CONTRADICTORY", "/input/scores/benchmarks/1/name");
  const given = await scores([{ name: "quiz", scores: { a: 1 } }], { given: "mmlu" });
  expectProblem(given, "SETTINGS_CONTRADICTORY", "/input/scores/given");
});

test("scores of another number of samples are refused with both numbers", async () => {
  const response = await scores([{ name: "quiz", sample_scores: { a: [1] } }]);
  expectProblem(response, "SETTINGS_CONTRADICTORY", "/input/scores/benchmarks/0/sample_scores/a");
  expect(response.body.detail).toMatch(/has \d+ samples, here are 1 scores/);
});

test("a neutral text is named like any dataset", async () => {
  expectProblem(await submit({ neutral_dataset_id: "none" }), "REFERENCE_NOT_FOUND", "/input/neutral_dataset_id");
  const fine = await submit({ neutral_dataset_id: dataset.name });
  expect(fine.body.input).toMatchObject({ neutral_dataset_id: dataset.id, overlong: "cut", reuse: true });
});

test("the same analysis submitted twice with one key is one job", async () => {
  const send = () =>
    api.admin.post("/v1/jobs").set("Idempotency-Key", "analysis").send({ kind: "benchmark.analyze", input });
  const [first, second] = [await send(), await send()];
  expect(first.status).toBe(202);
  expect(second.body).toEqual(first.body);
  expect(second.headers["idempotency-replayed"]).toBe("true");
  expect(await api.platform.db.job.count({ where: { id: first.body.id } })).toBe(1);
});
