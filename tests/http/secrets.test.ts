import { afterAll, beforeAll, expect, test } from "vitest";
import { Secret } from "../../domain/secret.ts";
import { testWorkspace } from "../support/platform.ts";
import { expectBody, expectProblem, type TestApi, testApi } from "./api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await testApi({ SECRETS_KEY: Buffer.alloc(32, 7).toString("base64") });
});
afterAll(() => api.close());

const token = "hf_averysecretvalue";

test("a secret is created, listed, read and deleted, and its value is in no answer", async () => {
  const created = await api.admin.post("/v1/secrets").send({ name: "hub", value: token, hosts: ["huggingface.co"] });
  expect(created.status, JSON.stringify(created.body)).toBe(201);
  expectBody(Secret, created.body);
  const answers = [
    created,
    await api.admin.get("/v1/secrets"),
    await api.admin.get("/v1/secrets/hub"),
    await api.admin.get(created.headers.location!),
  ];
  expect(answers[1]!.body.data).toEqual([created.body]);
  for (const { body } of answers.slice(2)) expect(body).toEqual(created.body);
  for (const { text } of answers) expect(text).not.toContain(token);
  expectProblem(await api.admin.post("/v1/secrets").send({ name: "hub", value: "other" }), "NAME_TAKEN", "/name");
  expect((await api.admin.delete("/v1/secrets/hub")).status).toBe(204);
  expectProblem(await api.admin.get("/v1/secrets/hub"), "SECRET_NOT_FOUND");
});

test("a repeated creation answers the same, without the value", async () => {
  const post = () => api.admin.post("/v1/secrets").set("Idempotency-Key", "s1").send({ name: "twice", value: token });
  const [first, second] = [await post(), await post()];
  expect(second.headers["idempotency-replayed"]).toBe("true");
  expect(second.body).toEqual(first.body);
});

test("creating and deleting need the admin scope, and other workspaces see nothing", async () => {
  await api.admin.post("/v1/secrets").send({ name: "mine", value: token });
  const writer = await api.as(api.platform.workspaceId, "write");
  expectProblem(await writer.post("/v1/secrets").send({ name: "n", value: "v" }), "SCOPE_INSUFFICIENT");
  expectProblem(await writer.delete("/v1/secrets/mine"), "SCOPE_INSUFFICIENT");
  expect((await writer.get("/v1/secrets/mine")).status).toBe(200);
  const stranger = await api.as(await testWorkspace(api.platform, "stranger"));
  expectProblem(await stranger.get("/v1/secrets/mine"), "SECRET_NOT_FOUND");
  expectProblem(await stranger.delete("/v1/secrets/mine"), "SECRET_NOT_FOUND");
  expect((await stranger.get("/v1/secrets")).body.data).toEqual([]);
});

test.each([
  ["a value with a line break, which would end a header", { name: "n", value: "a\nb" }, "/value"],
  ["an empty value", { name: "n", value: "" }, "/value"],
  ["a host with a path", { name: "n", value: "v", hosts: ["a.example/b"] }, "/hosts/0"],
  ["a name that looks like an id", { name: "secret_01jd5xk0m4q8v7w2r3t5y6z8aj", value: "v" }, "/name"],
])("%s is refused", async (_, body, pointer) => {
  expectProblem(await api.admin.post("/v1/secrets").send(body), "VALIDATION_FAILED", pointer);
});
