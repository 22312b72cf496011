import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Dataset } from "../../domain/dataset.ts";
import { expectBody, expectProblem, type TestApi, testApi } from "./api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await testApi({ UPLOAD_LIMIT_BYTES: "100000" });
});
afterAll(() => api.close());

const upload = (name: string, file: Buffer | string, fileName: string) =>
  api.admin.post("/v1/datasets").field("name", name).attach("file", Buffer.from(file), fileName);
const samplesOf = async (name: string) => (await api.admin.get(`/v1/datasets/${name}/samples?limit=100`)).body.data;

test("samples in the body become a dataset", async () => {
  const samples = [
    { text: "Good morning.", label: "polite" },
    { text: "Go away.", label: "rude", note: null },
  ];
  const response = await api.admin.post("/v1/datasets").send({ name: "greetings", samples, metadata: { by: "me" } });
  expect(response.status).toBe(201);
  expectBody(Dataset, response.body);
  expect(response.body).toMatchObject({
    name: "greetings",
    samples: 2,
    columns: ["text", "label", "note"],
    metadata: { by: "me" },
  });
  expect(response.headers.location).toBe(`/v1/datasets/${response.body.id}`);
  expect(await samplesOf("greetings")).toEqual(samples);
  expect((await api.admin.get("/v1/datasets/greetings")).body).toEqual(response.body);
});

test("a name is used once", async () => {
  const response = await api.admin.post("/v1/datasets").send({ name: "greetings", samples: [{ text: "x" }] });
  expect(response.status).toBe(409);
  expectProblem(response, "NAME_TAKEN", "/name");
});

test("files of every format become the same samples", async () => {
  const rows = [
    { text: "eins", label: "a" },
    { text: "zwei, drei", label: "b" },
  ];
  const files: [string, string | Buffer, string][] = [
    ["jsonl", rows.map((row) => JSON.stringify(row)).join("\n"), "a.jsonl"],
    ["csv", 'text,label\neins,a\n"zwei, drei",b\n', "a.csv"],
    ["tsv", "text\tlabel\neins\ta\nzwei, drei\tb\n", "a.tsv"],
    ["gzipped", gzipSync(rows.map((row) => JSON.stringify(row)).join("\n")), "a.jsonl.gz"],
  ];
  for (const [name, content, fileName] of files) {
    const response = await upload(name, content, fileName);
    expect(response.status, JSON.stringify(response.body)).toBe(201);
    expect(response.body, name).toMatchObject({ samples: 2, columns: ["text", "label"] });
    expect(await samplesOf(name), name).toEqual(rows);
  }
});

test("fields may come after the file, and the mapping names the columns", async () => {
  const response = await api.admin
    .post("/v1/datasets")
    .attach("file", Buffer.from("content,kind\nhello,x\n"), "a.csv")
    .field("mapping", JSON.stringify({ text: "content" }))
    .field("name", "mapped");
  expect(response.status, JSON.stringify(response.body)).toBe(201);
  expect((await samplesOf("mapped"))[0]).toMatchObject({ text: "hello", kind: "x" });
});

test("an uploaded artifact becomes a dataset", async () => {
  const artifact = await api.admin
    .post("/v1/artifacts?name=lines.txt")
    .set("Content-Type", "application/octet-stream")
    .send(Buffer.from("one\ntwo\n"));
  const response = await api.admin.post("/v1/datasets").send({ name: "from-artifact", artifact_id: artifact.body.id });
  expect(response.status, JSON.stringify(response.body)).toBe(201);
  expect((await samplesOf("from-artifact")).map((one: { text: string }) => one.text)).toEqual(["one", "two"]);
  const missing = { name: "other", artifact_id: `artifact_${"0".repeat(26)}` };
  expectProblem(await api.admin.post("/v1/datasets").send(missing), "REFERENCE_NOT_FOUND", "/artifact_id");
});

test("a bad row is named with its number and leaves nothing behind", async () => {
  const short = await upload("short", "question,answer\na,b\nc\n", "a.csv");
  expect(short.status).toBe(422);
  expectProblem(short, "DATASET_INVALID");
  expect(short.body.detail).toMatch(/row 2/);
  const latin = await upload("latin", Buffer.from([0x61, 0xe9, 0x0a]), "a.txt");
  expectProblem(latin, "DATASET_ENCODING_INVALID");
  const broken = await upload("broken", '{"text": "a"}\n{"text": ', "a.jsonl");
  expectProblem(broken, "DATASET_INVALID");
  const inBody = await api.admin.post("/v1/datasets").send({ name: "body", samples: [{ text: "a" }, { text: "" }] });
  expect(inBody.status).toBe(422);
  expect(JSON.stringify(inBody.body.errors ?? [])).not.toContain("/rows/");
  expect(inBody.body.detail).toMatch(/row 2/);
  for (const name of ["short", "latin", "broken", "body"]) {
    expectProblem(await api.admin.get(`/v1/datasets/${name}`), "DATASET_NOT_FOUND");
  }
  expect(
    await api.platform.db.artifact.count({ where: { name: { in: ["short.jsonl", "latin.jsonl", "broken.jsonl"] } } }),
  ).toBe(0);
});

test("an upload without a file, with two names for it, or above the limit is refused", async () => {
  expectProblem(await api.admin.post("/v1/datasets").field("name", "nofile"), "VALIDATION_FAILED", "/file");
  const elsewhere = api.admin.post("/v1/datasets").field("name", "x").attach("upload", Buffer.from("a"), "a.txt");
  expectProblem(await elsewhere, "VALIDATION_FAILED", "/upload");
  expectProblem(await upload("", "a", "a.txt"), "VALIDATION_FAILED", "/name");
  const large = await upload("large", "x".repeat(100_001), "a.txt");
  expect(large.status).toBe(413);
  expectProblem(large, "BODY_TOO_LARGE");
  const mapping = api.admin
    .post("/v1/datasets")
    .field("name", "m")
    .field("mapping", "text=a")
    .attach("file", Buffer.from("a"), "a.txt");
  expectProblem(await mapping, "VALIDATION_FAILED", "/mapping");
  expectProblem(await upload("unknown", Buffer.from([1, 2, 3, 4]), "a.bin"), "DATASET_FORMAT_UNKNOWN");
});

test("a body without samples, or with fields we do not know, is refused", async () => {
  expectProblem(await api.admin.post("/v1/datasets").send({ name: "x" }), "VALIDATION_FAILED", "/samples");
  expectProblem(await api.admin.post("/v1/datasets").send({ name: "x", samples: [] }), "VALIDATION_FAILED", "/samples");
  const unknown = { name: "x", samples: [{ text: "a" }], shuffle: true };
  expectProblem(await api.admin.post("/v1/datasets").send(unknown), "VALIDATION_FAILED", "/shuffle");
});

test("samples come in pages in the order of the file", async () => {
  const texts = Array.from({ length: 25 }, (_, i) => `текст ${i} ${"ü".repeat(i * 50)}`);
  await api.admin.post("/v1/datasets").send({ name: "pages", samples: texts.map((text) => ({ text })) });
  const seen: string[] = [];
  let cursor = "";
  for (let pages = 0; pages < 10; pages++) {
    const page = (await api.admin.get(`/v1/datasets/pages/samples?limit=10${cursor}`)).body;
    seen.push(...page.data.map((one: { text: string }) => one.text));
    if (!page.has_more) break;
    cursor = `&cursor=${page.next_cursor}`;
  }
  expect(seen).toEqual(texts);
  expectProblem(await api.admin.get("/v1/datasets/pages/samples?cursor=x"), "CURSOR_INVALID", "/cursor");
});

test("a deleted dataset is gone with its content's row", async () => {
  const made = await api.admin.post("/v1/datasets").send({ name: "gone", samples: [{ text: "x" }] });
  const row = await api.platform.db.dataset.findUniqueOrThrow({ where: { id: made.body.id } });
  expect((await api.admin.delete("/v1/datasets/gone")).status).toBe(204);
  expectProblem(await api.admin.get("/v1/datasets/gone"), "DATASET_NOT_FOUND");
  expect(await api.platform.db.artifact.findUnique({ where: { id: row.artifact_id } })).toBeNull();
});
