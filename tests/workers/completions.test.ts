import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { Completion } from "../../domain/completion.ts";
import { maximumEncodeTexts, maximumEncodeTokens } from "../../domain/sae.ts";
import { createGenerator } from "../../engine/llm/generator.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { openModel } from "../../engine/llm/model.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { toControlEdits, toEngineEdits } from "../../workers/steering.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

const dModel = 48;
const width = 96;
const layer = 1;
const k = 6;
const prompt = "The river runs past the town";

let folder: string;
let deployment: Deployment;
let app: Awaited<ReturnType<typeof buildApp>>;
let address: string;
let serving: Worker;
let sae: OpenedSae;
let client: OpenAI;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "completions-")));
  deployment = await deploy({ MODEL_ROOTS: `tests/fixtures,${folder}` });
  await deployment.worker("batch");
  serving = await deployment.worker("interactive");
  await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });

  const random = createRandom("completions");
  const numbers = (count: number, scale: number) => Float32Array.from({ length: count }, () => scale * random.normal());
  sae = await openSae({
    dModel,
    width,
    rule: { kind: "topk", k },
    W_enc_FD: numbers(width * dModel, 0.2),
    b_enc_F: numbers(width, 0.1),
    W_dec_FD: numbers(width * dModel, 0.2),
    b_dec_D: numbers(dModel, 0.01),
  });
  await writeSaelens(join(folder, "sae"), sae.sae, { layer });
  const source = { type: "directory", path: join(folder, "sae") };
  await deployment.run("sae.import", { name: "random", model_id: "tiny", layer, layout: "saelens", source });

  app = await buildApp({ platform: deployment.platform });
  address = await app.listen({ host: "127.0.0.1", port: 0 });
  client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await app.close();
  await deployment.close();
  await sae.close();
  await rm(folder, { recursive: true });
});

async function post(path: string, body: object, signal?: AbortSignal): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return await fetch(`${address}${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
}

async function complete(body: object): Promise<Completion> {
  const response = await post("/v1/completions", { model: "tiny", prompt, max_tokens: 24, temperature: 0, ...body });
  const answer = await response.json();
  if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
  return answer as Completion;
}

const add = (feature: number, value: number) => ({
  edits: [{ feature: `random:${feature}`, op: "add", value, unit: "residual_norm" }],
});

describe("completions through API, queue, worker and device", () => {
  test("a greedy text is what the engine itself gives", async () => {
    const model = await openModel(fixtureModel, { threads: 1 });
    const request = {
      maxTokens: 24,
      temperature: 0,
      topP: 1,
      topK: 0,
      repetitionPenalty: 1,
      seed: 0,
      stop: [],
      logprobs: null,
      edits: [],
    };
    let text = "";
    for await (const event of createGenerator(model).add({ promptIds: model.tokenizer.encode(prompt), ...request })) {
      if (event.type === "delta") text += event.text;
    }
    await model.close();
    const answer = await complete({});
    expect(answer.choices[0]?.text).toBe(text);
    expect(answer.usage?.completion_tokens).toBe(24);
    expect(answer.system_fingerprint).toMatch(/^onnxruntime-\d/);
  });

  test("requests in one batch with different steering say what each says alone", async () => {
    const bodies = [
      { steering: add(3, 1.5) },
      { steering: add(40, -2) },
      {},
      {
        steering: {
          edits: [
            { feature: "random:7", op: "ablate" },
            { feature: "random:8", op: "project_out" },
          ],
        },
      },
      { temperature: 0.9, seed: 5, steering: add(11, 1) },
      { temperature: 0.9, seed: 5, prompt: "Another, longer prompt that is read beside the others" },
    ];
    const alone: Completion[] = [];
    for (const body of bodies) alone.push(await complete({ seed: 1, ...body }));
    const together = await Promise.all(bodies.map((body) => complete({ seed: 1, ...body })));
    expect(together.map((answer) => answer.choices)).toEqual(alone.map((answer) => answer.choices));
    expect(new Set(alone.map((answer) => answer.choices[0]?.text)).size).toBeGreaterThan(3);
  });

  test("steering by nothing changes nothing, and by much changes the text", async () => {
    const plain = (await complete({})).choices[0]?.text;
    expect((await complete({ steering: add(3, 0) })).choices[0]?.text).toBe(plain);
    expect((await complete({ steering: add(3, 4) })).choices[0]?.text).not.toBe(plain);
  });

  test("baseline and control come beside the steered text, the baseline as if nothing had been asked", async () => {
    const answer = await complete({ steering: { ...add(3, 3), include_baseline: true, control: "random_feature" } });
    const byRole = Object.fromEntries(answer.choices.map((choice) => [choice.role_in_experiment, choice]));
    expect(Object.keys(byRole).toSorted()).toEqual(["baseline", "control", "steered"]);
    expect(byRole.baseline?.text).toBe((await complete({})).choices[0]?.text);
    const change = (role: string) => byRole[role]!.steering_report!.edits[0]!.mean_relative_change;
    expect(change("steered")).toBeGreaterThan(0.5);
    // Equal in size at the first steered token; afterwards each arm lives in its own text.
    expect(change("control")).toBeGreaterThan(0.5 * change("steered"));
    expect(byRole.baseline?.steering_report).toEqual({
      edits: [],
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      determinism: "exact",
    });
    const fingerprints = answer.choices.map((choice) => choice.steering_report?.fingerprint);
    expect(new Set(fingerprints).size).toBe(3);
  });

  test("the report counts the tokens that were touched, and on which of them the sae had the feature", async () => {
    const edit = {
      feature: "random:3",
      op: "add",
      value: 0.5,
      unit: "residual_norm",
      apply: { prompt: [0, -1], generation: { from: 0, to: 5 } },
    };
    const answer = await complete({ steering: { edits: [edit] } });
    expect(answer.choices[0]?.steering_report).toMatchObject({
      determinism: "exact",
      edits: [{ edit: 0, layer, prompt_tokens: 2, generated_tokens: 5, gate_open_tokens: null }],
    });
    const all = await complete({ max_tokens: 1, steering: { edits: [{ feature: "random:3", op: "ablate" }] } });
    const model = await openModel(fixtureModel, { threads: 1 });
    let expected = 0;
    for await (const batch of harvest(model, [Int32Array.from(model.tokenizer.encode(prompt))], { layers: [layer] })) {
      const active = await sae.encode(batch.activations[0]!);
      expected = active.features.filter((feature) => feature === 3).length;
      expect(all.choices[0]?.steering_report?.edits[0]?.prompt_tokens).toBe(batch.rows);
    }
    await model.close();
    expect(all.choices[0]?.steering_report?.edits[0]?.in_top_k_tokens).toBe(expected);
  });

  test("the control arm counts the feature that it drew, not the one that was asked for", async () => {
    const model = await openModel(fixtureModel, { threads: 1 });
    const counts = new Array<number>(width).fill(0);
    const ids = Int32Array.from(model.tokenizer.encode(prompt));
    for await (const batch of harvest(model, [ids], { layers: [layer] })) {
      for (const feature of (await sae.encode(batch.activations[0]!)).features) counts[feature]! += 1;
    }
    await model.close();
    const drawnBy = (seed: number): number => {
      const feature = { sae_id: "sae", index: 3, layer };
      const without = { vector: null, value: null, unit: null, gate: null, residual_norm: null, max_activation: null };
      const edits = [{ layer, feature, op: "ablate" as const, apply: {}, ...without }];
      const saes = new Map([["sae", sae]]);
      const own = toEngineEdits(edits, saes, { length: ids.length, isSpecial: () => false }, 1);
      return toControlEdits(edits, own, saes, seed)[0]!.drawnFeature!;
    };
    // A seed whose feature is found on another number of tokens, so that the two cannot be taken for each other.
    const seed = Array.from({ length: 500 }, (_, i) => i).find((i) => {
      const count = counts[drawnBy(i)]!;
      return count > 0 && count !== counts[3];
    })!;
    const steering = { edits: [{ feature: "random:3", op: "ablate" }], control: "random_feature" };
    const answer = await complete({ max_tokens: 1, seed, steering });
    const counted = answer.choices.map((choice) => choice.steering_report?.edits[0]?.in_top_k_tokens);
    expect(counted).toEqual([counts[3], counts[drawnBy(seed)]]);
  });

  test("equal requests have one fingerprint, and anything that decides the text changes it", async () => {
    const fingerprint = async (body: object) => (await complete(body)).choices[0]?.steering_report?.fingerprint;
    const body = { temperature: 1, seed: 1, steering: add(3, 1) };
    const first = await fingerprint(body);
    expect(await fingerprint(body)).toBe(first);
    for (const change of [{ steering: add(3, 2) }, { steering: add(4, 1) }, { seed: 9 }, { top_k: 5 }, { stop: "x" }]) {
      expect(await fingerprint({ ...body, ...change })).not.toBe(first);
    }
    // The seed is part of it also where nothing is drawn.
    const greedy = (seed: number) => fingerprint({ steering: add(3, 1), seed });
    expect(await greedy(1)).toBe(await greedy(1));
    expect(await greedy(1)).not.toBe(await greedy(2));
  });

  test("a maximum activation that was never measured is a 422 with its code", async () => {
    const edits = [{ feature: "random:3", op: "add", value: 1, unit: "max_activation" }];
    const response = await post("/v1/completions", { model: "tiny", prompt, steering: { edits } });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ error: { code: "FEATURE_STATISTICS_MISSING" } });
  });

  test("a prompt beyond the context is a 4xx, streamed or not", async () => {
    for (const stream of [false, true]) {
      const response = await post("/v1/completions", { model: "tiny", prompt: "word ".repeat(600), stream });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: "CONTEXT_LENGTH_EXCEEDED" } });
    }
  });

  test("log-probabilities and several choices come for each token", async () => {
    const answer = await complete({ n: 2, seed: 1, temperature: 1, logprobs: 2, max_tokens: 6 });
    expect(answer.choices).toHaveLength(2);
    for (const choice of answer.choices) {
      const bytes = choice.logprobs?.tokens.map((token) =>
        token.startsWith("bytes:") ? Buffer.from(token.replace(/^bytes:|\\x/g, ""), "hex") : Buffer.from(token),
      );
      expect(Buffer.concat(bytes ?? []).toString()).toBe(choice.text);
      for (const logprob of choice.logprobs?.token_logprobs ?? []) expect(logprob).toBeLessThan(0);
      for (const top of choice.logprobs?.top_logprobs ?? []) expect(Object.keys(top ?? {}).length).toBeGreaterThan(0);
    }
  });

  test("the openai client completes, chats and streams; a stream adds up to the whole", async () => {
    const whole = await client.completions.create({ model: "tiny", prompt, max_tokens: 20, temperature: 0 });
    let streamed = "";
    for await (const chunk of await client.completions.create({
      model: "tiny",
      prompt,
      max_tokens: 20,
      temperature: 0,
      stream: true,
    })) {
      streamed += chunk.choices[0]?.text ?? "";
    }
    expect(streamed).toBe(whole.choices[0]?.text);

    const messages = [{ role: "user" as const, content: "How far is it to the sea?" }];
    const request = { model: "tiny", messages, max_tokens: 12, temperature: 0 };
    const chat = await client.chat.completions.create(request);
    let spoken = "";
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      spoken += chunk.choices[0]?.delta.content ?? "";
    }
    expect(spoken).toBe(chat.choices[0]?.message.content);
    expect(chat.usage?.prompt_tokens).toBeGreaterThan(10);
  });

  test("encode refuses more tokens than one request may have, with both numbers", async () => {
    const model = await openModel(fixtureModel, { threads: 1 });
    let text = "word";
    while (model.tokenizer.encode(text).length < 300) text += " and word";
    const tokens = maximumEncodeTexts * model.tokenizer.encode(text, { addSpecial: true }).length;
    await model.close();
    const texts = Array.from({ length: maximumEncodeTexts }, () => text);
    const response = await post("/v1/saes/random/encode", { texts });
    expect(response.status).toBe(400);
    const problem = await response.json();
    expect(problem).toMatchObject({ code: "VALIDATION_FAILED", errors: [{ pointer: "/texts" }] });
    for (const number of [tokens, maximumEncodeTokens]) expect(JSON.stringify(problem)).toContain(String(number));
  });

  test("encode gives the tokens and the features that the sae itself gives", async () => {
    const texts = ["The river", "runs past an old bridge"];
    const response = await post("/v1/saes/random/encode", { texts });
    expect(response.status).toBe(200);
    const { results } = (await response.json()) as {
      results: { tokens: { id: number }[]; features: { index: number; value: number }[][] }[];
    };
    const model = await openModel(fixtureModel, { threads: 1 });
    for (const [index, text] of texts.entries()) {
      const ids = model.tokenizer.encode(text);
      expect(results[index]?.tokens.map((token) => token.id)).toEqual(ids);
      for await (const batch of harvest(model, [Int32Array.from(ids)], { layers: [layer] })) {
        const active = await sae.encode(batch.activations[0]!);
        const expected = ids.map((_, row) => {
          const [from, to] = [active.offsets[row]!, active.offsets[row + 1]!];
          return Array.from({ length: to - from }, (_, i) => ({
            index: active.features[from + i],
            value: active.values[from + i],
          }));
        });
        expect(results[index]?.features).toEqual(expected);
      }
    }
    await model.close();
  });

  test("a client that leaves frees its place: the request is canceled, and the batch is empty for the next", async () => {
    const abort = new AbortController();
    const response = await post(
      "/v1/completions",
      { model: "tiny", prompt, max_tokens: 480, temperature: 1, seed: 3, stream: true },
      abort.signal,
    );
    await response.body!.getReader().read();
    abort.abort();
    const { db } = deployment.platform;
    await expect
      .poll(() => db.request.count({ where: { state: { in: ["queued", "running"] } } }), { timeout: 60_000 })
      .toBe(0);
    expect((await complete({ max_tokens: 4 })).choices[0]?.finish_reason).toBe("length");
  });

  test("a worker lost after the first token is an error in the stream, and the next request is served", async () => {
    const response = await post("/v1/completions", {
      model: "tiny",
      prompt,
      max_tokens: 480,
      temperature: 1,
      seed: 3,
      stream: true,
    });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader.read()).value ?? "";
    process.kill(serving.devicePid()!, "SIGKILL");
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
    expect(text).toContain("WORKER_LOST");
    expect(text).not.toContain('finish_reason":"length"');
    expect((await complete({ max_tokens: 4 })).choices[0]?.finish_reason).toBe("length");
  });
});
