import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DatasetPreview } from "../../domain/dataset-preview.ts";
import { readyTemplates } from "../../domain/ready-templates.ts";
import { Template } from "../../domain/template.ts";
import { testWorkspace } from "../support/platform.ts";
import { datasetOf, expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

const fixtures = join(import.meta.dirname, "../fixtures/benchmarks");

let api: TestApi;
beforeAll(async () => {
  api = await testApi();
});
afterAll(() => api.close());

const upload = (name: string, file: Buffer | string, fileName: string, fields: Record<string, string> = {}) => {
  const request = api.admin.post("/v1/datasets").field("name", name);
  for (const [field, value] of Object.entries(fields)) request.field(field, value);
  return request.attach("file", Buffer.from(file), fileName);
};
const preview = (file: Buffer | string, fileName: string, fields: Record<string, string> = {}) => {
  const request = api.admin.post("/v1/datasets/preview");
  for (const [field, value] of Object.entries(fields)) request.field(field, value);
  return request.attach("file", Buffer.from(file), fileName);
};
const trivia = {
  name: "trivia",
  template: "Q: {clue}\nA:",
  shot: "Q: {clue}\nA: {reply}",
  columns: ["clue", "reply"],
  mapping: { text: "clue" },
};

test("the list has the workspace's own templates before the ready ones", async () => {
  expect((await api.admin.post("/v1/templates").send(trivia)).status).toBe(201);
  const { body } = await api.admin.get("/v1/templates");
  expect(body.data.map((one: { name: string }) => one.name)).toEqual(["trivia", ...Object.keys(readyTemplates)]);
  for (const template of body.data) expectBody(Template, template);
  expect((await api.admin.get("/v1/templates/mmlu")).body).toMatchObject({
    ready: true,
    headers: [["question", "A", "B", "C", "D", "answer"]],
  });
  const other = await api.as(await testWorkspace(api.platform, "other"));
  expectProblem(await other.get("/v1/templates/trivia"), "TEMPLATE_NOT_FOUND");
  expectProblem(await api.admin.delete("/v1/templates/mmlu"), "RESOURCE_IN_USE");
});

test.each([
  [{ name: "gsm8k", template: "{x}" }, "NAME_TAKEN", "/name"],
  [{ name: "none", template: "{x}" }, "NAME_TAKEN", "/name"],
  [{ name: "trivia", template: "{x}" }, "NAME_TAKEN", "/name"],
  [{ name: "flat", template: "gsm8k" }, "VALIDATION_FAILED", "/template"],
  [{ name: "open", template: "{x" }, "VALIDATION_FAILED", "/template"],
  [{ name: "form", template: "{x|upper}" }, "VALIDATION_FAILED", "/template"],
  [{ name: "pick", template: "{x|pick}" }, "VALIDATION_FAILED", "/template"],
  [{ name: "shot", template: "{x}", shot: "{}" }, "VALIDATION_FAILED", "/shot"],
  [{ name: "empty", template: "{x}", columns: [] }, "VALIDATION_FAILED", "/columns"],
] as const)("a template that cannot be used is refused: %j", async (body, code, pointer) => {
  expectProblem(await api.admin.post("/v1/templates").send(body), code, pointer);
});

test("an upload says which template it is recognised for, however it comes", async () => {
  const file = await readFile(join(fixtures, "arc.jsonl"));
  const multipart = await upload("arc-file", file, "arc.jsonl");
  expect(multipart.body, JSON.stringify(multipart.body)).toMatchObject({ template: "arc", samples: 2 });
  const artifact = await api.admin
    .post("/v1/artifacts?name=arc.jsonl.gz")
    .set("Content-Type", "application/octet-stream")
    .send(gzipSync(file));
  const given = { name: "arc-artifact", artifact_id: artifact.body.id };
  expect((await api.admin.post("/v1/datasets").send(given)).body).toMatchObject({ template: "arc", samples: 2 });
  const samples = file
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as object);
  const inline = await api.admin.post("/v1/datasets").send({ name: "arc-body", samples });
  expect(inline.body).toMatchObject({ template: "arc", samples: 2, digest: multipart.body.digest });
  expect((await api.admin.get("/v1/datasets/arc-file/samples")).body.data[0]).toMatchObject({
    text: "Which one is a planet?",
    question: "Which one is a planet?",
    answer: "B",
    id: "Mercury_1",
  });
});

test("what is recognised can be overruled, and the client's mapping wins", async () => {
  const file = '{"question": "2+2?", "answer": "It is 4.\\n#### 4"}\n';
  expect((await upload("auto", file, "a.jsonl")).body.template).toBe("gsm8k");
  expect((await upload("none", file, "a.jsonl", { template: "none" })).body.template).toBeNull();
  expect((await upload("named", file, "a.jsonl", { template: "solved" })).body.template).toBe("solved");
  const mapped = await upload("mapped", file, "a.jsonl", { mapping: '{"text":"answer"}' });
  expect(mapped.body.template).toBe("gsm8k");
  expect((await api.admin.get("/v1/datasets/mapped/samples")).body.data[0].text).toContain("It is 4.");
  const misfit = await upload("misfit", file, "a.jsonl", { template: "mmlu" });
  expectProblem(misfit, "DATASET_INVALID", "/template");
  expect(misfit.body.detail).toContain('the shape of "mmlu", which has the columns question, a, b, c, d, answer');
  expectProblem(await upload("x", file, "a.jsonl", { template: "nope" }), "REFERENCE_NOT_FOUND", "/template");
});

test("a workspace's own template recognises its files, names their columns, and is kept while a dataset uses it", async () => {
  const recognised = await upload("quiz", "clue,reply\nWhat barks?,a dog\n", "quiz.csv");
  expect(recognised.body).toMatchObject({ template: "trivia", columns: ["clue", "reply", "text"] });
  const headless = { name: "pairs", template: "{left} =", header: ["left", "right"] };
  expect((await api.admin.post("/v1/templates").send(headless)).status).toBe(201);
  const named = await upload("headless", "1 + 1,2\n2 + 2,4\n", "a.csv", {
    template: "pairs",
    mapping: '{"text":"left"}',
  });
  expect(named.body, JSON.stringify(named.body)).toMatchObject({ template: "pairs", samples: 2 });
  const inUse = await api.admin.delete("/v1/templates/trivia");
  expectProblem(inUse, "RESOURCE_IN_USE");
  expect(inUse.body.detail).toContain("the dataset quiz");
  await api.admin.delete("/v1/datasets/quiz");
  expect((await api.admin.delete("/v1/templates/trivia")).status).toBe(204);
  expectProblem(await api.admin.get("/v1/templates/trivia"), "TEMPLATE_NOT_FOUND");
});

test("benchmark.analyze takes the dataset's template, own templates by name, and examples; the job shows what they mean", async () => {
  const model = await modelRow(api, api.platform.workspaceId);
  const sae = await saeRow(api, model);
  const arc = await upload("arc-again", await readFile(join(fixtures, "arc.jsonl")), "arc.jsonl");
  const plain = await datasetOf(api.admin);
  await api.admin.post("/v1/templates").send({ name: "bare", template: "{text}!", shot: "{text}? yes" });
  const submit = (benchmarks: object[]) =>
    api.admin
      .post("/v1/jobs")
      .send({ kind: "benchmark.analyze", input: { model_id: model.id, sae_ids: [sae.id], benchmarks } });
  const job = await submit([
    { dataset_id: "arc-again", name: "a", shots: { count: 1 } },
    { dataset_id: plain.name, name: "b", template: "bare", shots: { count: 2, dataset_id: plain.name, seed: 3 } },
    { dataset_id: plain.name, name: "c" },
  ]);
  expect(job.status, JSON.stringify(job.body)).toBe(202);
  expect(job.body.input.benchmarks).toEqual([
    {
      dataset_id: arc.body.id,
      name: "a",
      template: "arc",
      shots: { count: 1, template: readyTemplates.arc!.shot, separator: "\n\n" },
    },
    {
      dataset_id: plain.id,
      name: "b",
      template: "{text}!",
      shots: { count: 2, dataset_id: plain.id, seed: 3, template: "{text}? yes", separator: "\n\n" },
    },
    { dataset_id: plain.id, name: "c", template: "text" },
  ]);
  const at = "/input/benchmarks/0";
  const silent = await submit([{ dataset_id: plain.name, template: "{text}.", shots: { count: 1 } }]);
  expectProblem(silent, "SETTINGS_CONTRADICTORY", `${at}/shots/template`);
  const few = await submit([{ dataset_id: "arc-again", shots: { count: 3, dataset_id: plain.name } }]);
  expectProblem(few, "SETTINGS_CONTRADICTORY", `${at}/shots/dataset_id`);
  const unknown = await submit([{ dataset_id: plain.name, template: "nope" }]);
  expectProblem(unknown, "REFERENCE_NOT_FOUND", `${at}/template`);
});

test("a preview shows columns, samples and prompts, and keeps nothing", async () => {
  const before = await api.platform.db.artifact.count();
  const response = await preview(await readFile(join(fixtures, "arc.parquet")), "arc.parquet");
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(DatasetPreview, response.body);
  expect(response.body).toMatchObject({
    format: "parquet",
    gzip: false,
    template: "arc",
    mapping: { answer: "answerKey", id: "id" },
    problem: null,
  });
  expect(response.body.columns).toContainEqual({
    name: "choices.label",
    types: ["list"],
    examples: ['["A","B","C","D"]', '["1","2","3"]'],
    filled: 2,
  });
  expect(response.body.rows).toHaveLength(2);
  expect(response.body.prompts[1]).toBe("Question: Which melts?\n1. ice\n2. stone\n3. sand\nAnswer:");
  expect(await api.platform.db.artifact.count()).toBe(before);
});

test("the beginning of a file is enough, gzipped or in the middle of a row", async () => {
  const lines = Array.from({ length: 9 }, (_, i) => JSON.stringify({ question: `q ${i}`, answer: `#### ${i}` }));
  const csv = `question,answer\n${Array.from({ length: 9 }, (_, i) => `"q ${i}\nmore","#### ${i}"`).join("\n")}`;
  const whole: [string, Buffer][] = [
    ["a.jsonl", Buffer.from(lines.join("\n"))],
    ["a.json", Buffer.from(`[${lines.join(",")}]`)],
    ["a.csv", Buffer.from(csv)],
    ["a.jsonl.gz", gzipSync(lines.join("\n"))],
  ];
  for (const [name, bytes] of whole) {
    const cut = bytes.subarray(0, -5);
    const { body } = await preview(cut, name, { partial: "true" });
    expect(body, `${name} ${JSON.stringify(body)}`).toMatchObject({ template: "gsm8k", problem: null });
    expect(body.rows.length, name).toBeGreaterThan(2);
    const refused = (await preview(cut, name)).body;
    expect(refused.problem, name).toMatchObject({ code: "DATASET_INVALID" });
  }
});

test("what is wrong with a file stands in its preview, with the columns to mend it by", async () => {
  const { body } = await preview("name,amount\na b,1\nc d,2\n", "a.csv");
  expect(body.problem).toMatchObject({ code: "DATASET_INVALID" });
  expect(body.problem.detail).toMatch(/no column can serve as text/);
  expect(body.columns.map((one: { name: string }) => one.name)).toEqual(["name", "amount"]);
  const mended = await preview("name,amount\na b,1\nc d,2\n", "a.csv", { mapping: '{"text":"name"}' });
  expect(mended.body).toMatchObject({ problem: null, prompts: ["a b", "c d"] });
  const later = await preview('{"text":"a"}\n{"text":7,}\n', "a.jsonl");
  expect(later.body.problem.errors[0].pointer).toBe("/rows/2");
  expect(later.body.rows).toEqual([{ text: "a" }]);
  const ragged = await preview("text,label\na,1\nb\nc,1\n", "a.csv", { partial: "true" });
  expect(ragged.body.problem.detail).toMatch(/^row 2: too few columns/);
  expect((await preview(Buffer.from([1, 2, 3]), "a.bin")).body).toMatchObject({
    format: null,
    columns: [],
    problem: { code: "DATASET_FORMAT_UNKNOWN" },
  });
  const noFile = api.admin.post("/v1/datasets/preview").field("template", "mmlu");
  expectProblem(await noFile, "VALIDATION_FAILED", "/file");
});

test("ids that a benchmark's rows share, or that the mapping names, are refused with both rows", async () => {
  const task = (id: string) =>
    JSON.stringify({ task_id: id, prompt: "def f():", canonical_solution: " pass", entry_point: "f" });
  const twice = await upload("twice", [task("a"), task("b"), task("a")].join("\n"), "x.jsonl");
  expectProblem(twice, "DATASET_INVALID", "/rows/3/id");
  expect(twice.body.detail).toBe('row 3: the id "a" is already that of row 1');
  const rows = [
    { text: "x", key: 7 },
    { text: "y", key: 7 },
  ];
  const mapped = await api.admin.post("/v1/datasets").send({ name: "keyed", samples: rows, mapping: { id: "key" } });
  expectProblem(mapped, "DATASET_INVALID", "/samples/1/id");
  const unmapped = await api.admin.post("/v1/datasets").send({ name: "keyed", samples: rows });
  expect(unmapped.status).toBe(201);
});

test("a file that is not what its name says, or holds nothing, is refused with what to do, and nothing is made", async () => {
  const cases: [Buffer | string, string, string, RegExp][] = [
    ['{"text":"a"}\n', "a.csv", "DATASET_FORMAT_UNKNOWN", /holds JSON, not csv: name it \.jsonl/],
    ["text,label\na,b\n", "a.jsonl", "DATASET_INVALID", /row 1: not valid JSON .*name it \.csv/],
    ["PAR1 but no parquet", "a.txt", "DATASET_INVALID", /Parquet file cannot be read/],
    ["text\n", "a.parquet", "DATASET_FORMAT_UNKNOWN", /does not start like a Parquet file/],
    ["", "a.jsonl", "DATASET_INVALID", /no rows/],
    [gzipSync(""), "a.csv.gz", "DATASET_INVALID", /no rows/],
    ["question,answer\n", "a.csv", "DATASET_INVALID", /a header and no rows/],
    ["text,text\na,b\n", "a.csv", "DATASET_INVALID", /names the column "text" twice/],
    [
      Buffer.from("text,label\nna\u00efve,x\n", "latin1"),
      "a.csv",
      "DATASET_ENCODING_INVALID",
      /^byte 13 \(line 2\).*row 1/,
    ],
    [Buffer.from("\ufefftext\na\n", "utf16le"), "a.csv", "DATASET_ENCODING_INVALID", /UTF-16/],
    [
      gzipSync(Buffer.alloc(32 * 2 ** 20, `${"a".repeat(9_999)}\n`)),
      "bomb.txt.gz",
      "DATASET_TOO_LARGE",
      /times larger than the gzip file/,
    ],
  ];
  for (const [content, fileName, code, detail] of cases) {
    const response = await upload("unmade", content, fileName);
    expect(response.body, fileName).toMatchObject({ code, detail: expect.stringMatching(detail) });
  }
  expectProblem(await api.admin.get("/v1/datasets/unmade"), "DATASET_NOT_FOUND");
  expect(await api.platform.db.artifact.count({ where: { name: "unmade.jsonl" } })).toBe(0);
});

test("the same upload under one idempotency key makes one dataset; another file under it is refused", async () => {
  const send = (file: string) =>
    api.admin
      .post("/v1/datasets")
      .set("Idempotency-Key", "upload-1")
      .field("name", "once")
      .attach("file", Buffer.from(file), "a.txt");
  const first = await send("one\n");
  const again = await send("one\n");
  expect(again.status).toBe(201);
  expect(again.body).toEqual(first.body);
  expect(again.headers["idempotency-replayed"]).toBe("true");
  expectProblem(await send("two\n"), "IDEMPOTENCY_KEY_REUSED");
});
