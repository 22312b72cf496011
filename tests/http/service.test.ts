import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Pool } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import { toProblem } from "../../api/plugins/problems.ts";
import { problemCodes } from "../../domain/problem-table.ts";
import { expectProblem, type TestApi, testApi } from "./api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await testApi({ BODY_LIMIT_BYTES: "2000" });
});
afterAll(() => api.close());

test("health, readiness, metrics and the pages need no key", async () => {
  const client = api.anonymous();
  expect((await client.get("/healthz")).body).toEqual({ status: "ok" });
  expect((await client.get("/readyz")).body).toEqual({ status: "ok" });
  const metrics = await client.get("/metrics");
  expect(metrics.headers["content-type"]).toMatch(/^text\/plain/);
  expect(metrics.text).toContain('http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1');
  expect((await client.get("/")).text).toContain('href="/docs"');
  for (const code of problemCodes) expect((await client.get("/problems")).text).toContain(code);
});

test("without a built console the first page is one of links", async () => {
  const app = await buildApp({ platform: api.platform, consoleFolder: "tests/fixtures/no-console" });
  const page = await app.inject("/");
  expect(page.statusCode).toBe(200);
  for (const place of ["/docs", "/openapi.json", "/problems"]) expect(page.body).toContain(`href="${place}"`);
  await app.close();
});

test("the rendered reference loads nothing from elsewhere", async () => {
  const page = await api.anonymous().get("/docs/").redirects(1);
  expect(page.status).toBe(200);
  expect(page.text).not.toMatch(/(src|href)="https?:/);
  expect(page.headers["content-security-policy"]).toMatch(/^default-src 'self'/);
  const scripts = [...page.text.matchAll(/src="([^"]+\.js)"/g)].map((match) => match[1] ?? "");
  expect(scripts.length).toBeGreaterThan(0);
  for (const script of scripts) {
    expect((await api.anonymous().get(new URL(script, "http://x/docs/").pathname)).status, script).toBe(200);
  }
});

test("an unknown route is a problem that names it", async () => {
  const response = await api.anonymous().get("/v1/nothing");
  expect(response.status).toBe(404);
  expectProblem(response, "ROUTE_NOT_FOUND");
  expect(response.body.detail).toContain("/v1/nothing");
});

test("a path that cannot be decoded is a problem", async () => {
  const response = await api.anonymous().get("/v1/models/%E0%A4%A");
  expectProblem(response, "REQUEST_MALFORMED");
});

test("a request id is echoed when it is harmless and replaced when it is not", async () => {
  const given = await api.anonymous().get("/healthz").set("X-Request-Id", "my-id-1");
  expect(given.headers["x-request-id"]).toBe("my-id-1");
  const replaced = await api.anonymous().get("/healthz").set("X-Request-Id", 'a b"c');
  expect(replaced.headers["x-request-id"]).toMatch(/^req_/);
});

test("JSON that is broken, empty or of another type is refused before it is looked at", async () => {
  const post = () => api.admin.post("/v1/jobs");
  expectProblem(await post().set("Content-Type", "application/json").send('{"kind":'), "REQUEST_MALFORMED");
  expectProblem(await post().set("Content-Type", "application/json").send(""), "REQUEST_MALFORMED");
  expectProblem(await post().set("Content-Type", "text/yaml").send("kind: x"), "MEDIA_TYPE_UNSUPPORTED");
  expectProblem(await post(), "VALIDATION_FAILED");
  expectProblem(
    await post().set("Content-Type", "application/json").send('{"__proto__": {"x": 1}}'),
    "REQUEST_MALFORMED",
  );
});

test("a connection that the database's driver lost, or waited for in vain, is a 503", async () => {
  // Takes connections and drops them, or never answers them.
  const drops = createServer((socket) => socket.destroy());
  const silent = createServer(() => {});
  for (const server of [drops, silent]) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const pool = new Pool({ host: "127.0.0.1", port, user: "u", database: "d", connectionTimeoutMillis: 200 });
    const error = await pool.query("select 1").then(
      () => null,
      (thrown: Error) => thrown,
    );
    expect(toProblem(error!), error?.message).toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      status: 503,
      retryAfterS: 5,
    });
    await pool.end();
    server.close();
  }
});

test("a body above the limit is refused", async () => {
  const response = await api.admin.post("/v1/jobs").send({ kind: "x".repeat(3000), input: {} });
  expect(response.status).toBe(413);
  expectProblem(response, "BODY_TOO_LARGE");
});

test("query parameters are converted and checked", async () => {
  expect((await api.admin.get("/v1/jobs?limit=5")).status).toBe(200);
  expectProblem(await api.admin.get("/v1/jobs?limit=many"), "VALIDATION_FAILED", "/limit");
  expectProblem(await api.admin.get("/v1/jobs?limit=101"), "VALIDATION_FAILED", "/limit");
  expectProblem(await api.admin.get("/v1/jobs?limt=5"), "VALIDATION_FAILED", "/limt");
  expectProblem(await api.admin.get("/v1/jobs?cursor=x"), "CURSOR_INVALID", "/cursor");
});
