import { cp, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { ChatCompletion, Completion } from "../../domain/completion.ts";
import { cacheBytesPerToken } from "../../engine/llm/cache.ts";
import { parseDecoderConfig } from "../../engine/llm/config.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

/** Tokens that the memory holds, and that the model would take. */
const columns = 2048;
const context = 4096;
/** Says what it is told, except that it does not end when told to loop, and says nothing when told so. */
const template =
  "{% if messages[0].content == 'loop' %}{% for a in range(9000) %}{% for b in range(9000) %}{% for c in range(9000) %}" +
  "{% endfor %}{% endfor %}{% endfor %}{% elif messages[0].content != 'nothing' %}{{ messages[0].content }}{% endif %}";
let cacheBytes: number;
let folder: string;
let deployment: Deployment;
let app: Awaited<ReturnType<typeof buildApp>>;
let address: string;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "serving-")));
  const config = parseDecoderConfig(JSON.parse(await readFile(join(fixtureModel, "config.json"), "utf8")));
  cacheBytes = columns * cacheBytesPerToken(config);
  deployment = await deploy({ MODEL_ROOTS: `tests/fixtures,${folder}`, WORKER_CACHE_BYTES: String(cacheBytes) });
  await deployment.worker("batch");
  await deployment.worker("interactive");
  const input = await copyOfModel("tiny", async (copy) => {
    await changeJson(join(copy, "config.json"), (json) => ({ ...json, max_position_embeddings: context }));
    await changeJson(join(copy, "tokenizer_config.json"), (json) => ({ ...json, chat_template: template }));
  });
  await deployment.run("model.import", input as never);
  app = await buildApp({ platform: deployment.platform });
  address = await app.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await app.close();
  await deployment.close();
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

/** Token ids that no tokenizer needs to be asked about. */
const ids = (seed: number, length: number) => Array.from({ length }, (_, i) => 5 + ((seed * 31 + i * 7) % 250));

async function complete(body: object): Promise<Completion> {
  const response = await post("/v1/completions", { model: "tiny", max_tokens: 4, temperature: 0, ...body });
  const answer = await response.json();
  if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
  return answer as Completion;
}

const cachedTokens = ({ usage }: Completion | ChatCompletion) => usage?.prompt_tokens_details?.cached_tokens;

async function copyOfModel(name: string, change: (copy: string) => Promise<void>): Promise<object> {
  const copy = join(folder, name);
  await cp(fixtureModel, copy, { recursive: true });
  await change(copy);
  return { name, source: { type: "directory", path: copy } };
}

async function changeJson(path: string, change: (json: Record<string, unknown>) => object): Promise<void> {
  await writeFile(path, JSON.stringify(change(JSON.parse(await readFile(path, "utf8")))));
}

describe("the memory of running completions", () => {
  test("what could never fit is refused with both numbers; without a limit the answer takes its share", async () => {
    const response = await post("/v1/completions", { model: "tiny", prompt: ids(1, 100), max_tokens: 2460 });
    expect(response.status).toBeGreaterThanOrEqual(400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("MEMORY_INSUFFICIENT");
    expect(error.message).toContain(String(cacheBytes));
    expect(error.message).toContain(String((2560 / columns) * cacheBytes));
    const messages = [{ role: "user", content: "Tell me all" }];
    const chat = await post("/v1/chat/completions", { model: "tiny", messages, temperature: 0 });
    expect(chat.status).toBe(200);
  });

  test("requests beyond it wait for each other and all are answered; a departed client's place goes to the next", async () => {
    const leave = new AbortController();
    // Nearly all of the memory, for longer than the others need together.
    const first = await post(
      "/v1/completions",
      { model: "tiny", prompt: ids(2, 20), max_tokens: 1900, temperature: 1, seed: 1, stream: true },
      leave.signal,
    );
    await first.body!.getReader().read();
    const others = [3, 4, 5].map((seed) => complete({ prompt: ids(seed, 200), max_tokens: 150 }));
    leave.abort();
    for (const answer of await Promise.all(others)) {
      expect(answer.usage?.prompt_tokens).toBe(200);
      expect(answer.choices[0]?.finish_reason).toMatch(/stop|length/);
    }
  });
});

describe("prompts that begin alike", () => {
  test("are told in the usage, within one workspace and for equal steering", async () => {
    const prompt = ids(6, 300);
    const first = await complete({ prompt });
    expect(cachedTokens(first)).toBe(0);
    const again = await complete({ prompt });
    expect(cachedTokens(again)).toBe(300);
    expect(again.choices).toEqual(first.choices);
    // Of a longer prompt the whole chunks of 256 tokens.
    expect(cachedTokens(await complete({ prompt: [...prompt, ...ids(7, 20)] }))).toBe(256);
    const vector = { layer: 1, values: Array.from({ length: 48 }, (_, i) => Math.sin(i)) };
    const edits = [{ vector, op: "add", value: 1, unit: "absolute" }];
    const steered = { prompt, seed: 1, steering: { edits, include_baseline: true } };
    const arms = await complete(steered);
    expect(arms.usage?.prompt_tokens).toBe(300);
    expect(cachedTokens(arms)).toBe(0);
    const twice = await complete(steered);
    expect(cachedTokens(twice)).toBe(300);
    expect(twice.choices).toEqual(arms.choices);
    expect(twice.choices[0]?.steering_report?.edits[0]).toMatchObject({ prompt_tokens: 300, generated_tokens: 3 });
  });

  test("count once however many choices are drawn, and come in a stream's usage too", async () => {
    const body = { prompt: ids(8, 40), n: 3, seed: 1, temperature: 1 };
    expect(cachedTokens(await complete(body))).toBe(0);
    const response = await post("/v1/completions", {
      model: "tiny",
      max_tokens: 4,
      stream: true,
      stream_options: { include_usage: true },
      ...body,
    });
    const usage = /"usage":(\{"prompt_tokens".*?\}\})/.exec(await response.text())?.[1];
    expect(JSON.parse(usage ?? "null")).toEqual({
      prompt_tokens: 40,
      completion_tokens: 12,
      total_tokens: 52,
      prompt_tokens_details: { cached_tokens: 40 },
    });
    const { text } = await deployment.platform.metrics.print();
    const counted = (name: string) => Number(new RegExp(`^${name}\\{.*\\} (\\d+)$`, "m").exec(text)?.[1]);
    expect(counted("prompt_tokens_cached_total")).toBeGreaterThanOrEqual(120);
    expect(counted("prompt_tokens_total")).toBeGreaterThan(counted("prompt_tokens_cached_total"));
  });

  test("nothing is kept of a model that was deleted", async () => {
    const prompt = ids(9, 260);
    const source = { type: "directory", path: join(folder, "tiny") };
    await deployment.run("model.import", { name: "brief", source });
    await complete({ model: "brief", prompt });
    expect(cachedTokens(await complete({ model: "brief", prompt }))).toBe(260);
    expect((await fetch(`${address}/v1/models/brief`, { method: "DELETE" })).status).toBe(204);
    // The same files under another name: the open model is the same, so the prompt would be known.
    const known = async () => cachedTokens(await complete({ prompt }));
    await expect.poll(known, { timeout: 60_000, interval: 1_500 }).toBe(0);
  });
});

test("a chat's tokens come with their own log probabilities, among the most likely ones or not", async () => {
  const messages = [{ role: "user", content: "How far is it to the sea?" }];
  const body = { model: "tiny", messages, max_tokens: 30, temperature: 2, seed: 4, logprobs: true };
  const of = async (top: number) => {
    const answer = (await (
      await post("/v1/chat/completions", { ...body, top_logprobs: top })
    ).json()) as ChatCompletion;
    return answer.choices[0]?.logprobs?.content ?? [];
  };
  const [none, two] = [await of(0), await of(2)];
  expect(none.length).toBeGreaterThan(10);
  expect(none.map(({ top_logprobs, ...token }) => [token, top_logprobs])).toEqual(
    two.map(({ top_logprobs: _, ...token }) => [token, []]),
  );
  const sameBytes = (a: { bytes: number[] | null }, b: { bytes: number[] | null }) => `${a.bytes}` === `${b.bytes}`;
  const places = two.map((token) => {
    const [first, second] = token.top_logprobs;
    expect(token.top_logprobs).toHaveLength(2);
    expect(first!.logprob).toBeGreaterThanOrEqual(second!.logprob);
    const place = token.top_logprobs.findIndex((other) => sameBytes(other, token));
    if (place >= 0) expect(token.top_logprobs[place]!.logprob).toBe(token.logprob);
    else expect(token.logprob).toBeLessThanOrEqual(second!.logprob);
    return place >= 0;
  });
  expect(new Set(places)).toEqual(new Set([true, false]));
});

describe("what comes with a checkpoint", () => {
  test("a chat template that does not end is refused with its limit, and others are answered before and after", async () => {
    const chat = (content: string) =>
      post("/v1/chat/completions", {
        model: "tiny",
        messages: [{ role: "user", content }],
        max_tokens: 4,
        temperature: 0,
      });
    const before = (await (await chat("Hello")).json()) as ChatCompletion;
    const [refused, other] = await Promise.all([chat("loop"), complete({ prompt: ids(1, 5) })]);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      error: { code: "VALIDATION_FAILED", message: expect.stringContaining("did not end within 3 s") },
    });
    expect(other.choices).toHaveLength(1);
    expect(((await (await chat("Hello")).json()) as ChatCompletion).choices).toEqual(before.choices);
  });

  test("a tokenizer pattern that backtracks for ever is refused when the model is imported", async () => {
    const input = await copyOfModel("endless-pattern", (copy) =>
      changeJson(join(copy, "tokenizer.json"), (json) => {
        const split = { type: "Split", pattern: { Regex: "(?:[a-z ]+)+!!" }, behavior: "Isolated", invert: false };
        return { ...json, pre_tokenizer: { type: "Sequence", pretokenizers: [split, json.pre_tokenizer] } };
      }),
    );
    const row = await deployment.ended(await deployment.submit("model.import", input as never));
    expect(row).toMatchObject({ state: "failed", attempt: 1 });
    expect(row.error).toMatchObject({
      code: "MODEL_UNSUPPORTED",
      detail: expect.stringMatching(/patterns of tokenizer.json on a text of \d+ characters: it did not end within/),
    });
  });

  test("a prompt without tokens, or past the limit, is refused with both numbers", async () => {
    const messages = [{ role: "user", content: "nothing" }];
    const silent = await post("/v1/chat/completions", { model: "tiny", messages });
    expect(silent.status).toBe(400);
    expect(await silent.json()).toMatchObject({ error: { message: expect.stringMatching(/0 tokens.* 1 is needed/) } });
    const long = await post("/v1/completions", { model: "tiny", prompt: ids(1, context + 1), max_tokens: 1 });
    expect(long.status).toBe(400);
    expect(await long.json()).toMatchObject({
      error: { code: "CONTEXT_LENGTH_EXCEEDED", message: expect.stringMatching(/4097 tokens.*4096/) },
    });
  });
});
