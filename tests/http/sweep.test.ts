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

const sweep = (changes: object = {}) => {
  const input = {
    ...{ model_id: model.name, prompts: ["one", "two"], features: [`${sae.name}:3`], strengths: [1, 2] },
    goal: { type: "regex", pattern: "a+" },
    ...changes,
  };
  return api.admin.post("/v1/jobs").send({ kind: "steering.sweep", input });
};

test("a sweep is queued with its defaults, and ids for names", async () => {
  const when = { feature: `${sae.name}:1` };
  const response = await sweep({ when, goal: { type: "feature", feature: `${sae.name}:5` } });
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expect(response.body.input).toMatchObject({
    ...{
      model_id: model.id,
      features: [`${sae.id}:3`],
      op: "add",
      unit: "residual_norm",
      max_tokens: 48,
      held_out: 0.5,
    },
    goal: { type: "feature", feature: `${sae.id}:5`, direction: "more" },
    when: { feature: `${sae.id}:1` },
    controls: { random_features: 3, negative_strength: true },
    limits: { perplexity_ratio: 3, distinct_ratio: 0.5, length_ratio: 0.5 },
  });
});

test("the resolved input of a sweep can be sent again and means the same", async () => {
  const first = await sweep({ op: "ablate", strengths: undefined, dataset_id: dataset.name, prompts: undefined });
  expect(first.status, JSON.stringify(first.body)).toBe(202);
  const again = await api.admin.post("/v1/jobs").send({ kind: "steering.sweep", input: first.body.input });
  expect(again.status, JSON.stringify(again.body)).toBe(202);
  expect(again.body.input).toEqual(first.body.input);
});

test("what contradicts itself is refused where it stands", async () => {
  const refused = async (changes: object, pointer: string, code = "SETTINGS_CONTRADICTORY") =>
    expectProblem(await sweep(changes), code as "SETTINGS_CONTRADICTORY", pointer);
  await refused({ prompts: undefined }, "/input/prompts");
  await refused({ dataset_id: dataset.name }, "/input/prompts");
  await refused({ where: { language: "en" } }, "/input/where");
  await refused({ prompts: undefined, dataset_id: dataset.name, where: { nothing: "x" } }, "/input/where");
  await refused({ features: undefined }, "/input/features");
  await refused({ features: [`${sae.name}:3`, `${sae.id}:3`] }, "/input/features");
  await refused({ strengths: undefined }, "/input/strengths");
  await refused({ op: "ablate" }, "/input/strengths");
  await refused({ op: "scale", unit: "absolute" }, "/input/unit", "STEERING_INVALID");
  await refused({ features: [`${sae.name}:3`, `${sae.name}:999999`] }, "/input/features/1", "FEATURE_NOT_FOUND");
  await refused({ vectors: [{ layer: 0, values: [1] }] }, "/input/vectors/0/values", "DIMENSION_MISMATCH");
  await refused({ apply: { prompt: false, generation: false } }, "/input/apply", "SELECTION_EMPTY");
  const strengths = Array.from({ length: 64 }, (_, i) => i + 1);
  const features = Array.from({ length: 8 }, (_, i) => `${sae.name}:${i}`);
  const prompts = Array.from({ length: 400 }, (_, i) => `prompt ${i}`);
  await refused({ strengths, features, prompts }, "/input/prompts");
});

test("goals that cannot be scored are refused at submission", async () => {
  const refused = async (goal: object, pointer: string, code = "VALIDATION_FAILED") =>
    expectProblem(await sweep({ goal }), code as "VALIDATION_FAILED", pointer);
  await refused({ type: "script", script: "Elvish" }, "/input/goal/script");
  // RE2 has no look-ahead: patterns that a backtracking engine could be stuck in do not exist.
  await refused({ type: "regex", pattern: "(?=a)b" }, "/input/goal/pattern");
  await refused({ type: "regex", pattern: "(a" }, "/input/goal/pattern");
  const endpoint = { url: "https://judge.example/v1", model: "judge" };
  await refused({ type: "endpoint", endpoint, prompt: "Is it good?" }, "/input/goal/prompt");
  await refused(
    { type: "endpoint", endpoint: { ...endpoint, url: "file:///etc" }, prompt: "{text}" },
    "/input/goal/endpoint/url",
  );
  const nameless = { ...endpoint, secret: "nowhere" };
  const absent = await sweep({ goal: { type: "endpoint", endpoint: nameless, prompt: "{text}" } });
  expect(absent.status).toBe(422);
  await refused({ type: "feature", feature: `${sae.name}:999999` }, "/input/goal/feature", "FEATURE_NOT_FOUND");
  await refused({ type: "feature", feature: "nowhere:1" }, "/input/goal/feature", "REFERENCE_NOT_FOUND");
});

test("a search is queued with ids for names; one side of a contrast alone, and saes of another model, are refused", async () => {
  const search = (changes: object = {}) => {
    const input = {
      ...{ model_id: model.name, sae_ids: [sae.name], prompts: ["one", "two"], strengths: [1, 2] },
      ...{
        goal: { type: "script", script: "Han" },
        positive: { texts: ["a"] },
        negative: { dataset_id: dataset.name },
      },
      ...changes,
    };
    return api.admin.post("/v1/jobs").send({ kind: "steering.search", input });
  };
  const queued = await search();
  expect(queued.status, JSON.stringify(queued.body)).toBe(202);
  expect(queued.body.input).toMatchObject({
    ...{ model_id: model.id, sae_ids: [sae.id], shortlist: 16, op: "add", unit: "residual_norm" },
    negative: { dataset_id: dataset.id },
  });
  const again = await api.admin.post("/v1/jobs").send({ kind: "steering.search", input: queued.body.input });
  expect(again.body.input, JSON.stringify(again.body)).toEqual(queued.body.input);
  expect((await search({ positive: undefined, negative: undefined })).status).toBe(202);
  expectProblem(await search({ negative: undefined }), "SETTINGS_CONTRADICTORY", "/input/negative");
  const other = await saeRow(api, await modelRow(api, api.platform.workspaceId));
  expectProblem(await search({ sae_ids: [other.name] }), "SAE_MODEL_MISMATCH", "/input/sae_ids/0");
  expectProblem(await search({ op: "ablate" }), "VALIDATION_FAILED", "/input/op");
});
