import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { resolveFeaturesIndex } from "../../domain/feature-index.ts";
import { FeaturesLabelResult, type FeaturesLabelSettings } from "../../domain/feature-label.ts";
import { checkSchema } from "../../domain/schema.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { openModel } from "../../engine/llm/model.ts";
import { tokenTexts } from "../../engine/llm/token-texts.ts";
import { readSaelens } from "../../engine/sae/layouts/saelens.ts";
import { openSae } from "../../engine/sae/open-sae.ts";
import { writeLabels } from "../../platform/features.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import { type ChatReply, type ChatRequest, type ChatServer, startChatServer } from "./chat-server.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

const saePath = "tests/fixtures/feature-index/sae";
const key = "sk-not-to-be-seen-anywhere";

let deployment: Deployment;
let chat: ChatServer;
let saeId: string;
let dataset_id: string;
/** Features with many examples and silent texts, most frequent first. */
let usable: number[];

/** Words that occur once, so that a window of a text is found again. */
const textOf = (i: number) => Array.from({ length: 12 }, (_, at) => `w${i}x${at}`).join(" ");
const SAMPLES = 80;

beforeAll(async () => {
  chat = await startChatServer();
  deployment = await deploy({
    OUTBOUND_ALLOW: chat.place,
    SECRETS_KEY: Buffer.alloc(32, 7).toString("base64"),
  });
  await deployment.worker("batch");
  const source = { type: "directory", path: fixtureModel };
  const model = await deployment.run("model.import", { name: "tiny", source });
  const { model_id } = model.result as { model_id: string };
  const sae = await deployment.run("sae.import", {
    ...{ name: "labelled", model_id, layer: 1, layout: "saelens" },
    source: { type: "directory", path: saePath },
  });
  saeId = (sae.result as { sae_ids: string[] }).sae_ids[0]!;
  dataset_id = await deployment.dataset(
    "texts",
    Array.from({ length: SAMPLES }, (_, i) => ({ text: textOf(i) })),
  );
  await deployment.run(
    "features.index",
    resolveFeaturesIndex({}, { model_id, sae_ids: [saeId], dataset_id, contextLength: 128 }) as unknown as Json,
  );
  const rows = await deployment.platform.db.feature.findMany({
    where: { sae_id: saeId, firing_rate: { gt: 0.004, lt: 0.05 } },
    orderBy: { firing_rate: "asc" },
  });
  usable = rows.map(({ index }) => index);
  expect(usable.length).toBeGreaterThan(7);
});
afterAll(async () => {
  await deployment.close();
  await chat.close();
});
beforeEach(() => {
  chat.requests.length = 0;
  chat.authorizations.length = 0;
  chat.answer = (request) => (isTest(request) ? yes(request) : named("something"));
});

const isTest = ({ messages }: ChatRequest) => messages[0]!.content.includes("Which of the following");
const named = (label: string): ChatReply => ({ content: JSON.stringify({ explanation: "I see it.", label }) });
const yes = (request: ChatRequest): ChatReply => ({ content: JSON.stringify(textsOf(request).map(() => 1)) });
const textsOf = ({ messages }: ChatRequest) =>
  messages[0]!.content
    .split(/\n\n(?=Text \d+: |Answer with JSON)/)
    .filter((part) => part.startsWith("Text "))
    .map((part) => part.replace(/^Text \d+: /, ""));

function input(features: readonly number[], changes: object = {}): Json {
  const settings: FeaturesLabelSettings = {
    ...{ sae_id: saeId, dataset_id, features, examples: 10, test_examples: 10, minimum_score: 0 },
    ...{ replace: "none", limit: { tokens: 1_000_000 }, seed: 0 },
    endpoint: {
      ...{ url: chat.url, model: "stand-in", temperature: 0, answer_tokens: 64, timeout_s: 30, concurrency: 2 },
    },
  };
  return { ...settings, ...changes } as unknown as Json;
}
const resultOf = (row: JobRow) => row.result as unknown as FeaturesLabelResult;
const labelsOf = async (features: readonly number[]) => {
  const where = { sae_id: saeId, index: { in: [...features] }, label: { not: null } };
  const rows = await deployment.platform.db.feature.findMany({ where, orderBy: { index: "asc" } });
  return rows.map(({ index, label, label_source, label_score }) => ({ index, label, label_source, label_score }));
};
async function reportOf(row: JobRow): Promise<Record<string, unknown>[]> {
  const { artifact_id } = await deployment.platform.db.jobArtifact.findFirstOrThrow({ where: { job_id: row.id } });
  const artifact = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifact_id } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of await deployment.platform.store.get(deployment.workspaceId, artifact.digest!))
    chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString("utf8").trim();
  return lines === "" ? [] : lines.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Whether a feature is active on a piece of a sample, by the engine alone. */
async function truth(feature: number): Promise<(text: string) => boolean> {
  const model = await openModel(fixtureModel, { threads: 1 });
  const sae = await openSae((await readSaelens(saePath)).sae, { threads: 1 });
  const samples: { text: string; ends: number[]; active: boolean[] }[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    const ids = Int32Array.from(model.tokenizer.encode(textOf(i), { addSpecial: true }));
    for await (const batch of harvest(model, [ids], { layers: [1] })) {
      const rows = await sae.encode(batch.activations[0]!);
      const active = Array.from(ids, (_, t) =>
        rows.features.subarray(rows.offsets[t]!, rows.offsets[t + 1]!).includes(feature),
      );
      let length = 0;
      const texts = tokenTexts(ids, model.tokenizer);
      samples.push({ text: texts.join(""), ends: texts.map((text) => (length += text.length)), active });
    }
  }
  await model.close();
  await sae.close();
  return (text) => {
    const sample = samples.filter((one) => one.text.includes(text));
    expect(sample, JSON.stringify(text)).toHaveLength(1);
    const { ends, active, text: whole } = sample[0]!;
    const start = whole.indexOf(text);
    return active.some((is, t) => is && ends[t]! > start && (ends[t - 1] ?? 0) < start + text.length);
  };
}

test("who knows where the feature is active scores one: the held-out texts have it, the others do not", async () => {
  const feature = usable[0]!;
  const isActive = await truth(feature);
  const shown: string[] = [];
  const asked: string[] = [];
  chat.answer = (request) => {
    const texts = textsOf(request);
    if (!isTest(request)) {
      shown.push(...texts.map((text) => text.replace(/\n {2}\([\s\S]*$/, "")));
      return named("  the\0 truth ");
    }
    asked.push(...texts);
    return { content: `Let me see [all of them].\n\`\`\`json\n${JSON.stringify(texts.map(isActive))}\n\`\`\`` };
  };
  const job = await deployment.run("features.label", input([feature]));
  const result = resultOf(job);
  expect(checkSchema(FeaturesLabelResult, result)).toEqual([]);
  expect(result).toMatchObject({
    outcomes: { labelled: 1, kept: 0, no_answer: 0 },
    mean_score: 1,
    left: 0,
    stopped_by: null,
    usage: { requests: chat.requests.length, input_tokens: 100 * chat.requests.length, cost: null, cached_features: 0 },
  });
  expect(await labelsOf([feature])).toEqual([
    { index: feature, label: "the  truth", label_source: "model", label_score: 1 },
  ]);
  const [line] = await reportOf(job);
  const active = asked.filter(isActive).length;
  expect(active).toBeGreaterThan(2);
  expect(asked.length - active).toBe(10);
  expect(line).toMatchObject({ index: feature, score: 1, test: { active_found: `${active} of ${active}` } });
  // What is shown is marked where it is active, and nothing of it is asked again.
  const plain = shown.map((text) => text.replaceAll(/<<|>>/g, ""));
  for (const [i, text] of shown.entries()) {
    expect(text).toMatch(/<<[\s\S]+>>/);
    expect(isActive(plain[i]!)).toBe(true);
  }
  const sampleOf = (text: string) => /w(\d+)x\d+ /.exec(text)?.[1];
  const samplesShown = new Set(plain.map(sampleOf));
  expect(asked.filter(isActive).some((text) => samplesShown.has(sampleOf(text)))).toBe(false);
});

test("who says yes to everything scores a half, and a label below the minimum is reported and not written", async () => {
  const [feature] = usable.slice(1);
  const job = await deployment.run("features.label", input([feature!], { minimum_score: 0.6 }));
  expect(resultOf(job)).toMatchObject({ outcomes: { labelled: 0, below_minimum: 1 }, mean_score: 0.5 });
  expect(await labelsOf([feature!])).toEqual([]);
  const [line] = await reportOf(job);
  expect(line).toMatchObject({ outcome: "below_minimum", label: "something", score: 0.5 });
  const { low, high } = line!.interval as { low: number; high: number };
  expect(low).toBeLessThan(0.5);
  expect(high).toBeGreaterThan(0.5);
});

test("the same questions are asked once: a second job takes the answers at no cost", async () => {
  const features = usable.slice(2, 5);
  const first = resultOf(await deployment.run("features.label", input(features)));
  const asked = chat.requests.length;
  expect(first.usage).toMatchObject({ requests: asked, cached_features: 0 });
  const again = resultOf(await deployment.run("features.label", input(features, { replace: "model" })));
  expect(chat.requests).toHaveLength(asked);
  expect(again).toMatchObject({ outcomes: { labelled: 3 }, usage: { requests: 0, cached_features: 3 } });
  const kept = resultOf(await deployment.run("features.label", input(features)));
  expect(kept.outcomes).toMatchObject({ labelled: 0, kept: 3 });
});

test("a person's label is replaced only when all are", async () => {
  const [feature] = usable.slice(2);
  const labels = [{ index: feature!, label: "by hand", source: "human" as const }];
  await writeLabels(deployment.platform.db, { saeId, labels, replace: true });
  for (const replace of ["none", "model"]) {
    const result = resultOf(await deployment.run("features.label", input([feature!], { replace })));
    expect(result.outcomes.kept).toBe(1);
    expect(await labelsOf([feature!])).toMatchObject([{ label: "by hand", label_source: "human" }]);
  }
  await deployment.run("features.label", input([feature!], { replace: "all" }));
  expect(await labelsOf([feature!])).toMatchObject([{ label: "something", label_source: "model" }]);
});

test("a label written by a person while the job runs stays", async () => {
  const [feature] = usable.slice(5);
  const labels = [{ index: feature!, label: "meanwhile", source: "human" as const }];
  chat.answer = async (request) => {
    await writeLabels(deployment.platform.db, { saeId, labels, replace: true });
    return isTest(request) ? yes(request) : named("too late");
  };
  await deployment.run("features.label", input([feature!], { replace: "model" }));
  expect(await labelsOf([feature!])).toMatchObject([{ label: "meanwhile", label_source: "human" }]);
});

test("an endpoint that is busy is asked again; an answer that cannot be read is asked for again", async () => {
  const [feature] = usable.slice(6);
  chat.answer = (request, count) => {
    if (count === 1) return { status: 429, headers: { "retry-after": "0" }, raw: "slow down" };
    if (count === 2) return { status: 503, headers: { "retry-after": "0" }, raw: "" };
    if (count === 3) return { raw: "<html>" };
    if (count === 4) return { content: "I would call it something." };
    return isTest(request) ? yes(request) : named("found at last");
  };
  const job = await deployment.run("features.label", input([feature!], { test_examples: 0 }));
  expect(resultOf(job)).toMatchObject({ outcomes: { labelled: 1 }, mean_score: null });
  expect(chat.requests).toHaveLength(5);
  expect(chat.requests[4]!.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
  expect(await labelsOf([feature!])).toMatchObject([{ label: "found at last", label_score: null }]);
  // 429 and 503 cost nothing; what was answered, readable or not, is counted.
  expect(resultOf(job).usage.requests).toBe(3);
});

test("a model that cannot follow the instructions ends the job instead of costing on", async () => {
  chat.answer = () => ({ content: "no idea" });
  const row = await deployment.ended(
    await deployment.submit("features.label", input(usable, { seed: 5, replace: "all" })),
  );
  expect(row).toMatchObject({ state: "failed", error: { code: "ENDPOINT_ANSWER_INVALID" } });
  expect(chat.requests.length).toBeLessThanOrEqual(7 * 3);
});

test("a wrong key is said with the endpoint's own words, and the right one reaches it and nothing else", async () => {
  const { platform, workspaceId } = deployment;
  await platform.secrets.create({ workspaceId, name: "judge", value: key, hosts: [] });
  const endpoint = (input(usable) as { endpoint: object }).endpoint;
  const withSecret = input(usable.slice(0, 1), { endpoint: { ...endpoint, secret: "judge" }, seed: 9, replace: "all" });
  chat.answer = () => ({ status: 401, raw: "Incorrect API key" });
  const refused = await deployment.ended(await deployment.submit("features.label", withSecret));
  expect(refused.error).toMatchObject({ code: "ENDPOINT_REFUSED", detail: expect.stringContaining("401: Incorrect") });
  expect(chat.authorizations).toEqual([`Bearer ${key}`]);
  const events = await platform.db.jobEvent.findMany({ where: { job_id: refused.id } });
  const row = await platform.db.job.findUniqueOrThrow({ where: { id: refused.id } });
  const all = JSON.stringify([events, row], (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  expect(all).not.toContain(key);
});

test("no request is sent that could pass the limit, of tokens or of cost, and what was done stays", async () => {
  const prices = { input_per_million: 1000, output_per_million: 2000 };
  for (const [seed, limit] of [
    [11, { tokens: 15_000 }],
    [12, { tokens: 1_000_000, cost: 16 }],
  ] as const) {
    chat.requests.length = 0;
    chat.answer = (request) => ({
      ...(isTest(request) ? yes(request) : named(`seed ${seed}`)),
      usage: { prompt_tokens: 900, completion_tokens: 60 },
    });
    const job = await deployment.run("features.label", input(usable, { seed, limit, prices, replace: "all" }));
    const { usage, left, outcomes, stopped_by } = resultOf(job);
    expect(stopped_by).toBe("cost" in limit ? "cost" : "tokens");
    expect(left).toBeGreaterThan(0);
    expect(outcomes.labelled).toBeGreaterThan(0);
    expect(outcomes.labelled + left).toBe(usable.length);
    expect(usage.input_tokens).toBe(900 * chat.requests.length);
    if ("cost" in limit) expect(usage.cost).toBeLessThanOrEqual(16);
    else expect(usage.input_tokens + usage.output_tokens).toBeLessThanOrEqual(15_000);
    expect((await labelsOf(usable)).filter(({ label }) => label === `seed ${seed}`)).toHaveLength(outcomes.labelled);
  }
});

test("a canceled job keeps the labels that it has; resumed, it asks for the others only and counts what it spent", async () => {
  const features = usable.slice(0, 4);
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let explained = 0;
  chat.answer = async (request) => {
    if (!isTest(request)) explained += 1;
    if (explained > 2) await held;
    return isTest(request) ? yes(request) : named("before the cancel");
  };
  const endpoint = { ...(input(features) as { endpoint: object }).endpoint, concurrency: 1 };
  const { platform, workspaceId } = deployment;
  const jobId = await deployment.submit("features.label", input(features, { seed: 21, endpoint, replace: "all" }));
  let labelled = 0;
  await eventOf(platform, jobId, ({ type }) => type === "label" && ++labelled === 2);
  await platform.jobs.requestCancel(workspaceId, jobId);
  const canceled = await deployment.ended(jobId);
  release?.();
  expect(canceled.state).toBe("canceled");
  expect(await reportOf(canceled)).toHaveLength(2);
  const written = (await labelsOf(features)).filter(({ label }) => label === "before the cancel");
  expect(written).toHaveLength(2);

  const before = chat.requests.length;
  explained = -100;
  chat.answer = (request) => (isTest(request) ? yes(request) : named("after it"));
  await platform.jobs.resume(workspaceId, jobId);
  const resumed = resultOf(await deployment.ended(jobId));
  expect(resumed).toMatchObject({ outcomes: { labelled: 4 }, usage: { cached_features: 2 }, left: 0 });
  expect(chat.requests.slice(before).filter((request) => !isTest(request))).toHaveLength(2);
  // The request that was cut off by the cancel was never answered.
  expect(resumed.usage.requests).toBe(chat.requests.length - 1);
});
