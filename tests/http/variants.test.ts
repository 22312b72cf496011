import { afterAll, beforeAll, expect, test } from "vitest";
import type { CompletionInput } from "../../domain/request.ts";
import { Variant } from "../../domain/variant.ts";
import type { Model, Sae } from "../../platform/database.ts";
import { expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";
import { recite, type ScriptedWorker, scriptedWorker } from "./worker.ts";

let api: TestApi;
let model: Model;
let sae: Sae;
let worker: ScriptedWorker;
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  sae = await saeRow(api, model, { layer: 1 });
  worker = await scriptedWorker(api.platform, model.id, recite);
});
afterAll(async () => {
  await worker.stop();
  await api.close();
});

const body = (name: string, changes: object = {}) => ({
  name,
  model_id: model.name,
  steering: { edits: [{ feature: `${sae.name}:3`, op: "add", value: 2, unit: "residual_norm" }] },
  ...changes,
});
const create = (name: string, changes: object = {}) => api.admin.post("/v1/variants").send(body(name, changes));

test("a variant is kept with the ids of what it names, and read by id and name", async () => {
  const made = await create("spanish");
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  expectBody(Variant, made.body);
  expect(made.headers.location).toBe(`/v1/variants/${made.body.id}`);
  expect(made.body).toMatchObject({ model_id: model.id, steering: { edits: [{ feature: `${sae.id}:3`, value: 2 }] } });
  expect((await api.admin.get(`/v1/variants/${made.body.id}`)).body).toEqual(made.body);
  expect((await api.admin.get("/v1/variants/spanish")).body).toEqual(made.body);
  expect((await api.admin.get("/v1/variants")).body.data).toEqual([made.body]);
});

test("completions take a variant as their model, and what they add comes after its edits", async () => {
  await create("added-to");
  const complete = (changes: object = {}) =>
    api.admin.post("/v1/completions").send({ model: "added-to", prompt: "Once", ...changes });
  const plain = await complete();
  expect(plain.status, JSON.stringify(plain.body)).toBe(200);
  expect(plain.body.model).toBe("added-to");
  expect(plain.body.choices[0].role_in_experiment).toBe("steered");
  await complete({ steering: { edits: [{ feature: `${sae.name}:4`, op: "ablate" }], include_baseline: true } });
  const [first, second] = worker.inputs as [CompletionInput, CompletionInput];
  expect(first.model_id).toBe(model.id);
  expect(first.steering?.edits).toMatchObject([{ layer: 1, feature: { sae_id: sae.id, index: 3 }, value: 2 }]);
  expect(second.steering?.edits.map((edit) => edit.feature?.index)).toEqual([3, 4]);
  expect(second.sequences.map((sequence) => sequence.role)).toEqual(["steered", "baseline"]);

  const chat = await api.admin
    .post("/v1/chat/completions")
    .send({ model: "added-to", messages: [{ role: "user", content: "Hello" }] });
  expect(chat.body.model).toBe("added-to");
  expect((worker.inputs.at(-1) as CompletionInput).steering?.edits).toHaveLength(1);
});

test("models and variants share their names, both ways", async () => {
  await create("taken");
  expectProblem(await create("taken"), "NAME_TAKEN", "/name");
  expectProblem(await create(model.name), "NAME_TAKEN", "/name");
  const importing = { name: "taken", source: { type: "directory", path: "/nowhere" } };
  expectProblem(await api.admin.post("/v1/models").send(importing), "NAME_TAKEN", "/name");
});

test("steering that no request could use is refused when it is saved", async () => {
  const edits = (edit: object) => ({ steering: { edits: [edit] } });
  const add = { op: "add", value: 1 };
  expectProblem(
    await create("a", edits({ ...add, feature: "none:1" })),
    "REFERENCE_NOT_FOUND",
    "/steering/edits/0/feature",
  );
  expectProblem(
    await create("a", edits({ ...add, feature: `${sae.name}:32` })),
    "FEATURE_NOT_FOUND",
    "/steering/edits/0/feature",
  );
  expectProblem(
    await create("a", edits({ ...add, vector: { layer: 0, values: [1] } })),
    "DIMENSION_MISMATCH",
    "/steering/edits/0/vector/values",
  );
  expectProblem(await create("a", { model_id: "none" }), "REFERENCE_NOT_FOUND", "/model_id");
  expectProblem(await create("a", { steering: { edits: [] } }), "VALIDATION_FAILED", "/steering/edits");
});

test("what a variant uses is not deleted under it", async () => {
  const own = await modelRow(api, api.platform.workspaceId);
  const used = await saeRow(api, own, { layer: 1 });
  const edits = [{ feature: `${used.name}:1`, op: "ablate" }];
  const made = await create("holding", { model_id: own.name, steering: { edits } });
  expect(made.status, JSON.stringify(made.body)).toBe(201);
  const refused = await api.admin.delete(`/v1/saes/${used.id}`);
  expectProblem(refused, "RESOURCE_IN_USE");
  expect(refused.body.detail).toContain("the variant holding");
  expectProblem(await api.admin.delete(`/v1/models/${own.id}`), "RESOURCE_IN_USE");
  expect((await api.admin.delete("/v1/variants/holding")).status).toBe(204);
  expectProblem(await api.admin.get("/v1/variants/holding"), "VARIANT_NOT_FOUND");
  expect((await api.admin.delete(`/v1/saes/${used.id}`)).status).toBe(204);
});

test("another workspace neither sees a variant nor completes with it", async () => {
  await create("private");
  const workspace = await api.platform.db.workspace.create({ data: { id: "workspace_other", name: "other" } });
  await api.platform.db.variant.updateMany({ where: { name: "private" }, data: { workspace_id: workspace.id } });
  expectProblem(await api.admin.get("/v1/variants/private"), "VARIANT_NOT_FOUND");
  const response = await api.admin.post("/v1/completions").send({ model: "private", prompt: "x" });
  expect(response.status).toBe(404);
});
