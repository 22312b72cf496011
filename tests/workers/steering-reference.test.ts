// Steered requests over the wire against forward hooks in PyTorch that read the contract for themselves (tests/fixtures/steering).
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { Completion } from "../../domain/completion.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

interface EditRecord {
  readonly prompt_tokens: number;
  readonly generated_tokens: number;
  readonly mean_relative_change: number;
  readonly gate_open_tokens: number | null;
  readonly in_top_k_tokens: number | null;
}
interface Case {
  readonly body: { readonly prompt: number[]; readonly max_tokens: number; readonly steering?: { edits: object[] } };
  readonly expected: {
    readonly token_logprobs: number[];
    readonly top_logprobs: number[][];
    readonly edits: EditRecord[];
  };
}
const { requests, unit_direction_norm } = JSON.parse(
  readFileSync("tests/fixtures/steering/reference.json", "utf8"),
) as {
  requests: Record<string, Case>;
  unit_direction_norm: number;
};

let deployment: Deployment;
let app: Awaited<ReturnType<typeof buildApp>>;
beforeAll(async () => {
  deployment = await deploy();
  await deployment.worker("batch");
  await deployment.worker("interactive");
  await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
  for (const [layer, name] of ["low", "high"].entries()) {
    const source = { type: "directory", path: `tests/fixtures/steering/${name}` };
    await deployment.run("sae.import", { name, model_id: "tiny", layer, layout: "saelens", source });
  }
  app = await buildApp({ platform: deployment.platform });
});
afterAll(async () => {
  await app.close();
  await deployment.close();
});

async function post(body: object, url = "/v1/completions") {
  const payload = { model: "tiny", temperature: 0, ...body };
  return await app.inject({ method: "POST", url, payload, headers: { host: "localhost" } });
}
async function complete(body: object): Promise<Completion> {
  const response = await post(body);
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${response.body}`);
  return response.json();
}
const named = (name: string) => ({ ...requests[name]!.body, logprobs: 20, seed: 1 });

function expectAsReferred(answer: Completion, { expected }: Case): void {
  const { logprobs, steering_report: report } = answer.choices[0]!;
  expect(logprobs!.token_logprobs).toHaveLength(expected.token_logprobs.length);
  for (const [step, wanted] of expected.token_logprobs.entries()) {
    expect(Math.abs(logprobs!.token_logprobs[step]! - wanted), `step ${step}`).toBeLessThan(1e-4);
    const top = Object.values(logprobs!.top_logprobs![step]!).sort((a, b) => b - a);
    const worst = Math.max(...top.map((value, rank) => Math.abs(value - expected.top_logprobs[step]![rank]!)));
    expect(worst, `step ${step}`).toBeLessThan(1e-4);
  }
  for (const [index, wanted] of expected.edits.entries()) {
    const { mean_relative_change, ...counts } = report!.edits[index]!;
    const { mean_relative_change: change, ...wantedCounts } = wanted;
    expect(counts, `edit ${index}`).toMatchObject(wantedCounts);
    expect(mean_relative_change, `edit ${index}`).toBeCloseTo(change, 5);
  }
}

describe("a steered text is what forward hooks make of it", () => {
  const names = Object.keys(requests);
  let alone: Completion[];

  test.each(names)("%s", async (name) => {
    expectAsReferred(await complete(named(name)), requests[name]!);
  });

  test("with the same bits and reports when all of them are in one batch, and their prompts are known", async () => {
    alone = [];
    for (const name of names) alone.push(await complete(named(name)));
    // All prompts were read before: the longest shares its first chunk with another, whose edits are elsewhere.
    const cached = alone.map(({ usage }) => usage!.prompt_tokens_details!.cached_tokens);
    expect(cached).toEqual(names.map((name) => requests[name]!.body.prompt.length));
    const together = await Promise.all(names.map((name) => complete(named(name))));
    expect(together.map(({ choices }) => choices)).toEqual(alone.map(({ choices }) => choices));
    for (const [index, name] of names.entries()) expectAsReferred(together[index]!, requests[name]!);
  });

  test("in residual norms as in absolute lengths", async () => {
    const answer = await app.inject({ method: "GET", url: "/v1/models/tiny", headers: { host: "localhost" } });
    const norm = (answer.json() as { residual_norms: number[] }).residual_norms[0]!;
    const [edit] = requests.unit!.body.steering!.edits as { value: number }[];
    const value = (edit!.value * unit_direction_norm) / norm;
    const steering = { edits: [{ ...edit, value, unit: "residual_norm" }] };
    expectAsReferred(await complete({ ...named("unit"), steering }), requests.unit!);
  });
});

const windows = () => requests.windows!.body;

describe("what people ask for beside steering", () => {
  test("several choices draw apart, and each arm of one choice draws alike", async () => {
    const steering = {
      edits: [{ feature: "low:3", op: "add", value: 0 }],
      include_baseline: true,
      control: "random_feature",
    };
    const body = { prompt: windows().prompt, max_tokens: 8, temperature: 1, seed: 5, n: 3, logprobs: 0, steering };
    const { choices } = await complete(body);
    expect(choices.map((choice) => choice.role_in_experiment)).toEqual(
      ["steered", "baseline", "control"].flatMap((role) => [role, role, role]),
    );
    // An edit by nothing: all arms say what the seed alone says.
    const texts = choices.map(({ text, logprobs }) => [text, logprobs]);
    expect(texts.slice(3, 6)).toEqual(texts.slice(0, 3));
    expect(texts.slice(6, 9)).toEqual(texts.slice(0, 3));
    expect(new Set(choices.slice(0, 3).map(({ text }) => text)).size).toBe(3);
    expect(new Set(choices.map((choice) => choice.steering_report!.fingerprint)).size).toBe(9);
    for (const [index, choice] of choices.slice(0, 3).entries()) {
      const { choices: single } = await complete({ ...body, n: 1, seed: 5 + index });
      expect(single[0]!.text).toBe(choice.text);
      expect(single[0]!.steering_report!.fingerprint).toBe(choice.steering_report!.fingerprint);
    }
  });

  test("a stream of all arms adds up to the whole answer, log-probabilities and reports included", async () => {
    const edits = [{ feature: "low:3", op: "add", value: 3 }];
    for (const url of ["/v1/completions", "/v1/chat/completions"]) {
      const isChat = url.includes("chat");
      const own = isChat
        ? { messages: [{ role: "user", content: "How far is it?" }], logprobs: true, top_logprobs: 3 }
        : { prompt: windows().prompt, logprobs: 3 };
      const body = {
        ...own,
        max_tokens: 9,
        seed: 2,
        n: 2,
        steering: { edits, include_baseline: true, control: "random_feature" },
      };
      const whole = (await post(body, url)).json();
      const stream = await post({ ...body, stream: true, stream_options: { include_usage: true } }, url);
      const chunks = stream.body
        .split("\n\n")
        .flatMap((event) => (/^data: \{/m.test(event) ? [JSON.parse(event.slice(event.indexOf("{")))] : []));
      expect(stream.body.trimEnd().endsWith("data: [DONE]")).toBe(true);
      for (const choice of whole.choices) {
        const pieces = chunks.flatMap(({ choices }) =>
          choices.filter(({ index }: { index: number }) => index === choice.index),
        );
        const textOf = (one: { text?: string; delta?: { content?: string } }) => one.text ?? one.delta?.content ?? "";
        expect(pieces.map(textOf).join("")).toBe(isChat ? choice.message.content : choice.text);
        const tokens = pieces.flatMap(({ logprobs }) => (isChat ? logprobs?.content : logprobs?.token_logprobs) ?? []);
        expect(tokens).toEqual(isChat ? choice.logprobs.content : choice.logprobs.token_logprobs);
        expect(pieces.at(-1)).toMatchObject({
          finish_reason: choice.finish_reason,
          steering_report: choice.steering_report,
        });
        expect(new Set(pieces.map(({ role_in_experiment }) => role_in_experiment))).toEqual(
          new Set([choice.role_in_experiment]),
        );
      }
      expect(chunks.at(-1).usage.completion_tokens).toBe(whole.usage.completion_tokens);
    }
  });

  test("a stop string ends the steered text alone, and its report counts what was fed back", async () => {
    const steering = { edits: [{ feature: "low:3", op: "add", value: 4 }], include_baseline: true };
    const body = { prompt: windows().prompt, max_tokens: 24, steering, seed: 1, temperature: 1 };
    const [full, plain] = (await complete(body)).choices;
    const pieces = Array.from(full!.text.slice(4), (_, at) => full!.text.slice(at + 4, at + 6));
    const stop = pieces.find((piece) => /^[^\ufffd]{2}$/.test(piece) && !plain!.text.includes(piece))!;
    const [stopped, baseline] = (await complete({ ...body, stop })).choices;
    expect(stopped).toMatchObject({ text: full!.text.slice(0, full!.text.indexOf(stop)), finish_reason: "stop" });
    expect(baseline!.text).toBe(plain!.text);
    const fedBack = (choice: typeof full) => choice!.steering_report!.edits[0]!.generated_tokens;
    expect(fedBack(full)).toBe(23);
    expect(fedBack(stopped)).toBeLessThan(23);
  });
});

test("an edit beyond float32 is refused with its layer, and its company keeps every bit", async () => {
  const names = ["layers", "gates", "windows"];
  const alone: Completion[] = [];
  for (const name of names) alone.push(await complete(named(name)));
  const vector = (layer: number) => ({ layer, values: new Array<number>(48).fill(1e6) });
  const beyond = (apply: object) => [
    { feature: "low:3", op: "add", value: 1 },
    // Within the limits of every field: each layer makes a million times more of what the one before left.
    { vector: vector(0), op: "add", value: 1e6, apply },
    { vector: vector(1), op: "project_out", value: 1e6, apply },
    { vector: vector(2), op: "project_out", value: 1e6, apply },
  ];
  const bodies = [
    { prompt: false, generation: { from: 2 } },
    { prompt: [1], generation: false },
  ].map((apply) => ({
    ...{ prompt: windows().prompt, max_tokens: 12, steering: { edits: beyond(apply) } },
  }));
  const [answers, refusals] = await Promise.all([
    Promise.all(names.map((name) => complete(named(name)))),
    Promise.all(bodies.map((body) => post(body))),
  ]);
  expect(answers.map(({ choices }) => choices)).toEqual(alone.map(({ choices }) => choices));
  for (const refused of refusals) {
    expect(refused.statusCode).toBe(422);
    expect(refused.json()).toMatchObject({
      error: { code: "STEERING_OVERFLOW", param: "steering.edits[3]", message: expect.stringContaining("layer 2") },
    });
  }
});
