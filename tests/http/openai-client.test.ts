// The official client, as people use it, against a listening server.
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fieldProblem } from "../../domain/problem.ts";
import type { Model, Sae } from "../../platform/database.ts";
import { modelRow, saeRow, type TestApi, testApi } from "./api.ts";
import { recite, type ScriptedWorker, scriptedWorker } from "./worker.ts";

let api: TestApi;
let model: Model;
let sae: Sae;
let worker: ScriptedWorker;
let client: OpenAI;
beforeAll(async () => {
  api = await testApi();
  model = await modelRow(api, api.platform.workspaceId);
  sae = await saeRow(api, model);
  worker = await scriptedWorker(api.platform, model.id, recite);
  const address = await api.app.listen({ host: "127.0.0.1", port: 0 });
  client = new OpenAI({ baseURL: `${address}/v1`, apiKey: await api.secret(api.platform.workspaceId), maxRetries: 0 });
});
afterAll(async () => {
  await worker.stop();
  await api.close();
});

test("it lists and reads models", async () => {
  const names: string[] = [];
  for await (const one of client.models.list()) names.push(one.id);
  expect(names).toContain(model.id);
  expect(await client.models.retrieve(model.name)).toMatchObject({ id: model.id, object: "model" });
});

test("it completes, streams and chats", async () => {
  const completion = await client.completions.create({
    model: model.name,
    prompt: "Once",
    max_tokens: 4,
    seed: 1,
    logprobs: 1,
  });
  expect(completion.choices[0]?.text).toBe("text 0");
  expect(completion.choices[0]?.logprobs?.tokens).toEqual(["text", " 0"]);
  let text = "";
  for await (const chunk of await client.completions.create({ model: model.name, prompt: "Once", stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  expect(text).toBe("text 0");
  const messages = [{ role: "user" as const, content: "Hello" }];
  const chat = await client.chat.completions.create({ model: model.name, messages });
  expect(chat.choices[0]?.message.content).toBe("text 0");
  // The answer goes back as it came, as the next turn of the conversation.
  const turns = [...messages, chat.choices[0]!.message, ...messages];
  const next = await client.chat.completions.create({ model: model.name, messages: turns });
  expect(next.choices).toHaveLength(1);
  const stream = client.chat.completions.stream({ model: model.name, messages });
  expect(await stream.finalContent()).toBe("text 0");
});

test("it passes steering through and reads the arms", async () => {
  const completion = await client.completions.create({
    model: model.name,
    prompt: "Once",
    // @ts-expect-error an extension that the client's types do not know
    steering: { edits: [{ feature: `${sae.name}:1`, op: "ablate" }], include_baseline: true },
  });
  const arms = completion.choices.map((choice) => (choice as { role_in_experiment?: string }).role_in_experiment);
  expect(arms).toEqual(["steered", "baseline"]);
});

test("it raises its own errors with our codes", async () => {
  await expect(client.completions.create({ model: "none", prompt: "x" })).rejects.toMatchObject({
    status: 404,
    code: "MODEL_NOT_FOUND",
  });
  const wrong = new OpenAI({ baseURL: client.baseURL, apiKey: "qs_wrong", maxRetries: 0 });
  await expect(wrong.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  worker.answer = async (_input, write) => {
    await write({ type: "started", data: { prompt_tokens: [1], runtime: "r" } });
    await write({ type: "delta", data: { choice: 0, text: "half" } });
    throw fieldProblem("WORKER_LOST", "", "the worker went away");
  };
  const broken = await client.completions.create({ model: model.name, prompt: "x", stream: true });
  const read = async () => {
    for await (const chunk of broken) expect(chunk.choices[0]?.text).toBe("half");
  };
  await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
  worker.answer = recite;
});
