import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Key } from "../../domain/key.ts";
import { expectBody, expectOpenAIError, expectProblem, type TestApi, testApi } from "./api.ts";

describe("with keys", () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi();
  });
  afterAll(() => api.close());

  test("a request without a key, or with a wrong one, is refused", async () => {
    const none = await api.anonymous().get("/v1/jobs");
    expect(none.status).toBe(401);
    expectProblem(none, "AUTHENTICATION_REQUIRED");
    expect(none.headers["www-authenticate"]).toBe("Bearer");
    const wrong = await api.anonymous().get("/v1/jobs").set("Authorization", "Bearer qs_wrong");
    expect(wrong.status).toBe(401);
    expectProblem(wrong, "KEY_INVALID");
    expectProblem(await api.anonymous().get("/v1/jobs").set("Authorization", "Basic eDp5"), "AUTHENTICATION_REQUIRED");
    expectOpenAIError(await api.anonymous().get("/v1/models"), 401, "AUTHENTICATION_REQUIRED");
  });

  test("a key does what its scopes say and no more", async () => {
    const reader = await api.as(api.platform.workspaceId, "read");
    const writer = await api.as(api.platform.workspaceId, "write");
    const dataset = { name: "scopes", samples: [{ text: "x" }] };
    expect((await reader.get("/v1/datasets")).status).toBe(200);
    const refused = await reader.post("/v1/datasets").send(dataset);
    expect(refused.status).toBe(403);
    expectProblem(refused, "SCOPE_INSUFFICIENT");
    expect((await writer.post("/v1/datasets").send(dataset)).status).toBe(201);
    expect((await writer.get("/v1/datasets")).status).toBe(200);
    expectProblem(await writer.get("/v1/keys"), "SCOPE_INSUFFICIENT");
  });

  test("a key is created once, shown once, stored hashed, and revoked", async () => {
    const created = await api.admin.post("/v1/keys").send({ name: "laptop", scopes: ["read"] });
    expect(created.status).toBe(201);
    expectBody(Key, created.body);
    const { id, secret } = created.body as { id: string; secret: string };
    expect(created.headers.location).toBe(`/v1/keys/${id}`);
    const row = await api.platform.db.apiKey.findUniqueOrThrow({ where: { id } });
    expect(JSON.stringify(row)).not.toContain(secret);
    const client = () => api.anonymous().get("/v1/jobs").set("Authorization", `Bearer ${secret}`);
    expect((await client()).status).toBe(200);
    expect((await api.admin.get(`/v1/keys/${id}`)).body.secret).toBeUndefined();
    const listed = await api.admin.get("/v1/keys");
    expect(JSON.stringify(listed.body)).not.toContain(secret);
    expect(listed.body.data[0]).toMatchObject({ id, name: "laptop" });
    expect((await api.admin.delete(`/v1/keys/${id}`)).status).toBe(204);
    expectProblem(await client(), "KEY_INVALID");
    expect((await api.admin.get(`/v1/keys/${id}`)).body.revoked_at).not.toBeNull();
  });

  test("a key that has expired is refused", async () => {
    const secret = await api.secret(api.platform.workspaceId, "read");
    await api.platform.db.apiKey.updateMany({
      where: { name: "test", scopes: { equals: ["read"] } },
      data: { expires_at: new Date(0) },
    });
    expectProblem(await api.anonymous().get("/v1/jobs").set("Authorization", `Bearer ${secret}`), "KEY_INVALID");
    const past = { name: "late", scopes: ["read"], expires_at: "2020-01-01T00:00:00Z" };
    expectProblem(await api.admin.post("/v1/keys").send(past), "VALIDATION_FAILED", "/expires_at");
  });

  test("only the default workspace makes keys of others", async () => {
    const made = await api.admin.post("/v1/keys").send({ name: "tenant", scopes: ["admin"], workspace: "tenant" });
    expect(made.body.workspace).toBe("tenant");
    const tenant = api.anonymous().set("Authorization", `Bearer ${made.body.secret}`);
    const own = await tenant.post("/v1/keys").send({ name: "more", scopes: ["read"] });
    expect(own.body.workspace).toBe("tenant");
    const reached = await tenant.post("/v1/keys").send({ name: "escape", scopes: ["admin"], workspace: "default" });
    expectProblem(reached, "SCOPE_INSUFFICIENT");
    expectProblem(await tenant.get(`/v1/keys/${(await api.admin.get("/v1/keys")).body.data[0].id}`), "KEY_NOT_FOUND");
  });

  test("scopes that do not exist are refused", async () => {
    expectProblem(
      await api.admin.post("/v1/keys").send({ name: "x", scopes: ["root"] }),
      "VALIDATION_FAILED",
      "/scopes/0",
    );
    expectProblem(await api.admin.post("/v1/keys").send({ name: "x", scopes: [] }), "VALIDATION_FAILED", "/scopes");
  });
});

describe("without keys, on loopback", () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi({ AUTH: "off", CORS_ORIGINS: "https://console.example" });
  });
  afterAll(() => api.close());

  test("a local client needs no key", async () => {
    expect((await api.anonymous().get("/v1/jobs")).status).toBe(200);
  });

  test("another Host is refused, so that a rebound name reaches nothing", async () => {
    for (const host of ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]) {
      const response = await api.anonymous().get("/v1/jobs").set("Host", host);
      expect(response.status, host).toBeGreaterThanOrEqual(400);
      expect(response.body.data, host).toBeUndefined();
    }
    expectProblem(await api.anonymous().get("/v1/jobs").set("Host", "evil.example"), "HOST_REFUSED");
    for (const host of ["localhost:9", "127.0.0.1:9", "[::1]:9"]) {
      expect((await api.anonymous().get("/v1/jobs").set("Host", host)).status, host).toBe(200);
    }
  });

  test("a page of another origin is refused, our own and an allowed one are not", async () => {
    const from = (origin: string) => api.anonymous().get("/v1/jobs").set("Host", "localhost:80").set("Origin", origin);
    expectProblem(await from("https://evil.example"), "ORIGIN_REFUSED");
    expectProblem(await from("null"), "ORIGIN_REFUSED");
    expectProblem(await from("http://localhost:3000"), "ORIGIN_REFUSED");
    expect((await from("http://localhost:80")).status).toBe(200);
    const allowed = await from("https://console.example");
    expect(allowed.status).toBe(200);
    expect(allowed.headers["access-control-allow-origin"]).toBe("https://console.example");
    const preflight = await api
      .anonymous()
      .options("/v1/jobs")
      .set("Origin", "https://console.example")
      .set("Access-Control-Request-Method", "POST");
    expect(preflight.status).toBe(204);
    expect(preflight.headers["access-control-allow-origin"]).toBe("https://console.example");
    expect((await from("http://localhost:80")).headers["access-control-allow-origin"]).toBeUndefined();
  });
});
