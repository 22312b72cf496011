import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { releasedSuite } from "../../domain/released-suite.ts";
import type { Model } from "../../platform/database.ts";
import { expectProblem, modelRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let backbone: Model;
beforeAll(async () => {
  api = await testApi({ SECRETS_KEY: Buffer.alloc(32, 7).toString("base64") });
  backbone = await modelRow(api, api.platform.workspaceId, { layers: 36, d_model: 4096 });
});
afterAll(() => api.close());

const repo = "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50";
const body = (changes: object = {}) => ({
  ...{ name: `hub-${Math.trunc(performance.now() * 1000)}`, model_id: backbone.id, layers: { from: 3, to: 5 } },
  source: { type: "hub", repo },
  ...changes,
});
const source = (changes: object) => body({ source: { type: "hub", repo, ...changes } });

test("the releases of the suite are listed, and every one can be named as a source", async () => {
  const { body: page } = await api.admin.get("/v1/sae-releases");
  expect(page).toMatchObject({ object: "list", has_more: false, next_cursor: null, data: releasedSuite });
});

describe("an import from the hub", () => {
  test("needs a repository and layers alone: the name says layout, width and k; a key of scope write may", async () => {
    const writer = await api.as(api.platform.workspaceId, "write");
    const response = await writer.post("/v1/saes").send(body({ precision: "bfloat16" }));
    expect(response.status, JSON.stringify(response.body)).toBe(202);
    expect(response.body.input).toMatchObject({ layout: "qwen_scope", layers: [3, 4], source: { type: "hub", repo } });
    const model = { name: "from-hub", source: { type: "hub", repo: "Qwen/Qwen3-8B-Base", revision: "refs/pr/1" } };
    expect((await writer.post("/v1/models").send(model)).status).toBe(202);
  });

  test("is refused for a k, a backbone or a layer that the release does not have", async () => {
    const post = (given: object) => api.admin.post("/v1/saes").send(given);
    expectProblem(await post(body({ k: 100 })), "SETTINGS_CONTRADICTORY", "/k");
    expectProblem(await post(body({ layers: { from: 35, to: 37 } })), "LAYER_OUT_OF_RANGE", "/layers");
    const other = await modelRow(api, api.platform.workspaceId, { layers: 28, d_model: 2048 });
    const response = await post(body({ model_id: other.id }));
    expectProblem(response, "SAE_MODEL_MISMATCH", "/model_id");
    expect(response.body.detail).toContain("trained on Qwen/Qwen3-8B-Base (36 layers, d_model 4096)");
  });

  test("of any other repository needs a layout, and for Qwen-Scope's files k", async () => {
    const other = { source: { type: "hub", repo: "org/saes" } };
    expectProblem(await api.admin.post("/v1/saes").send(body(other)), "VALIDATION_FAILED", "/layout");
    const qwen = body({ ...other, layout: "qwen_scope" });
    expectProblem(await api.admin.post("/v1/saes").send(qwen), "VALIDATION_FAILED", "/k");
    expect((await api.admin.post("/v1/saes").send({ ...qwen, k: 32 })).status).toBe(202);
  });

  test.each([
    ["a repository with a path out of it", { repo: "Qwen/../secrets" }, "/source/repo"],
    ["a repository that is an address", { repo: "https://huggingface.co/Qwen/x" }, "/source/repo"],
    ["a revision with a query", { revision: "main?x=1" }, "/source/revision"],
    ["a token in place of a secret's name", { token: "hf_x" }, "/source/token"],
  ])("is refused with %s", async (_, changes, pointer) => {
    expectProblem(await api.admin.post("/v1/saes").send(source(changes)), "VALIDATION_FAILED", pointer);
  });

  test("names a secret that exists", async () => {
    const named = source({ token_secret: "hf" });
    expectProblem(await api.admin.post("/v1/saes").send(named), "REFERENCE_NOT_FOUND", "/source/token_secret");
    await api.admin.post("/v1/secrets").send({ name: "hf", value: "hf_x", hosts: ["huggingface.co"] });
    expect((await api.admin.post("/v1/saes").send(named)).status).toBe(202);
  });
});

test("what an import stored goes with its model, unless another model is made of it; an upload stays", async () => {
  const { platform } = api;
  const { workspaceId } = platform;
  const { body: job } = await api.admin
    .post("/v1/models")
    .send({ name: "to-be-stored", source: { type: "hub", repo: "org/model" } });
  const artifact = async (name: string, jobId: string | null) => {
    const blob = await platform.store.put(workspaceId, Buffer.from(name));
    const { id } = await platform.artifacts.create({ workspaceId, name, contentType: "text/plain", blob });
    await platform.db.artifact.updateMany({ where: { id }, data: { job_id: jobId } });
    return { path: name, artifact_id: id, digest: blob.digest, size_bytes: blob.sizeBytes };
  };
  const files = [await artifact("own", job.id), await artifact("both", job.id), await artifact("upload", null)];
  const model = await modelRow(api, workspaceId, { files, job_id: job.id, path: null });
  await modelRow(api, workspaceId, { files: [files[1]!], path: null });
  expect((await api.admin.delete(`/v1/models/${model.id}`)).status).toBe(204);
  await platform.artifacts.collect();
  const left = await platform.db.artifact.findMany({ where: { id: { in: files.map((file) => file.artifact_id) } } });
  expect(left.map(({ name }) => name).sort()).toEqual(["both", "upload"]);
});
