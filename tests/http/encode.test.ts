import { afterAll, beforeAll, expect, test } from "vitest";
import { fieldProblem } from "../../domain/problem.ts";
import { EncodeResponse } from "../../domain/sae.ts";
import type { Sae } from "../../platform/database.ts";
import { expectBody, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";
import { type Answerer, type ScriptedWorker, scriptedWorker } from "./worker.ts";

let api: TestApi;
let sae: Sae;
let worker: ScriptedWorker;

/** Features of a text: its length, so that the order of the results can be seen. */
const measure: Answerer = async (input, write) => {
  if (input.kind !== "encode") return;
  await write({ type: "started", data: { prompt_tokens: input.texts.map(() => 1), runtime: "scripted-1" } });
  for (const [text, value] of [...input.texts.entries()].reverse()) {
    const result = { tokens: [{ id: 1, text: value }], features: [[{ index: 3, value: value.length }]] };
    await write({ type: "encoded", data: { text, result } });
  }
};

beforeAll(async () => {
  api = await testApi();
  sae = await saeRow(api, await modelRow(api, api.platform.workspaceId));
  worker = await scriptedWorker(api.platform, sae.model_id, measure);
});
afterAll(async () => {
  await worker.stop();
  await api.close();
});

const encode = (body: object, id = sae.name) => api.admin.post(`/v1/saes/${id}/encode`).send(body);

test("texts come back in their order, each with its tokens and features", async () => {
  const response = await encode({ texts: ["one", "three"] });
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(EncodeResponse, response.body);
  expect(response.body).toMatchObject({
    sae_id: sae.id,
    model_id: sae.model_id,
    results: [
      { tokens: [{ id: 1, text: "one" }], features: [[{ index: 3, value: 3 }]] },
      { tokens: [{ id: 1, text: "three" }], features: [[{ index: 3, value: 5 }]] },
    ],
  });
  expect(worker.inputs.at(-1)).toEqual({
    kind: "encode",
    model_id: sae.model_id,
    sae_id: sae.id,
    texts: ["one", "three"],
  });
});

test("what cannot be encoded is refused", async () => {
  expectProblem(await encode({ texts: [] }), "VALIDATION_FAILED", "/texts");
  expectProblem(await encode({ texts: [""] }), "VALIDATION_FAILED", "/texts/0");
  expectProblem(await encode({ text: "x" }), "VALIDATION_FAILED", "/texts");
  expectProblem(await encode({ texts: Array.from({ length: 65 }, () => "x") }), "VALIDATION_FAILED", "/texts");
  expectProblem(await encode({ texts: ["x"] }, "none"), "SAE_NOT_FOUND");
  worker.answer = async () => {
    throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", "/texts/0", "the text has 900 tokens, the context 256");
  };
  const long = await encode({ texts: ["x"] });
  expect(long.status).toBe(400);
  expectProblem(long, "CONTEXT_LENGTH_EXCEEDED", "/texts/0");
});
