import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, modelRow, type TestApi, testApi } from "./api.ts";

describe("idempotency", () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi();
  });
  afterAll(() => api.close());

  const body = (name: string) => ({ name, samples: [{ text: "x" }, { text: "y" }] });

  test("the same key and body give the stored answer and make nothing", async () => {
    const send = () => api.admin.post("/v1/datasets").set("Idempotency-Key", "one").send(body("once"));
    const first = await send();
    expect(first.status).toBe(201);
    expect(first.headers["idempotency-replayed"]).toBeUndefined();
    const second = await send();
    expect(second.status).toBe(201);
    expect(second.headers["idempotency-replayed"]).toBe("true");
    expect(second.body).toEqual(first.body);
    expect(second.headers.location).toBe(first.headers.location);
    expect(await api.platform.db.dataset.count({ where: { name: "once" } })).toBe(1);
  });

  test("a started job is started once", async () => {
    const dataset = (await api.admin.get("/v1/datasets")).body.data[0];
    const model = await modelRow(api, api.platform.workspaceId);
    const input = { model_id: model.name, dataset_id: dataset.name, layers: [0], width: 64, k: 4, tokens: 8192 };
    const send = () => api.admin.post("/v1/jobs").set("Idempotency-Key", "job").send({ kind: "sae.train", input });
    const [first, second] = [await send(), await send()];
    expect(first.status).toBe(202);
    expect(second.body.id).toBe(first.body.id);
    expect(second.headers.etag).toBe(first.headers.etag);
    expect(await api.platform.db.job.count()).toBe(1);
  });

  test("the same key with another body or route is refused", async () => {
    const send = (given: object) => api.admin.post("/v1/datasets").set("Idempotency-Key", "two").send(given);
    expect((await send(body("two"))).status).toBe(201);
    const reused = await send(body("three"));
    expect(reused.status).toBe(422);
    expectProblem(reused, "IDEMPOTENCY_KEY_REUSED");
  });

  test("a key whose request still runs is refused", async () => {
    const key = await api.platform.db.apiKey.findFirstOrThrow();
    const given = body("running");
    const hash = createHash("sha256")
      .update(`POST\n/v1/datasets\n${JSON.stringify(given)}`)
      .digest("hex");
    expect((await api.platform.idempotency.begin(key.id, "busy", hash)).outcome).toBe("new");
    const response = await api.admin.post("/v1/datasets").set("Idempotency-Key", "busy").send(given);
    expect(response.status).toBe(409);
    expectProblem(response, "IDEMPOTENCY_IN_PROGRESS");
    expect(response.headers["retry-after"]).toBe("1");
  });

  test("a refused request leaves its key free", async () => {
    const send = (given: object) => api.admin.post("/v1/datasets").set("Idempotency-Key", "four").send(given);
    expect((await send({ name: "Bad Name", samples: [{ text: "x" }] })).status).toBe(400);
    expect((await send(body("four"))).status).toBe(201);
  });

  test("the keys of two callers are apart", async () => {
    const other = await api.as(api.platform.workspaceId, "write");
    expect((await api.admin.post("/v1/datasets").set("Idempotency-Key", "five").send(body("five"))).status).toBe(201);
    const answer = await other.post("/v1/datasets").set("Idempotency-Key", "five").send(body("five"));
    expectProblem(answer, "NAME_TAKEN", "/name");
  });

  test("a replayed key creation leaves the secret out", async () => {
    const send = () =>
      api.admin
        .post("/v1/keys")
        .set("Idempotency-Key", "six")
        .send({ name: "k", scopes: ["read"] });
    const [first, second] = [await send(), await send()];
    expect(first.body.secret).toMatch(/^qs_/);
    expect(second.headers["idempotency-replayed"]).toBe("true");
    expect(second.body).toEqual({ ...first.body, secret: undefined });
    const { secret, ...rest } = first.body;
    expect(second.body).toEqual(rest);
    const stored = await api.platform.db.idempotencyKey.findMany();
    expect(JSON.stringify(stored)).not.toContain(secret);
  });

  test("a key that is not printable is refused", async () => {
    const response = await api.admin.post("/v1/datasets").set("Idempotency-Key", "x".repeat(256)).send(body("seven"));
    expectProblem(response, "REQUEST_MALFORMED");
  });

  test("bytes sent at once count as part of the request", async () => {
    const send = (text: string) =>
      api.admin
        .post("/v1/artifacts?name=a")
        .set("Idempotency-Key", "bytes")
        .set("Content-Type", "application/octet-stream")
        .send(Buffer.from(text));
    const first = await send("one");
    expect(first.status, JSON.stringify(first.body)).toBe(201);
    const second = await send("one");
    expect(second.headers["idempotency-replayed"]).toBe("true");
    expect(second.body.id).toBe(first.body.id);
    expectProblem(await send("two"), "IDEMPOTENCY_KEY_REUSED");
  });

  test("an uploaded file counts as part of the request", async () => {
    const send = (text: string) =>
      api.admin
        .post("/v1/datasets")
        .set("Idempotency-Key", "file")
        .field("name", "file")
        .attach("file", Buffer.from(text), "a.txt");
    const first = await send("one\ntwo\n");
    expect(first.status).toBe(201);
    const second = await send("one\ntwo\n");
    expect(second.headers["idempotency-replayed"]).toBe("true");
    expect(second.body).toEqual(first.body);
    expectProblem(await send("one\nthree\n"), "IDEMPOTENCY_KEY_REUSED");
  });
});

describe("rate limits", () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi({ RATE_LIMIT_PER_MINUTE: "3" });
  });
  afterAll(() => api.close());

  test("a key has so many requests a minute, over all processes, and hears when it may go on", async () => {
    const client = await api.as(api.platform.workspaceId, "read");
    const first = await client.get("/v1/jobs");
    expect(first.headers["ratelimit-policy"]).toBe('"default";q=3;w=60');
    expect(first.headers.ratelimit).toMatch(/^"default";r=2;t=\d+$/);
    await client.get("/v1/jobs");
    await client.get("/v1/jobs");
    const refused = await client.get("/v1/jobs");
    expect(refused.status).toBe(429);
    expectProblem(refused, "RATE_LIMITED");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect((await api.admin.get("/v1/jobs")).status).toBe(200);
    expect((await client.get("/healthz")).status).toBe(200);
  });
});
