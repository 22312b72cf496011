import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Job } from "../../domain/job.ts";
import { TrainEstimate } from "../../domain/training-cost.ts";
import type { Model } from "../../platform/database.ts";
import type { JobClaim } from "../../platform/jobs.ts";
import { takeDelivery } from "../support/deliveries.ts";
import { datasetOf, expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let model: Model;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  dataset = await datasetOf(api.admin);
});
afterAll(() => api.close());

const input = (changes: object = {}) => ({
  model_id: model.name,
  dataset_id: dataset.name,
  layers: [0, 1],
  width: 64,
  k: 4,
  tokens: 8192,
  ...changes,
});
const start = (changes: object = {}, rest: object = {}) =>
  api.admin.post("/v1/jobs").send({ kind: "sae.train", input: input(changes), ...rest });

/** Claims the oldest queued job, as a worker does. */
async function claimNext(): Promise<JobClaim> {
  for (;;) {
    const job = await api.platform.db.job.findFirstOrThrow({
      where: { state: "queued" },
      orderBy: { queued_at: "asc" },
    });
    const claim = await api.platform.claims.claim(await takeDelivery(api.platform, job.queue), "worker_test");
    if (claim !== null) return claim;
  }
}

async function cancelAll(): Promise<void> {
  for (const { id } of await api.platform.db.job.findMany({ where: { state: "queued" } })) {
    await api.platform.jobs.requestCancel(api.platform.workspaceId, id);
  }
}

test("a started job is queued, with ids for names and every default written out", async () => {
  const response = await start({ name: "demo" }, { metadata: { run: "1" } });
  expect(response.status, JSON.stringify(response.body)).toBe(202);
  expectBody(Job, response.body);
  expect(response.headers.location).toBe(`/v1/jobs/${response.body.id}`);
  expect(response.headers.etag).toBeTruthy();
  expect(response.body).toMatchObject({
    object: "job",
    kind: "sae.train",
    state: "queued",
    queue_position: 0,
    attempt: 0,
    metadata: { run: "1" },
    input: { model_id: model.id, dataset_id: dataset.id, batch_tokens: 4096, seed: 0, aux_k: 4 },
  });
  expect(response.body.input.learning_rate).toBeCloseTo(2e-4 / Math.sqrt(64 / 2 ** 14), 9);
  await cancelAll();
});

describe("bad input", () => {
  test("is refused at its field", async () => {
    const samples = [{ text: "alone" }];
    const single = (await api.admin.post("/v1/datasets").send({ name: "single", samples })).body as { id: string };
    const cases: [object, string, string][] = [
      [{ model_id: "none" }, "REFERENCE_NOT_FOUND", "/input/model_id"],
      [{ dataset_id: "none" }, "REFERENCE_NOT_FOUND", "/input/dataset_id"],
      [{ layers: [0, 4] }, "LAYER_OUT_OF_RANGE", "/input/layers/1"],
      [{ layers: [] }, "VALIDATION_FAILED", "/input/layers"],
      [{ k: 65 }, "K_ABOVE_WIDTH", "/input/k"],
      [{ expansion: 16 }, "SETTINGS_CONTRADICTORY", "/input/expansion"],
      [{ k: undefined }, "VALIDATION_FAILED", "/input/k"],
      [{ bandwidth: 0.1 }, "SETTINGS_CONTRADICTORY", "/input/bandwidth"],
      [{ on_instability: "ignore" }, "VALIDATION_FAILED", "/input/on_instability"],
      [{ dataset_id: single.id }, "DATASET_TOO_SMALL", "/input/dataset_id"],
      [{ width: 0 }, "VALIDATION_FAILED", "/input/width"],
      [{ tokens: 5 }, "SETTINGS_CONTRADICTORY", "/input/tokens"],
      [{ architecture: "dense" }, "VALIDATION_FAILED", "/input/architecture"],
      [{ learning_rte: 1 }, "VALIDATION_FAILED", "/input/learning_rte"],
      [{ seed: 1.5 }, "VALIDATION_FAILED", "/input/seed"],
    ];
    for (const [changes, code, pointer] of cases) expectProblem(await start(changes), code as never, pointer);
    expect(await api.platform.db.job.count({ where: { state: "queued" } })).toBe(0);
  });

  test("of an unknown kind names the kinds that exist", async () => {
    const response = await api.admin.post("/v1/jobs").send({ kind: "sae.dream", input: {} });
    expectProblem(response, "JOB_KIND_UNKNOWN", "/kind");
    expect(response.body.detail).toContain("sae.train");
    expectProblem(await api.admin.post("/v1/jobs").send({ kind: "toString", input: {} }), "JOB_KIND_UNKNOWN", "/kind");
  });

  test("an sae's name that is taken, or becomes too long, is refused", async () => {
    await saeRow(api, model, { name: "taken-layer1" });
    expectProblem(await start({ name: "taken" }), "NAME_TAKEN", "/input/name");
    expectProblem(await start({ name: "x".repeat(99) }), "VALIDATION_FAILED", "/input/name");
    expect((await start({ name: "twice", layers: [0, 1] })).status).toBe(202);
    expectProblem(await start({ name: "twice", layers: [1, 2] }), "NAME_TAKEN", "/input/name");
    expect((await start({ name: "twice", layers: [2] })).status).toBe(202);
    await cancelAll();
    expect((await start({ name: "twice", layers: [1] })).status).toBe(202);
    await cancelAll();
  });

  test("more memory than the largest worker has is refused with both numbers", async () => {
    const worker = { class: "batch", device: "cpu", hostname: "h", pid: 1, version: "1", queues: [] } as const;
    await api.platform.workers.register({ id: "worker_small", ...worker, capability: { memory_bytes: 1_000_000 } });
    const estimate = (kind: string) => api.admin.post("/v1/jobs/estimate").send({ kind, input: input() });
    const responses = [await start(), await estimate("sae.train"), await estimate("sae.release")];
    await api.platform.workers.remove("worker_small");
    for (const response of responses) {
      expectProblem(response, "MEMORY_INSUFFICIENT", "/input/width");
      expect(response.body.detail).toContain("1000000");
    }
  });

  test("of an analysis is refused at its field", async () => {
    const sae = await saeRow(api, model);
    const other = await saeRow(api, await modelRow(api, api.platform.workspaceId));
    const analyze = (changes: object) =>
      api.admin.post("/v1/jobs").send({
        kind: "benchmark.analyze",
        input: { model_id: model.id, sae_ids: [sae.id], benchmarks: [{ dataset_id: dataset.id }], ...changes },
      });
    expectProblem(await analyze({ sae_ids: ["none"] }), "REFERENCE_NOT_FOUND", "/input/sae_ids/0");
    expectProblem(await analyze({ sae_ids: [sae.id, other.name] }), "SAE_MODEL_MISMATCH", "/input/sae_ids/1");
    expectProblem(await analyze({ sae_ids: [sae.id, sae.name] }), "SETTINGS_CONTRADICTORY", "/input/sae_ids/1");
    const twice = [{ dataset_id: dataset.id }, { dataset_id: dataset.name }];
    expectProblem(await analyze({ benchmarks: twice }), "SETTINGS_CONTRADICTORY", "/input/benchmarks/1/name");
    const template = [{ dataset_id: dataset.id, template: "{question" }];
    expectProblem(await analyze({ benchmarks: template }), "VALIDATION_FAILED", "/input/benchmarks/0/template");
    const fine = await analyze({ sae_ids: [sae.name], benchmarks: [{ dataset_id: dataset.name, template: "{text}" }] });
    expect(fine.status, JSON.stringify(fine.body)).toBe(202);
    expect(fine.body.input).toMatchObject({
      sae_ids: [sae.id],
      position: "last",
      benchmarks: [{ dataset_id: dataset.id, name: dataset.name, template: "{text}" }],
    });
    await cancelAll();
  });
});

test("a parent must be a job of the workspace", async () => {
  const parent = await start();
  const child = await start({}, { parent_id: parent.body.id });
  expect(child.body.parent_id).toBe(parent.body.id);
  const listed = await api.admin.get(`/v1/jobs?parent_id=${parent.body.id}`);
  expect(listed.body.data.map((job: { id: string }) => job.id)).toEqual([child.body.id]);
  expectProblem(await start({}, { parent_id: `job_${"0".repeat(26)}` }), "REFERENCE_NOT_FOUND", "/parent_id");
  await cancelAll();
});

test("an unchanged job answers 304, a changed one its new state", async () => {
  const { body, headers } = await start();
  const etag = headers.etag ?? "";
  const unchanged = await api.admin.get(`/v1/jobs/${body.id}`).set("If-None-Match", etag);
  expect(unchanged.status).toBe(304);
  expect(unchanged.text).toBe("");
  const claim = await claimNext();
  const changed = await api.admin.get(`/v1/jobs/${body.id}`).set("If-None-Match", etag);
  expect(changed.status).toBe(200);
  expect(changed.body).toMatchObject({ id: body.id, state: "running", attempt: 1, queue_position: null });
  await api.platform.claims.finish(claim, { state: "canceled" });
});

test("a job shows progress, checkpoint, metrics, result and artifacts as the worker writes them", async () => {
  const { body } = await start();
  const claim = await claimNext();
  const progress = { done: 4096, total: 8192, unit: "tokens", rate: 100, eta_s: 41 };
  await api.platform.claims.progress(claim, progress, { step: 1, metrics: { loss: 0.5 } });
  const checkpoint = await api.platform.store.put(api.platform.workspaceId, Buffer.from("state"));
  await api.platform.claims.recordCheckpoint(claim, { step: 1, ...checkpoint });
  const running = await api.admin.get(`/v1/jobs/${body.id}`);
  expectBody(Job, running.body);
  expect(running.body).toMatchObject({
    progress,
    metrics: { loss: 0.5 },
    checkpoint: { step: 1, size_bytes: 5 },
    artifacts: [],
  });

  const blob = await api.platform.store.put(api.platform.workspaceId, Buffer.from("report"));
  const artifact = await api.platform.artifacts.create({
    workspaceId: api.platform.workspaceId,
    name: "report.txt",
    contentType: "text/plain",
    blob,
    jobId: body.id,
  });
  expectProblem(await api.admin.get(`/v1/artifacts/${artifact.id}`), "ARTIFACT_NOT_FOUND");
  const result = { sae_ids: ["sae_1"], release_id: "release_1", report_artifact_id: artifact.id };
  await api.platform.claims.finish(claim, {
    state: "succeeded",
    result,
    artifacts: [{ name: "report", artifactId: artifact.id }],
  });
  const done = await api.admin.get(`/v1/jobs/${body.id}`);
  expectBody(Job, done.body);
  expect(done.body).toMatchObject({ state: "succeeded", result, error: null });
  expect(done.body.artifacts).toEqual([
    {
      name: "report",
      artifact_id: artifact.id,
      content_type: "text/plain",
      size_bytes: 6,
      content_url: `/v1/artifacts/${artifact.id}/content`,
    },
  ]);
  expect((await api.admin.get(done.body.artifacts[0].content_url)).text).toBe("report");
});

test("Prefer: wait answers 200 when the job ends in time and 202 when it does not", async () => {
  const late = await start().set("Prefer", "wait=0");
  expect(late.status).toBe(202);
  expect(late.headers["preference-applied"]).toBe("wait=0");
  await cancelAll();
  const waiting = start()
    .set("Prefer", "respond-async, wait=30")
    .then((response) => response);
  const ending = (async () => {
    while ((await api.platform.db.job.count({ where: { state: "queued" } })) === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const claim = await claimNext();
    await api.platform.claims.finish(claim, {
      state: "succeeded",
      result: { sae_ids: [], release_id: "r", report_artifact_id: "a" },
    });
  })();
  const response = await waiting;
  await ending;
  expect(response.status).toBe(200);
  expect(response.headers["preference-applied"]).toBe("wait=30");
  expect(response.body.state).toBe("succeeded");
});

test("a queued job is canceled at once, a running one is asked, a finished one stays", async () => {
  const queued = await start();
  const canceled = await api.admin.post(`/v1/jobs/${queued.body.id}/cancel`);
  expect(canceled.status).toBe(200);
  expect(canceled.body.state).toBe("canceled");
  expect((await api.admin.post(`/v1/jobs/${queued.body.id}/cancel`)).body.state).toBe("canceled");
  const running = await start();
  const claim = await claimNext();
  const asked = await api.admin.post(`/v1/jobs/${running.body.id}/cancel`);
  expect(asked.body).toMatchObject({ state: "running", cancel_requested_at: expect.any(String) });
  await api.platform.claims.finish(claim, { state: "canceled" });
  expect((await api.admin.get(`/v1/jobs/${running.body.id}`)).body.state).toBe("canceled");
  expectProblem(await api.admin.post(`/v1/jobs/job_${"0".repeat(26)}/cancel`), "JOB_NOT_FOUND");
});

test("only a failed or canceled job with a checkpoint resumes", async () => {
  const { body } = await start();
  const resume = () => api.admin.post(`/v1/jobs/${body.id}/resume`);
  const busy = await resume();
  expect(busy.status).toBe(409);
  expectProblem(busy, "JOB_STATE_CONFLICT");
  const claim = await claimNext();
  const failed = {
    state: "failed",
    error: { code: "TRAINING_NOT_FINITE", title: "t", status: 422, type: "x", detail: "step 3", retryable: false },
  } as const;
  await api.platform.claims.finish(claim, failed);
  const failure = await api.admin.get(`/v1/jobs/${body.id}`);
  expectBody(Job, failure.body);
  expect(failure.body.error.code).toBe("TRAINING_NOT_FINITE");
  expectProblem(await resume(), "CHECKPOINT_MISSING");

  const second = await start();
  const running = await claimNext();
  const blob = await api.platform.store.put(api.platform.workspaceId, Buffer.from("state"));
  await api.platform.claims.recordCheckpoint(running, { step: 7, ...blob });
  await api.platform.claims.finish(running, failed);
  const resumed = await api.admin.post(`/v1/jobs/${second.body.id}/resume`);
  expect(resumed.status).toBe(202);
  expect(resumed.body).toMatchObject({ state: "queued", error: null, checkpoint: { step: 7 } });
  await cancelAll();
});

test("cancel and resume take an empty body, also with a type, and refuse every field", async () => {
  const { body } = await start();
  for (const action of ["cancel", "resume"]) {
    const post = (query = "") => api.admin.post(`/v1/jobs/${body.id}/${action}${query}`);
    expectProblem(await post().send({ force: true }), "VALIDATION_FAILED", "/force");
    expectProblem(await post("?force=1"), "VALIDATION_FAILED", "/force");
    expectProblem(await post().set("Content-Type", "application/json").send("{"), "REQUEST_MALFORMED");
  }
  const cancel = () => api.admin.post(`/v1/jobs/${body.id}/cancel`);
  expect((await cancel().set("Content-Type", "application/json").send("")).body.state).toBe("canceled");
  expect((await cancel().send({})).status).toBe(200);
  const resume = api.admin.post(`/v1/jobs/${body.id}/resume`).set("Content-Type", "application/json");
  expectProblem(await resume.send(""), "CHECKPOINT_MISSING");
});

test("jobs are listed newest first, by state and kind", async () => {
  const ids = [(await start()).body.id, (await start()).body.id];
  const list = async (query: string) => (await api.admin.get(`/v1/jobs?${query}`)).body;
  const queued = await list("state=queued&kind=sae.train");
  expect(queued.data.map((job: { id: string }) => job.id)).toEqual([...ids].reverse());
  expect(queued.data.map((job: { queue_position: number }) => job.queue_position)).toEqual([1, 0]);
  const first = await list("state=queued&limit=1");
  expect(first).toMatchObject({ has_more: true, data: [{ id: ids[1] }] });
  expect((await list(`state=queued&limit=1&cursor=${first.next_cursor}`)).data[0].id).toBe(ids[0]);
  expect((await list("state=queued&kind=model.import")).data).toEqual([]);
  expectProblem(await api.admin.get("/v1/jobs?state=lost"), "VALIDATION_FAILED", "/state");
  await cancelAll();
});

test("an estimate costs nothing and follows the laws of the job", async () => {
  const estimate = (given: object) => api.admin.post("/v1/jobs/estimate").send(given);
  const response = await estimate({ kind: "sae.train", input: input() });
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(TrainEstimate, response.body.estimate);
  expect(response.body.estimate.parameters).toBe(2 * (2 * 8 * 64 + 64 + 8));
  expectProblem(await estimate({ kind: "sae.train", input: input({ k: 65 }) }), "K_ABOVE_WIDTH", "/input/k");
  expectProblem(await estimate({ kind: "sae.import", input: {} }), "VALIDATION_FAILED", "/kind");
  expect(await api.platform.db.job.count({ where: { state: "queued" } })).toBe(0);
});
