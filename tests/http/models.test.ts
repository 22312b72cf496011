import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Job } from "../../domain/job.ts";
import { Model } from "../../domain/model.ts";
import { Page } from "../../domain/page.ts";
import { expectBody, expectOpenAIError, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let folder: string;
let root: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "models-"));
  root = join(folder, "roots");
  await mkdir(join(root, "tiny"), { recursive: true });
  await mkdir(join(folder, "roots-beside"));
  await mkdir(join(folder, "secret"));
  await symlink(join(folder, "secret"), join(root, "link-out"));
  await symlink(join(root, "tiny"), join(root, "link-in"));
  api = await testApi({ MODEL_ROOTS: root });
});
afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

const create = (name: string, path: string) =>
  api.admin.post("/v1/models").send({ name, source: { type: "directory", path } });

test("registering a model starts an import whose place is in Location", async () => {
  const response = await create("tiny", join(root, "tiny"));
  expect(response.status).toBe(202);
  expectBody(Job, response.body);
  expect(response.headers.location).toBe(`/v1/jobs/${response.body.id}`);
  expect(response.body).toMatchObject({
    kind: "model.import",
    state: "queued",
    input: { name: "tiny", precision: "float32", source: { type: "directory", path: join(root, "tiny") } },
  });
  expect((await api.admin.get(response.headers.location ?? "")).body.id).toBe(response.body.id);
});

test("a name that an unfinished import holds is taken", async () => {
  const response = await create("tiny", join(root, "tiny"));
  expect(response.status).toBe(409);
  expectProblem(response, "NAME_TAKEN", "/name");
});

test("a directory must lie below a root, by its name and by its real path", async () => {
  for (const path of [
    join(folder, "secret"),
    join(root, "..", "secret"),
    join(root, "link-out"),
    `${root}-beside`,
    "/",
    "tiny",
  ]) {
    const response = await create("outside", path);
    expect(response.status, path).toBe(422);
    expectProblem(response, "PATH_OUTSIDE_ROOTS", "/source/path");
  }
  expect((await create("through-link", join(root, "link-in"))).status).toBe(202);
});

test("a directory that is not there is refused at once; behind a link out it is outside, there or not", async () => {
  expectProblem(await create("missing", join(root, "missing")), "FILE_NOT_FOUND", "/source/path");
  expectProblem(await create("missing", join(root, "link-out", "missing")), "PATH_OUTSIDE_ROOTS", "/source/path");
});

test("a directory source needs the admin scope", async () => {
  const writer = await api.as(api.platform.workspaceId, "write");
  const response = await writer
    .post("/v1/models")
    .send({ name: "w", source: { type: "directory", path: join(root, "tiny") } });
  expectProblem(response, "SCOPE_INSUFFICIENT");
});

test("a source of artifacts must exist and name each path once", async () => {
  const missing = { path: "config.json", artifact_id: `artifact_${"0".repeat(26)}` };
  const send = (files: object[]) =>
    api.admin.post("/v1/models").send({ name: "files", source: { type: "artifacts", files } });
  expectProblem(await send([missing]), "REFERENCE_NOT_FOUND", "/source/files/0/artifact_id");
  const upload = await api.admin
    .post("/v1/artifacts")
    .set("Content-Type", "application/octet-stream")
    .send(Buffer.from("{}"));
  const file = { path: "config.json", artifact_id: upload.body.id };
  expectProblem(await send([file, file]), "SETTINGS_CONTRADICTORY", "/source/files/1/path");
  expect((await send([file])).status).toBe(202);
});

test("a body that does not fit is refused at its fields", async () => {
  expectProblem(await api.admin.post("/v1/models").send({ name: "Upper", source: {} }), "VALIDATION_FAILED", "/name");
  const unknown = { name: "x", source: { type: "ftp", host: "a" } };
  expectProblem(await api.admin.post("/v1/models").send(unknown), "VALIDATION_FAILED", "/source/type");
  const id = { name: `model_${"0".repeat(26)}`, source: { type: "directory", path: join(root, "tiny") } };
  expectProblem(await api.admin.post("/v1/models").send(id), "VALIDATION_FAILED", "/name");
});

test("a model is read by id and by name, in OpenAI's shape and ours", async () => {
  const row = await modelRow(api, api.platform.workspaceId, { name: "by-name" });
  const byId = await api.admin.get(`/v1/models/${row.id}`);
  expectBody(Model, byId.body);
  expect(byId.body).toMatchObject({
    id: row.id,
    object: "model",
    name: "by-name",
    layers: 4,
    residual_norms: [1, 2, 3, null],
  });
  expect(byId.body.created).toBe(Math.floor(row.created_at.getTime() / 1000));
  expect((await api.admin.get("/v1/models/by-name")).body).toEqual(byId.body);
  expectOpenAIError(await api.admin.get("/v1/models/none"), 404, "MODEL_NOT_FOUND");
});

test("the list is newest first, in pages that neither lose nor repeat a row", async () => {
  const workspace = await api.platform.db.workspace.create({ data: { id: "workspace_pages", name: "pages" } });
  // Three rows of one millisecond: the id must break the tie.
  const at = new Date("2026-01-01T00:00:00Z");
  const rows = [];
  for (let i = 0; i < 5; i++) {
    rows.push(await modelRow(api, workspace.id, { created_at: i < 3 ? at : new Date(at.getTime() + i) }));
  }
  const client = await api.as(workspace.id, "read");
  const seen: string[] = [];
  let cursor = "";
  for (let pages = 0; pages < 10; pages++) {
    const page = (await client.get(`/v1/models?limit=2${cursor}`)).body;
    expectBody(Page(Model, "ModelPage"), page);
    seen.push(...page.data.map((model: { id: string }) => model.id));
    expect(page.has_more).toBe(page.next_cursor !== null);
    if (!page.has_more) break;
    cursor = `&cursor=${page.next_cursor}`;
  }
  expect(seen).toEqual(rows.map((row) => row.id).reverse());
});

test("a model is deleted unless something uses it", async () => {
  const model = await modelRow(api, api.platform.workspaceId);
  const sae = await saeRow(api, model);
  const inUse = await api.admin.delete(`/v1/models/${model.name}`);
  expect(inUse.status).toBe(409);
  expectProblem(inUse, "RESOURCE_IN_USE");
  expect(inUse.body.detail).toContain(sae.id);
  expect((await api.admin.delete(`/v1/saes/${sae.id}`)).status).toBe(204);
  expect((await api.admin.delete(`/v1/models/${model.name}`)).status).toBe(204);
  expectProblem(await api.admin.delete(`/v1/models/${model.name}`), "MODEL_NOT_FOUND");
});
