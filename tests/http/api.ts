// An app over a real platform, keys for it, and the rows that imports would have made.
import supertest from "supertest";
import type { TSchema } from "typebox";
import { expect } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { App } from "../../api/context.ts";
import { newId } from "../../domain/id.ts";
import type { Scope } from "../../domain/key.ts";
import { type ProblemCode, ProblemDetails } from "../../domain/problem.ts";
import { checkSchema } from "../../domain/schema.ts";
import { hashApiKey } from "../../platform/bootstrap.ts";
import type { Model, Sae } from "../../platform/database.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

export interface TestApi {
  readonly platform: TestPlatform;
  readonly app: App;
  /** A client with a key of the default workspace. */
  readonly admin: supertest.Agent;
  as(workspaceId: string, ...scopes: Scope[]): Promise<supertest.Agent>;
  secret(workspaceId: string, ...scopes: Scope[]): Promise<string>;
  anonymous(): supertest.Agent;
  close(): Promise<void>;
}

export async function testApi(overrides: Record<string, string> = {}): Promise<TestApi> {
  const platform = await testPlatform({ AUTH: "on", RATE_LIMIT_PER_MINUTE: "0", ...overrides });
  const app = await buildApp({ platform });
  await app.ready();
  const secret = async (workspaceId: string, ...scopes: Scope[]) => {
    const key = `qs_test_${newId("key")}`;
    await platform.db.apiKey.create({
      data: {
        id: newId("key"),
        workspace_id: workspaceId,
        name: "test",
        hash: hashApiKey(key),
        prefix: key.slice(0, 8),
        scopes: scopes.length > 0 ? scopes : ["read", "write", "admin"],
      },
    });
    return key;
  };
  const as = async (workspaceId: string, ...scopes: Scope[]) =>
    supertest.agent(app.server).set("Authorization", `Bearer ${await secret(workspaceId, ...scopes)}`);
  return {
    platform,
    app,
    admin: await as(platform.workspaceId),
    as,
    secret,
    anonymous: () => supertest.agent(app.server),
    async close() {
      await app.close();
      await platform.close();
    },
  };
}

export function expectBody(schema: TSchema, body: unknown): void {
  expect(checkSchema(schema, body)).toEqual([]);
}

/** The answer is this problem, in the right shape and type, and points at the field. */
export function expectProblem(response: supertest.Response, code: ProblemCode, pointer?: string): void {
  expect(response.body, JSON.stringify(response.body)).toMatchObject({ code, status: response.status });
  expect(response.headers["content-type"]).toMatch(/^application\/problem\+json/);
  expectBody(ProblemDetails, response.body);
  expect(response.body.request_id).toBe(response.headers["x-request-id"]);
  if (pointer === undefined) return;
  expect(response.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
}

export function expectOpenAIError(
  response: supertest.Response,
  status: number,
  code: ProblemCode,
  param?: string,
): void {
  expect(response.status, JSON.stringify(response.body)).toBe(status);
  expect(response.headers["content-type"]).toMatch(/^application\/json/);
  expect(response.body).toEqual({
    error: { message: expect.any(String), type: expect.any(String), param: param ?? null, code },
  });
}

let made = 0;

/** As model.import would have written it. */
export async function modelRow(api: TestApi, workspaceId: string, changes: Partial<Model> = {}): Promise<Model> {
  return api.platform.db.model.create({
    data: {
      id: newId("model"),
      workspace_id: workspaceId,
      name: `model-${++made}`,
      family: "qwen3",
      layers: 4,
      d_model: 8,
      vocab_size: 100,
      context_length: 256,
      precision: "float32",
      digest: `sha256:${"a".repeat(64)}`,
      size_bytes: 1000n,
      source: { type: "directory", path: "/nowhere" },
      stats: { median_residual_norm: [1, 2, 3, null], logit_check: null },
      ...(changes as object),
    },
  });
}

export async function saeRow(api: TestApi, model: Model, changes: Partial<Sae> = {}): Promise<Sae> {
  return api.platform.db.sae.create({
    data: {
      id: newId("sae"),
      workspace_id: model.workspace_id,
      name: `sae-${++made}`,
      release_id: newId("release"),
      model_id: model.id,
      layer: 1,
      tap: "resid_post.1",
      architecture: "topk",
      width: 32,
      d_model: model.d_model,
      k: 4,
      digest: `sha256:${"b".repeat(64)}`,
      size_bytes: 1000n,
      ...(changes as object),
    },
  });
}

export async function datasetOf(
  client: supertest.Agent,
  name = `dataset-${++made}`,
): Promise<{ id: string; name: string }> {
  const response = await client.post("/v1/datasets").send({ name, samples: [{ text: "one" }, { text: "two" }] });
  expect(response.status, JSON.stringify(response.body)).toBe(201);
  return response.body as { id: string; name: string };
}
