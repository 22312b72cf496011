import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Completion } from "../../domain/completion.ts";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import { CompletionInput } from "../../domain/request.ts";
import type { Model, Sae } from "../../platform/database.ts";
import { expectBody, expectOpenAIError, modelRow, saeRow, type TestApi, testApi } from "./api.ts";
import { recite, type ScriptedWorker, scriptedWorker } from "./worker.ts";

let api: TestApi;
let model: Model;
let sae: Sae;
let worker: ScriptedWorker;
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  sae = await saeRow(api, model);
  worker = await scriptedWorker(api.platform, model.id, recite);
});
afterAll(async () => {
  await worker.stop();
  await api.close();
});
beforeEach(() => {
  worker.answer = recite;
  worker.inputs.length = 0;
});

const complete = (changes: object = {}) =>
  api.admin.post("/v1/completions").send({ model: model.name, prompt: "Once", ...changes });

test("a completion has OpenAI's body, and the worker gets every setting written out", async () => {
  const response = await complete();
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(Completion, response.body);
  expect(response.body).toMatchObject({
    id: expect.stringMatching(/^cmpl-[0-9a-z]{26}$/),
    object: "text_completion",
    model: model.name,
    system_fingerprint: "scripted-1",
    choices: [{ index: 0, text: "text 0", logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  });
  expect(response.body.choices[0]).not.toHaveProperty("role_in_experiment");
  expect(response.headers["x-request-id"]).toMatch(/^req_/);
  const [input] = worker.inputs;
  expectBody(CompletionInput, input);
  expect(input).toMatchObject({
    kind: "completion",
    model_id: model.id,
    prompts: ["Once"],
    max_tokens: 16,
    temperature: 1,
    top_p: 1,
    top_k: 0,
    repetition_penalty: 1,
    stop: [],
    logprobs: null,
    steering: null,
  });
});

test("prompts and n make choices in OpenAI's order, with a seed each", async () => {
  const response = await complete({ prompt: ["a", "b"], n: 2, seed: 40, stop: "x", max_tokens: 3 });
  expect(response.body.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3]);
  expect(response.body.usage).toEqual({ prompt_tokens: 6, completion_tokens: 8, total_tokens: 14 });
  expect(worker.inputs[0]).toMatchObject({
    prompts: ["a", "b"],
    stop: ["x"],
    max_tokens: 3,
    sequences: [
      { choice: 0, prompt: 0, role: null, seed: 40 },
      { choice: 1, prompt: 0, role: null, seed: 41 },
      { choice: 2, prompt: 1, role: null, seed: 40 },
      { choice: 3, prompt: 1, role: null, seed: 41 },
    ],
  });
});

test("cached tokens count once per prompt: those that were known for all of its texts", async () => {
  const cached = [30, 10, 0, 25];
  worker.answer = async (input, write) => {
    if (input.kind !== "completion") throw new Problem("INTERNAL_ERROR");
    await write({ type: "started", data: { prompt_tokens: [40, 30], runtime: "r" } });
    for (const { choice } of input.sequences) {
      const data = { choice, finish_reason: "stop" as const, completion_tokens: 1, cached_tokens: cached[choice]! };
      await write({ type: "choice_ended", data });
    }
  };
  const response = await complete({ prompt: ["a", "b"], n: 2 });
  expectBody(Completion, response.body);
  expect(response.body.usage).toEqual({
    prompt_tokens: 70,
    completion_tokens: 4,
    total_tokens: 74,
    prompt_tokens_details: { cached_tokens: 10 },
  });
});

test("token ids are prompts too", async () => {
  await complete({ prompt: [1, 2, 3] });
  await complete({ prompt: [[1, 2], [3]] });
  expect(worker.inputs.map((input) => (input as { prompts: unknown }).prompts)).toEqual([[[1, 2, 3]], [[1, 2], [3]]]);
});

test("log-probabilities come in OpenAI's arrays", async () => {
  const response = await complete({ logprobs: 1 });
  expect(response.body.choices[0].logprobs).toEqual({
    tokens: ["text", " 0"],
    token_logprobs: [-0.5, -0.5],
    top_logprobs: [{ text: -0.5 }, { " 0": -0.5 }],
    text_offset: [0, 4],
  });
});

test("of tokens that share a text none is lost, the sampled one is always there, and half characters have no length", async () => {
  // Two halves of é, after a special token that is no part of the text.
  const half = (id: number, byte: number) => ({ token: "\ufffd", token_id: id, bytes: [byte], logprob: -id });
  const special = { token: "<s>", token_id: 9, bytes: [60, 115, 62], logprob: -9, special: true, top: [] };
  worker.answer = async (_input, write) => {
    await write({ type: "started", data: { prompt_tokens: [1], runtime: "r" } });
    const first = { ...half(1, 0xc3), top: [half(1, 0xc3), half(2, 0xa9)] };
    const same = { token: "x", token_id: 5, bytes: [120], logprob: -5 };
    const logprobs = [
      special,
      first,
      { ...half(2, 0xa9), top: [same, { ...same, token_id: 6, logprob: -6 }] },
      { ...same, top: [] },
    ];
    await write({ type: "delta", data: { choice: 0, text: "éx", logprobs } });
    await write({ type: "choice_ended", data: { choice: 0, finish_reason: "stop", completion_tokens: 4 } });
  };
  expect((await complete({ logprobs: 2 })).body.choices[0].logprobs).toMatchObject({
    tokens: ["<s>", "bytes:\\xc3", "bytes:\\xa9", "x"],
    top_logprobs: [
      { "<s>": -9 },
      { "bytes:\\xc3": -1, "bytes:\\xa9": -2 },
      { x: -5, "token_id:6": -6, "bytes:\\xa9": -2 },
      { x: -5 },
    ],
    text_offset: [0, 0, 0, 1],
  });
});

test("log-probabilities that were asked for are there, empty, when no token came", async () => {
  worker.answer = async (_input, write) => {
    await write({ type: "started", data: { prompt_tokens: [1], runtime: "r" } });
    await write({ type: "choice_ended", data: { choice: 0, finish_reason: "stop", completion_tokens: 0 } });
  };
  const empty = { tokens: [], token_logprobs: [], top_logprobs: null, text_offset: [] };
  expect((await complete({ logprobs: 1 })).body.choices[0].logprobs).toEqual(empty);
  expect((await complete()).body.choices[0].logprobs).toBeNull();
  const messages = [{ role: "user", content: "x" }];
  const chat = await api.admin.post("/v1/chat/completions").send({ model: model.name, messages, logprobs: true });
  expect(chat.body.choices[0].logprobs).toEqual({ content: [], refusal: null });
});

describe("a stream", () => {
  const events = (text: string) =>
    text
      .split("\n\n")
      .filter((block) => block.startsWith("data: "))
      .map((block) => block.slice(6));

  test("brings the same text in chunks and ends with [DONE]", async () => {
    const response = await complete({ stream: true, logprobs: 0, stream_options: { include_usage: true } });
    expect(response.status).toBe(200);
    expect(response.headers["content-type"]).toMatch(/^text\/event-stream/);
    expect(response.headers["x-accel-buffering"]).toBe("no");
    expect(response.headers["content-encoding"]).toBeUndefined();
    const data = events(response.text);
    expect(data.at(-1)).toBe("[DONE]");
    const chunks = data.slice(0, -1).map((one) => JSON.parse(one));
    for (const chunk of chunks) expectBody(Completion, chunk);
    expect(chunks.flatMap((chunk) => chunk.choices.map((choice: { text: string }) => choice.text)).join("")).toBe(
      "text 0",
    );
    expect(chunks.map((chunk) => chunk.choices[0]?.finish_reason ?? null)).toEqual([null, null, "stop", null]);
    expect(chunks[1].choices[0].logprobs.text_offset).toEqual([4]);
    expect(chunks.map((chunk) => chunk.usage)).toEqual([
      null,
      null,
      null,
      { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    ]);
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  test("that breaks after its first text says so in the stream, without [DONE]", async () => {
    worker.answer = async (_input, write) => {
      await write({ type: "started", data: { prompt_tokens: [1], runtime: "r" } });
      await write({ type: "delta", data: { choice: 0, text: "half" } });
      throw new Problem("WORKER_LOST");
    };
    const response = await complete({ stream: true });
    const data = events(response.text);
    expect(JSON.parse(data[0] ?? "").choices[0].text).toBe("half");
    expect(JSON.parse(data[1] ?? "")).toMatchObject({ error: { code: "WORKER_LOST", type: "server_error" } });
    expect(data).toHaveLength(2);
  });

  test("whose prompt is refused is still an error status", async () => {
    worker.answer = async () => {
      throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", "/prompt", "the prompt has 900 tokens, the context 256");
    };
    expectOpenAIError(await complete({ stream: true }), 400, "CONTEXT_LENGTH_EXCEEDED", "prompt");
  });

  test("whose client leaves is no longer wanted", async () => {
    let told: (wanted: boolean) => void = () => {};
    const left = new Promise<boolean>((resolve) => {
      told = resolve;
    });
    worker.answer = async (_input, write) => {
      await write({ type: "started", data: { prompt_tokens: [1], runtime: "r" } });
      // Writes until it hears that nobody listens; the test's time limit ends it otherwise.
      while ((await write({ type: "delta", data: { choice: 0, text: "more " } })).wanted) {}
      told(false);
    };
    const address = await api.app.listen({ host: "127.0.0.1", port: 0 });
    const client = new AbortController();
    const response = await fetch(`${address}/v1/completions`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Authorization: `Bearer ${await api.secret(api.platform.workspaceId)}`,
      },
      body: JSON.stringify({ model: model.name, prompt: "Once", stream: true }),
      signal: client.signal,
    });
    await response.body?.getReader().read();
    client.abort();
    expect(await left).toBe(false);
  });
});

describe("steering", () => {
  const steered = (edit: object, changes: object = {}) => complete({ steering: { edits: [edit], ...changes } });
  const add = (changes: object = {}) => ({ feature: `${sae.name}:3`, op: "add", value: 2, ...changes });

  test("reaches the worker with ids, layers and the model's statistics", async () => {
    const response = await steered(add({ unit: "residual_norm", when: { feature: `${sae.id}:5`, above: 1.5 } }));
    expect(response.status, JSON.stringify(response.body)).toBe(200);
    expectBody(Completion, response.body);
    expectBody(CompletionInput, worker.inputs[0]);
    expect(worker.inputs[0]).toMatchObject({
      steering: {
        control: null,
        edits: [
          {
            layer: 1,
            feature: { sae_id: sae.id, index: 3, layer: 1 },
            vector: null,
            op: "add",
            value: 2,
            unit: "residual_norm",
            residual_norm: 2,
            gate: { feature: { sae_id: sae.id, index: 5, layer: 1 }, above: 1.5 },
          },
        ],
      },
    });
  });

  test("with baseline and control gives all arms with the same seeds, each with its role", async () => {
    const response = await complete({
      n: 2,
      seed: 5,
      steering: { edits: [add()], include_baseline: true, control: "random_feature" },
    });
    expectBody(Completion, response.body);
    type Choice = { role_in_experiment: string; text: string; steering_report: { fingerprint: string } };
    const choices: Choice[] = response.body.choices;
    expect(choices.map((choice) => choice.role_in_experiment)).toEqual([
      "steered",
      "steered",
      "baseline",
      "baseline",
      "control",
      "control",
    ]);
    expect(choices[2]?.text).toBe("baseline 2");
    expect(choices[4]?.steering_report.fingerprint).toBe("control");
    const { sequences } = worker.inputs[0] as { sequences: { seed: number }[] };
    expect(sequences.map((sequence) => sequence.seed)).toEqual([5, 6, 5, 6, 5, 6]);
  });

  test("a raw vector passes with the right size only", async () => {
    const vector = { layer: 2, values: [1, 0, 0, 0, 0, 0, 0, 0] };
    expect((await steered({ vector, op: "project_out" })).status).toBe(200);
    const short = await steered({ vector: { layer: 2, values: [1] }, op: "project_out" });
    expectOpenAIError(short, 422, "DIMENSION_MISMATCH", "steering.edits[0].vector.values");
    const high = await steered({ vector: { ...vector, layer: 4 }, op: "project_out" });
    expectOpenAIError(high, 422, "LAYER_OUT_OF_RANGE", "steering.edits[0].vector.layer");
  });

  test("every breach of its laws is refused at its field", async () => {
    const at = "steering.edits[0]";
    expectOpenAIError(
      await steered({ feature: `${sae.id}:3`, op: "scale", value: 2, unit: "absolute" }),
      422,
      "STEERING_INVALID",
      `${at}.unit`,
    );
    expectOpenAIError(await steered(add({ feature: `${sae.id}:32` })), 422, "FEATURE_NOT_FOUND", `${at}.feature`);
    expectOpenAIError(await steered(add({ feature: "none:1" })), 422, "REFERENCE_NOT_FOUND", `${at}.feature`);
    expectOpenAIError(await steered(add({ feature: "none" })), 400, "VALIDATION_FAILED", `${at}.feature`);
    expectOpenAIError(await steered(add({ op: "multiply" })), 400, "VALIDATION_FAILED", `${at}.op`);
    expectOpenAIError(await steered(add({ strength: 2 })), 400, "VALIDATION_FAILED", `${at}.strength`);
    const nothing = { prompt: false, generation: false };
    expectOpenAIError(await steered(add({ apply: nothing })), 422, "SELECTION_EMPTY", `${at}.apply`);
    const late = await complete({ max_tokens: 1, steering: { edits: [add({ apply: { prompt: false } })] } });
    expectOpenAIError(late, 422, "SELECTION_EMPTY", `${at}.apply`);
    const other = await saeRow(api, await modelRow(api, api.platform.workspaceId));
    expectOpenAIError(await steered(add({ feature: `${other.id}:1` })), 422, "SAE_MODEL_MISMATCH", `${at}.feature`);
    const above = await saeRow(api, model, { layer: 2 });
    expectOpenAIError(
      await steered(add({ when: { feature: `${above.id}:1` } })),
      422,
      "STEERING_INVALID",
      `${at}.when.feature`,
    );
    const unmeasured = await saeRow(api, model, { layer: 3 });
    const norm = await steered(add({ feature: `${unmeasured.id}:1`, unit: "residual_norm" }));
    expectOpenAIError(norm, 422, "FEATURE_STATISTICS_MISSING", `${at}.unit`);
    expect(worker.inputs).toHaveLength(0);
  });
});

describe("what is refused", () => {
  test("a parameter that is known but not supported, unless it is neutral", async () => {
    expect((await complete({ best_of: 1, echo: false, user: "me", logit_bias: null })).status).toBe(200);
    expectOpenAIError(await complete({ echo: true }), 400, "UNSUPPORTED_PARAMETER", "echo");
    expectOpenAIError(await complete({ frequency_penalty: 0.1 }), 400, "UNSUPPORTED_PARAMETER", "frequency_penalty");
  });

  test("a parameter that nobody knows, and values out of range", async () => {
    expectOpenAIError(await complete({ temprature: 0 }), 400, "VALIDATION_FAILED", "temprature");
    expectOpenAIError(await complete({ temperature: 3 }), 400, "VALIDATION_FAILED", "temperature");
    expectOpenAIError(await complete({ max_tokens: 0 }), 400, "VALIDATION_FAILED", "max_tokens");
    expectOpenAIError(await complete({ prompt: "" }), 400, "VALIDATION_FAILED", "prompt");
    expectOpenAIError(await complete({ prompt: ["a", 1] }), 400, "VALIDATION_FAILED", "prompt[0]");
    expectOpenAIError(await complete({ prompt: [1, -1] }), 400, "VALIDATION_FAILED", "prompt[1]");
    expectOpenAIError(
      await complete({ prompt: Array.from({ length: 33 }, () => "a"), n: 2 }),
      422,
      "SETTINGS_CONTRADICTORY",
      "n",
    );
  });

  test("a body that is no JSON, in OpenAI's shape", async () => {
    const response = await api.admin.post("/v1/completions").set("Content-Type", "application/json").send("{");
    expectOpenAIError(response, 400, "REQUEST_MALFORMED");
  });

  test("a model that does not exist", async () => {
    expectOpenAIError(await complete({ model: "none" }), 404, "MODEL_NOT_FOUND");
  });

  test("a model that no worker serves: 503 with Retry-After", async () => {
    const idle = await modelRow(api, api.platform.workspaceId);
    const response = await complete({ model: idle.id });
    expectOpenAIError(response, 503, "WORKER_UNAVAILABLE");
    expect(response.headers["retry-after"]).toBe("5");
    expect(await api.platform.db.request.count({ where: { model_id: idle.id } })).toBe(0);
  });

  test("what the worker finds wrong before its first text, with its own status", async () => {
    worker.answer = async () => {
      throw fieldProblem("SELECTION_EMPTY", "/steering/edits/0/apply/prompt", "position 9 lies outside of the prompt");
    };
    expectOpenAIError(await complete(), 422, "SELECTION_EMPTY", "steering.edits[0].apply.prompt");
  });

  test("a bug of the worker, without its message", async () => {
    worker.answer = async () => {
      throw new Problem("INTERNAL_ERROR", "the secret path /srv/models");
    };
    const response = await complete();
    expectOpenAIError(response, 500, "INTERNAL_ERROR");
    expect(response.text).not.toContain("secret");
  });
});
