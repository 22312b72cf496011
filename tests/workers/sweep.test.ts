import { afterAll, beforeAll, expect, test } from "vitest";
import { checkSchema } from "../../domain/schema.ts";
import { SteeringSearchResult, type SteeringSearchSettings } from "../../domain/search.ts";
import { SteeringSweepResult, type SteeringSweepSettings } from "../../domain/sweep.ts";
import type { Json } from "../../platform/jobs.ts";
import { type ChatServer, startChatServer } from "./chat-server.ts";
import { type Deployment, deploy, eventOf } from "./deployment.ts";

// On the demonstration model, whose feature 1655 of layer 3 turns English into Chinese (assets/README.md).
let deployment: Deployment;
let chat: ChatServer;
let model_id: string;
let sae: string;
let english: string;

const subjects = ["my sister", "my grandfather", "the teacher", "the student", "Tom", "Anna"];
const prompts = subjects.flatMap((subject) => [`Yesterday morning, ${subject}`, `Every summer ${subject}`]);

beforeAll(async () => {
  chat = await startChatServer();
  deployment = await deploy({ MODEL_ROOTS: "assets", OUTBOUND_ALLOW: chat.place });
  await deployment.worker("batch");
  const source = (path: string) => ({ type: "directory", path: `assets/${path}` });
  const model = await deployment.run("model.import", { name: "demo", source: source("models/demo-small") });
  model_id = (model.result as { model_id: string }).model_id;
  const imported = await deployment.run("sae.import", {
    ...{ name: "layer3", model_id, layer: 3, source: source("saes/demo-small-topk/layer3"), layout: "saelens" },
  });
  sae = (imported.result as { sae_ids: string[] }).sae_ids[0]!;
  const rows = [...prompts.map((text) => ({ text, language: "en" })), { text: "昨天早上，我姐姐", language: "zh" }];
  english = await deployment.dataset("openings", rows);
});
afterAll(async () => {
  await deployment.close();
  await chat.close();
});

const settings = (changes: Partial<SteeringSweepSettings>): SteeringSweepSettings => ({
  ...{ model_id, prompts, features: [`${sae}:1655`], op: "add", unit: "residual_norm", strengths: [0.25, 2] },
  ...{ apply: { prompt: [-1], generation: false }, chat: false, max_tokens: 10, temperature: 0, seed: 0 },
  goal: { type: "script", script: "Han", direction: "more" },
  ...{ held_out: 0.5, draws: 200 },
  controls: { random_features: 1, negative_strength: true },
  limits: { perplexity_ratio: 6, distinct_ratio: 0.5, length_ratio: 0.5 },
  ...changes,
});

const resultOf = (job: { result: unknown }) => job.result as SteeringSweepResult;
const sweep = async (changes: Partial<SteeringSweepSettings>) =>
  resultOf(await deployment.run("steering.sweep", settings(changes) as unknown as Json));

async function textOf(artifactId: string): Promise<string> {
  const { digest } = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifactId } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of await deployment.platform.store.get(deployment.workspaceId, digest!)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

test("the best of the cells is judged on prompts that did not choose it, and its files hold every text", async () => {
  const instruction = "Write in Chinese.";
  const result = await sweep({ controls: { random_features: 1, negative_strength: true, instruction } });
  expect(checkSchema(SteeringSweepResult, result)).toEqual([]);
  expect(result.verdict).toMatchObject({ judged_on: "held_out", prompts: 6 });
  const [edit] = result.best!.steering.edits;
  expect(edit).toMatchObject({ feature: `${sae}:1655`, value: 2, unit: "residual_norm" });
  expect(result.arms.map(({ arm }) => arm)).toEqual([
    ...["best", "baseline", "random_feature", "negative_strength", "instruction"],
  ]);
  expect(result.verdict.works).toBe(result.arms.slice(1).every(({ beaten }) => beaten));
  expect(result.verdict.reasons).toHaveLength(result.arms.filter(({ beaten }) => beaten === false).length);
  const [weak, strong] = result.cells;
  expect([weak!.strength, strong!.strength]).toEqual([0.25, 2]);
  expect(strong!.goal.mean).toBeGreaterThan(0.8);
  expect(weak!.goal.mean).toBeLessThan(0.2);
  // A push of v times the median norm at one token of each prompt: v times their mean.
  expect(strong!.mean_relative_change / weak!.mean_relative_change).toBeCloseTo(8, 1);
  expect(strong!.least_lead).not.toBeNull();

  const report = JSON.parse(await textOf(result.artifacts.report));
  const { compared_prompts, judged_prompts } = report;
  expect([...compared_prompts, ...judged_prompts].sort((a, b) => a - b)).toEqual([...prompts.keys()]);
  const lines = (await textOf(result.artifacts.texts))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.filter(({ arm }) => arm === "baseline").map(({ prompt }) => prompt)).toEqual(prompts);
  const chosen = lines.filter(({ arm }) => arm === "cell 1").map(({ prompt_index }) => prompt_index);
  expect(chosen).toEqual(compared_prompts);
  const table = (await textOf(result.artifacts.table)).trim().split("\r\n");
  expect(table).toHaveLength(1 + 2 + 5);
  expect(table[2]).toMatch(new RegExp(`^cell,1,${sae}:1655,,2,6,`));
  const chart = await textOf(result.artifacts.chart);
  expect(chart).toMatch(/^<svg /);
  expect(chart).toContain("Han among letters");
});

test("a sweep gives the same numbers again, whatever shares its batch", async () => {
  const controls = { random_features: 0, negative_strength: false };
  const six = { prompts: prompts.slice(0, 6), held_out: 0, controls };
  const alone = await sweep({ ...six, strengths: [2] });
  const among = await sweep({ ...six, strengths: [0.5, 2, 1] });
  const { cell: _, least_lead: __, ...first } = alone.cells[0]!;
  expect(among.cells[1]).toMatchObject(
    JSON.parse(JSON.stringify({ ...first, goal: { mean: first.goal.mean }, effect: {} })),
  );
});

test("features, patterns and datasets: prompts are the samples asked for, and vectors steer like features", async () => {
  const vector = { layer: 3, values: Array.from({ length: 192 }, (_, i) => Math.sin(i)) };
  const { prompts: _, ...rest } = settings({
    ...{ dataset_id: english, where: { language: "en" }, template: "{text}", prompt_limit: 7 },
    ...{ vectors: [vector], strengths: [2], goal: { type: "feature", feature: `${sae}:299` } },
  });
  const result = resultOf(await deployment.run("steering.sweep", rest as unknown as Json));
  expect(result.cells.map(({ feature, vector: index }) => [feature, index])).toEqual([
    [`${sae}:1655`, null],
    [null, 0],
  ]);
  expect(result.verdict.prompts + result.cells[0]!.prompts).toBe(7);
  // The unsteered model that reads the text finds the feature in it, without being pushed.
  expect(result.cells[0]!.goal.mean).toBeGreaterThan(result.baseline.goal.mean);
  const found = await sweep({
    strengths: [2],
    goal: { type: "regex", pattern: "\\p{Han}" },
    prompts: prompts.slice(0, 3),
  });
  expect(found.cells[0]!.goal.mean).toBe(1);
  expect(found.verdict.reasons[0]).toContain("3 prompts");
});

test("a judge elsewhere reads each text with its prompt and gives marks; what is no mark scores worst", async () => {
  const judge = {
    ...{
      type: "endpoint" as const,
      prompt: "From: {prompt}\nText: {text}\nHow Chinese is it, from 1 to 5?",
      worst: 1,
      best: 5,
    },
    endpoint: { url: chat.url, model: "stand-in", concurrency: 3 },
  };
  chat.requests.length = 0;
  chat.answer = ({ messages }) => {
    const [, text = ""] = /Text: (.*)/.exec(messages[0]!.content) ?? [];
    return { content: /\p{Script=Han}/u.test(text) ? "I give 5 of 5" : "no idea" };
  };
  const four = {
    strengths: [2],
    prompts: prompts.slice(0, 4),
    controls: { random_features: 0, negative_strength: false },
  };
  const byScript = await sweep({ ...four, goal: { type: "regex", pattern: "\\p{Han}" } });
  const byJudge = await sweep({ ...four, goal: judge });
  expect(byJudge.cells[0]!.goal).toEqual(byScript.cells[0]!.goal);
  expect(chat.requests).toHaveLength(8);
  expect(chat.requests[0]!.messages[0]!.content).toMatch(/^From: (?:Yesterday|Every)/);
  const poor = await deployment.ended(
    await deployment.submit(
      "steering.sweep",
      settings({ ...four, goal: { ...judge, maximum_tokens: 700 } }) as unknown as Json,
    ),
  );
  expect(poor.error).toMatchObject({ errors: [{ pointer: "/input/goal/maximum_tokens" }] });
});

const search = (changes: Partial<SteeringSearchSettings>): SteeringSearchSettings => {
  const { features: _, ...shared } = settings({});
  return { ...shared, op: "add", sae_ids: [sae], shortlist: 10, strengths: [1, 2], max_tokens: 8, ...changes };
};
const found = async (changes: Partial<SteeringSearchSettings>) =>
  (await deployment.run("steering.search", search(changes) as unknown as Json))
    .result as unknown as SteeringSearchResult;

test("a search finds the Chinese feature among those that a contrast lets in, and judges it on prompts it never saw", async () => {
  const positive = {
    texts: ["我喜欢喝茶。今天天气很好。", "昨天早上，我姐姐在家里做饭。", "老师打开了窗户，学生很高兴。"],
  };
  const negative = {
    texts: [
      "I like tea. The weather is nice.",
      "Yesterday my sister cooked at home.",
      "The teacher opened the window.",
    ],
  };
  const result = await found({ positive, negative });
  expect(checkSchema(SteeringSearchResult, result)).toEqual([]);
  expect(result.shortlist).toHaveLength(10);
  expect(result.rounds).toEqual([
    { prompts: 2, cells: 20, kept: 10 },
    { prompts: 3, cells: 10, kept: 8 },
  ]);
  expect(result.cells).toHaveLength(8);
  expect(result.verdict).toMatchObject({ judged_on: "held_out", prompts: 6 });
  const [best] = result.arms;
  expect(best!.goal.mean).toBeGreaterThan(0.6);
  expect(result.best!.steering.edits[0]!.value).toBe(2);
});

test("without examples the model's own texts are contrasted, unless they all score alike", async () => {
  const few = { shortlist: 2, strengths: [1], prompts: prompts.slice(0, 6), max_tokens: 12 };
  const result = await found({ ...few, goal: { type: "regex", pattern: "(?i)the" } });
  expect(result.shortlist).toHaveLength(2);
  expect(result.rounds).toEqual([]);
  const alike = await deployment.ended(
    await deployment.submit(
      "steering.search",
      search({ ...few, goal: { type: "regex", pattern: "zzz" } }) as unknown as Json,
    ),
  );
  expect(alike.error).toMatchObject({ code: "DATASET_TOO_SMALL", errors: [{ pointer: "/input/positive" }] });
});

test("what a sweep measured until it is canceled stays, and it goes on from there", async () => {
  const strengths = Array.from({ length: 36 }, (_, i) => (i + 1) / 40);
  const controls = { random_features: 0, negative_strength: false };
  const changes = { strengths, controls, prompts: prompts.slice(0, 8), max_tokens: 8 };
  const input = settings(changes);
  const id = await deployment.submit("steering.sweep", input as unknown as Json);
  await eventOf(deployment.platform, id, ({ type }) => type === "cell");
  await deployment.platform.jobs.requestCancel(deployment.workspaceId, id);
  const canceled = await deployment.ended(id);
  expect(canceled.state).toBe("canceled");
  const links = await deployment.platform.db.jobArtifact.findMany({ where: { job_id: id } });
  const report = JSON.parse(await textOf(links.find(({ name }) => name === "sweep.json")!.artifact_id));
  expect(report.verdict).toBeNull();
  expect(report.cells.length).toBeGreaterThan(0);
  expect(report.cells.length).toBeLessThan(36);
  await deployment.platform.jobs.resume(deployment.workspaceId, id);
  const resumed = await deployment.ended(id);
  expect(resumed.state, JSON.stringify(resumed.error)).toBe("succeeded");
  const { artifacts: _, ...again } = resultOf(resumed);
  const { artifacts: __, ...whole } = await sweep(changes);
  expect(again).toEqual(whole);
});

test("a prompt that leaves no room, and one that an edit selects nothing of, are refused where they stand", async () => {
  const refused = async (changes: Partial<SteeringSweepSettings>) => {
    const job = await deployment.ended(await deployment.submit("steering.sweep", settings(changes) as unknown as Json));
    return job.error as { code: string; errors: { pointer: string }[] };
  };
  const long = await refused({ prompts: ["one", "two ".repeat(600)] });
  expect(long).toMatchObject({ code: "CONTEXT_LENGTH_EXCEEDED", errors: [{ pointer: "/input/prompts/1" }] });
  const empty = await refused({ apply: { prompt: [40], generation: false } });
  expect(empty).toMatchObject({ code: "SELECTION_EMPTY", errors: [{ pointer: "/input/apply/prompt/0" }] });
});
