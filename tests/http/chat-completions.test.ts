import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ChatCompletion, ChatCompletionChunk } from "../../domain/completion.ts";
import { CompletionInput } from "../../domain/request.ts";
import type { Model } from "../../platform/database.ts";
import { expectBody, expectOpenAIError, modelRow, type TestApi, testApi } from "./api.ts";
import { recite, type ScriptedWorker, scriptedWorker } from "./worker.ts";

let api: TestApi;
let model: Model;
let worker: ScriptedWorker;
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  worker = await scriptedWorker(api.platform, model.id, recite);
});
afterAll(async () => {
  await worker.stop();
  await api.close();
});
beforeEach(() => {
  worker.inputs.length = 0;
});

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: [{ type: "text", text: "How are you?" }] },
];
const chat = (changes: object = {}) =>
  api.admin.post("/v1/chat/completions").send({ model: model.name, messages, ...changes });

test("an answer has OpenAI's body and the worker gets the messages", async () => {
  const response = await chat({
    max_completion_tokens: 9,
    logprobs: true,
    top_logprobs: 1,
    chat_template_kwargs: { enable_thinking: false },
  });
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expectBody(ChatCompletion, response.body);
  expect(response.body).toMatchObject({
    id: expect.stringMatching(/^chatcmpl-/),
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "text 0" }, finish_reason: "stop" }],
  });
  expect(response.body.choices[0].logprobs.content[0]).toEqual({
    token: "text",
    logprob: -0.5,
    bytes: [116, 101, 120, 116],
    top_logprobs: [{ token: "text", logprob: -0.5, bytes: [116, 101, 120, 116] }],
  });
  expectBody(CompletionInput, worker.inputs[0]);
  expect(worker.inputs[0]).toMatchObject({
    prompts: null,
    messages,
    max_tokens: 9,
    logprobs: 1,
    chat_template_kwargs: { enable_thinking: false },
  });
});

test("without a limit the answer may fill the context", async () => {
  await chat();
  expect(worker.inputs[0]).toMatchObject({ max_tokens: null, logprobs: null });
});

test("a stream opens each choice with its role and ends with [DONE]", async () => {
  const response = await chat({ stream: true, n: 2, stream_options: { include_usage: true } });
  const data = response.text.split("\n\n").filter((block) => block.startsWith("data: "));
  expect(data.at(-1)).toBe("data: [DONE]");
  const chunks = data.slice(0, -1).map((one) => JSON.parse(one.slice(6)));
  for (const chunk of chunks) expectBody(ChatCompletionChunk, chunk);
  for (const index of [0, 1]) {
    const own = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index);
    expect(own[0].delta).toEqual({ role: "assistant", content: "" });
    expect(own.map((choice) => choice.delta.content ?? "").join("")).toBe(`text ${index}`);
    expect(own.at(-1).finish_reason).toBe("stop");
  }
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
});

test("an answer's message can be handed back as the next turn", async () => {
  const { message } = (await chat()).body.choices[0];
  const turns = [
    ...messages,
    message,
    { ...message, tool_calls: [], function_call: null },
    { role: "user", content: "Go on." },
  ];
  const response = await chat({ messages: turns });
  expect(response.status, JSON.stringify(response.body)).toBe(200);
  expect((worker.inputs.at(-1) as { messages: unknown[] }).messages).toHaveLength(5);
});

test("roles and contents that a template cannot take are refused at their fields", async () => {
  expectOpenAIError(await chat({ messages: [] }), 400, "VALIDATION_FAILED", "messages");
  expectOpenAIError(
    await chat({ messages: [{ role: "robot", content: "x" }] }),
    400,
    "VALIDATION_FAILED",
    "messages[0].role",
  );
  const image = [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }];
  expect((await chat({ messages: image })).status).toBe(400);
});

test("tools and formats that change the answer are refused, neutral ones are not", async () => {
  expect((await chat({ tools: [], tool_choice: "auto", response_format: { type: "text" } })).status).toBe(200);
  const tool = { type: "function", function: { name: "f" } };
  expectOpenAIError(await chat({ tools: [tool] }), 400, "UNSUPPORTED_PARAMETER", "tools");
  expectOpenAIError(
    await chat({ response_format: { type: "json_object" } }),
    400,
    "UNSUPPORTED_PARAMETER",
    "response_format",
  );
  expectOpenAIError(await chat({ top_logprobs: 2 }), 422, "SETTINGS_CONTRADICTORY", "top_logprobs");
});
