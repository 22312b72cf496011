import { createHash } from "node:crypto";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { BatchOutputLine, SteeringBatchResult } from "../../domain/steering-batch.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

const dModel = 48;
const width = 96;
let folder: string;
let deployment: Deployment;
let worker: Worker;
let app: Awaited<ReturnType<typeof buildApp>>;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "batch-")));
  deployment = await deploy({ MODEL_ROOTS: `tests/fixtures,${folder}`, WORKER_MAX_BATCH: "8" });
  worker = await deployment.worker("batch");
  await deployment.worker("interactive");
  await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
  const random = createRandom("batch");
  const numbers = (count: number) => Float32Array.from({ length: count }, () => 0.2 * random.normal());
  const sae = {
    dModel,
    width,
    rule: { kind: "topk" as const, k: 6 },
    W_enc_FD: numbers(width * dModel),
    b_enc_F: numbers(width),
    W_dec_FD: numbers(width * dModel),
    b_dec_D: numbers(dModel),
  };
  await writeSaelens(join(folder, "sae"), sae, { layer: 1 });
  const source = { type: "directory", path: join(folder, "sae") };
  await deployment.run("sae.import", { name: "random", model_id: "tiny", layer: 1, layout: "saelens", source });
  app = await buildApp({ platform: deployment.platform });
});
afterAll(async () => {
  await app.close();
  await deployment.close();
  await rm(folder, { recursive: true });
});

async function upload(content: string | Uint8Array): Promise<string> {
  const { platform, workspaceId } = deployment;
  const blob = await platform.store.put(workspaceId, Buffer.from(content));
  const file = { workspaceId, name: "batch.jsonl", contentType: "application/jsonl", blob };
  return (await platform.artifacts.create(file)).id;
}
const jsonl = (lines: readonly unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

async function answerOf(url: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await app.inject({ method: "POST", url, payload: body, headers: { host: "localhost" } });
  return { status: answer.statusCode, body: answer.json() };
}

async function fileOf(job: JobRow, name: string): Promise<BatchOutputLine[]> {
  const { platform, workspaceId } = deployment;
  const link = await platform.db.jobArtifact.findFirst({
    where: { job_id: job.id, name },
    include: { artifact: true },
  });
  if (!link) return [];
  const chunks = await (await platform.store.get(workspaceId, link.artifact.digest!)).toArray();
  const text = Buffer.concat(chunks).toString("utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}
const resultOf = (job: JobRow) => job.result as unknown as SteeringBatchResult;
const rowsOf = (lines: readonly BatchOutputLine[]) => lines.map(({ row }) => row);

const add = (feature: number, value: number) => ({
  edits: [{ feature: `random:${feature}`, op: "add", value, unit: "residual_norm" }],
});
/** A million times more of the layer below: within the limits of each field, beyond float32 on the third. */
const beyond = (layer: number, op: string) => ({
  vector: { layer, values: new Array(dModel).fill(1e6) },
  op,
  value: 1e6,
});
const greedy = { model: "tiny", max_tokens: 8, temperature: 0, seed: 3 };
const line = (custom_id: string, body: object, url = "/v1/completions") => ({ custom_id, method: "POST", url, body });

describe("the lines of a file", () => {
  test("say what their routes say, with the same fingerprints, in the order of the file", async () => {
    const chat = { ...greedy, messages: [{ role: "user", content: "How far is it to the sea?" }] };
    const bodies = {
      plain: { ...greedy, prompt: "The river" },
      steered: { ...greedy, prompt: "The river", steering: add(3, 2) },
      arms: {
        ...greedy,
        prompt: ["The river", "An old bridge"],
        steering: { ...add(5, 1), include_baseline: true, control: "random_feature" },
      },
      sampled: { ...greedy, prompt: "The river", temperature: 1, n: 2, logprobs: 2, steering: add(7, -1), stop: ["a"] },
    };
    const lines = Object.entries(bodies).map(([id, body]) => line(id, body));
    lines.push(line("chat", { ...chat, steering: add(9, 1), logprobs: true }, "/v1/chat/completions"));
    const artifact_id = await upload(gzipSync(`\ufeff${jsonl(lines)}\r\n\n${jsonl([{ custom_id: "bare", ...chat }])}`));
    const job = await deployment.run("steering.batch", { artifact_id });
    const output = await fileOf(job, "output.jsonl");
    expect(output.map(({ custom_id }) => custom_id)).toEqual([...Object.keys(bodies), "chat", "bare"]);
    expect(rowsOf(output)).toEqual([1, 2, 3, 4, 5, 8]);
    const usage = { prompt_tokens: 0, completion_tokens: 0 };
    for (const [index, { response, error, id }] of output.entries()) {
      const given = lines[index] ?? line("bare", chat, "/v1/chat/completions");
      const { status, body } = await answerOf(given.url, given.body);
      expect(status).toBe(200);
      expect(error).toBeNull();
      expect(id).toMatch(/^batch_req_/);
      expect(response).toMatchObject({ status_code: 200, request_id: expect.stringMatching(/^req_/) });
      const own = response!.body as typeof body & { usage: typeof usage };
      expect(own.choices).toEqual(body.choices);
      expect({ ...own.usage, prompt_tokens_details: 0 }).toEqual({
        ...(body.usage as object),
        prompt_tokens_details: 0,
      });
      expect([own.object, own.model, own.system_fingerprint]).toEqual([
        body.object,
        body.model,
        body.system_fingerprint,
      ]);
      usage.prompt_tokens += own.usage.prompt_tokens;
      usage.completion_tokens += own.usage.completion_tokens;
    }
    const counts = { total: 6, completed: 6, failed: 0 };
    expect(resultOf(job)).toMatchObject({ error_artifact_id: null, request_counts: counts, usage });
    expect(job.progress).toMatchObject({ done: 6, total: 6, unit: "lines" });
  });

  test("a bad line is a line of the error file with its row, worded as its route words it", async () => {
    const good = { ...greedy, prompt: "The river" };
    const refused = {
      model: { ...good, model: "nobody" },
      feature: { ...good, steering: add(width, 1) },
      sae: { ...good, steering: { edits: [{ feature: "nobody:1", op: "ablate" }] } },
      selection: {
        ...good,
        steering: { edits: [{ feature: "random:1", op: "ablate", apply: { prompt: [900], generation: false } }] },
      },
      context: { ...good, prompt: "word ".repeat(600) },
      overflow: {
        ...good,
        steering: { edits: [beyond(0, "add"), beyond(1, "project_out"), beyond(2, "project_out")] },
      },
      field: { ...good, temprature: 1 },
      unsupported: { ...good, suffix: "end" },
      vector: { ...good, steering: { edits: [{ vector: { layer: 0, values: [1, 2] }, op: "add", value: 1 }] } },
    };
    const lines = [
      ...Object.entries(refused).map(([id, body]) => line(id, body)),
      { custom_id: "fine", ...good },
      { custom_id: "fine", ...good },
      { ...good },
      line("elsewhere", good, "/v1/embeddings"),
      { custom_id: "streamed", ...good, stream: true },
      [1, 2],
    ];
    const artifact_id = await upload(`${jsonl(lines)}{"custom_id": "cut", "prom`);
    const job = await deployment.run("steering.batch", { artifact_id });
    const [output, errors] = [await fileOf(job, "output.jsonl"), await fileOf(job, "errors.jsonl")];
    expect(output.map(({ custom_id, row }) => [custom_id, row])).toEqual([["fine", 10]]);
    const names = Object.keys(refused);
    for (const [index, [name, body]] of Object.entries(refused).entries()) {
      const answer = await answerOf("/v1/completions", body);
      expect(answer.status, name).toBeGreaterThanOrEqual(400);
      const { status_code, body: own } = errors[index]!.response!;
      expect({ row: errors[index]!.row, status_code, own }, name).toEqual({
        row: names.indexOf(name) + 1,
        status_code: answer.status,
        own: answer.body,
      });
    }
    expect(
      errors.slice(names.length).map(({ row, custom_id, error, response }) => [row, custom_id, error ?? response]),
    ).toEqual([
      [11, "fine", { code: "VALIDATION_FAILED", param: "custom_id", message: expect.stringContaining("row 10") }],
      [12, null, { code: "VALIDATION_FAILED", param: "custom_id", message: expect.any(String) }],
      [13, "elsewhere", { code: "VALIDATION_FAILED", param: "url", message: expect.any(String) }],
      [14, "streamed", expect.objectContaining({ status_code: 400 })],
      [15, null, { code: "VALIDATION_FAILED", param: null, message: "the line is not a JSON object" }],
      [16, null, { code: "REQUEST_MALFORMED", param: null, message: expect.stringContaining("not JSON") }],
    ]);
    expect(resultOf(job).request_counts).toEqual({ total: 16, completed: 1, failed: 15 });
  });
});

test("a variant steers every line that names it, and the job's body is every line's that has no own", async () => {
  const steering = add(11, 2);
  await app.inject({
    method: "POST",
    url: "/v1/variants",
    payload: { name: "tilted", model_id: "tiny", steering },
    headers: { host: "localhost" },
  });
  const lines = [
    { custom_id: "variant", prompt: "The river" },
    { custom_id: "by hand", prompt: "The river", model: "tiny", steering },
    { custom_id: "longer", prompt: "The river", max_tokens: 12 },
  ];
  const job = await deployment.run("steering.batch", {
    artifact_id: await upload(jsonl(lines)),
    body: { ...greedy, model: "tilted" },
  });
  const [variant, byHand, longer] = (await fileOf(job, "output.jsonl")).map(
    ({ response }) => response!.body as { model: string; choices: unknown[]; usage: { completion_tokens: number } },
  );
  expect(variant!.choices).toEqual(byHand!.choices);
  expect([variant!.model, byHand!.model, longer!.usage.completion_tokens]).toEqual(["tilted", "tiny", 12]);
});

test("every sample of a dataset is a prompt, for completions or chats", async () => {
  const dataset_id = await deployment.dataset("prompts", [{ text: "The river" }, { text: "An old bridge" }]);
  const bodies = async (url: string) => {
    const job = await deployment.run("steering.batch", { dataset_id, url, body: { ...greedy, steering: add(3, 1) } });
    return (await fileOf(job, "output.jsonl")).map(({ custom_id, response }) => ({
      custom_id,
      choices: (response!.body as { choices: unknown }).choices,
    }));
  };
  const body = { ...greedy, steering: add(3, 1) };
  const direct = async (url: string, more: object) => (await answerOf(url, { ...body, ...more })).body.choices;
  expect(await bodies("/v1/completions")).toEqual([
    { custom_id: "sample-1", choices: await direct("/v1/completions", { prompt: "The river" }) },
    { custom_id: "sample-2", choices: await direct("/v1/completions", { prompt: "An old bridge" }) },
  ]);
  const messages = [{ role: "user", content: "An old bridge" }];
  expect((await bodies("/v1/chat/completions"))[1]!.choices).toEqual(
    await direct("/v1/chat/completions", { messages }),
  );
});

describe("a batch that is interrupted", () => {
  const words = "the river runs slowly past three small towns and under an old bridge".split(" ");
  /** Without a seed: it is drawn, by the job and the row. The last are long, so that there is time to interrupt. */
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      custom_id: `line ${index}`,
      ...{ model: "tiny", prompt: words.slice(index % 9).join(" "), max_tokens: index < count - 8 ? 16 : 120 },
      ...(index % 3 === 0 ? { steering: add(index % width, 1) } : {}),
      ...(index % 10 === 9 ? { n: 0 } : {}),
    }));
  const textsOf = async (job: JobRow): Promise<[number, object[]][]> =>
    (await fileOf(job, "output.jsonl")).map(({ row, response }) => [
      row,
      (response!.body as { choices: object[] }).choices,
    ]);
  const start = async (count: number, changes: { [name: string]: Json } = {}) =>
    await deployment.submit("steering.batch", {
      artifact_id: await upload(jsonl(many(count))),
      checkpoint_every_lines: 10,
      ...changes,
    });
  const checkpoint = (jobId: string, step: number) =>
    eventOf(
      deployment.platform,
      jobId,
      ({ type, data }) => type === "checkpoint" && (data as { step: number }).step >= step,
    );

  test("by SIGKILL goes on from its last checkpoint; no line is lost and none is there twice", async () => {
    const jobId = await start(60);
    await checkpoint(jobId, 20);
    process.kill(worker.devicePid()!, "SIGKILL");
    const job = await deployment.ended(jobId);
    expect(job).toMatchObject({ state: "succeeded", attempt: 2 });
    const [output, errors] = [await fileOf(job, "output.jsonl"), await fileOf(job, "errors.jsonl")];
    expect(rowsOf(output)).toEqual(many(60).flatMap((_, index) => (index % 10 === 9 ? [] : [index + 1])));
    expect(rowsOf(errors)).toEqual([10, 20, 30, 40, 50, 60]);
    expect(new Set(output.map(({ custom_id }) => custom_id)).size).toBe(54);
    expect(resultOf(job).request_counts).toEqual({ total: 60, completed: 54, failed: 6 });
    // A line that drew its seed says the same in any company and on any attempt.
    const rows = [2, 41];
    const seeded = rows.map((row) => ({ ...many(60)[row - 1]!, seed: seedOf(jobId, row) }));
    const again = await textsOf(await deployment.run("steering.batch", { artifact_id: await upload(jsonl(seeded)) }));
    const whole = new Map(await textsOf(job));
    expect(again.map(([, choices]) => choices)).toEqual(rows.map((row) => whole.get(row)));
  });

  test("by a cancel keeps what it has as artifacts, and a resume adds what was missing", async () => {
    const jobId = await start(60);
    await checkpoint(jobId, 20);
    await app.inject({ method: "POST", url: `/v1/jobs/${jobId}/cancel`, headers: { host: "localhost" } });
    const canceled = await deployment.ended(jobId);
    expect(canceled.state).toBe("canceled");
    const partial = await textsOf(canceled);
    const { completed, failed } = canceled.metrics as { completed: number; failed: number };
    expect(partial).toHaveLength(completed);
    expect(completed).toBeGreaterThanOrEqual(18);
    expect(completed + failed).toBeLessThan(60);
    expect(await fileOf(canceled, "errors.jsonl")).toHaveLength(failed);
    await app.inject({ method: "POST", url: `/v1/jobs/${jobId}/resume`, headers: { host: "localhost" } });
    const job = await deployment.ended(jobId);
    expect(resultOf(job).request_counts).toEqual({ total: 60, completed: 54, failed: 6 });
    const whole = await textsOf(job);
    expect(new Map(whole.map(([row, choices]) => [row, choices])).size).toBe(54);
    for (const [row, choices] of partial) expect(whole.find(([other]) => other === row)![1]).toEqual(choices);
  });
});

/** As documented in the guide: the first four bytes of the SHA-256 of the job's id, a space and the row. */
function seedOf(jobId: string, row: number): number {
  return createHash("sha256").update(`${jobId} ${row}`).digest().readUInt32BE(0);
}
