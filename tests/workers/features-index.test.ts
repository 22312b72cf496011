import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { Feature, FeatureDetail, FeatureDetailsLine } from "../../domain/feature.ts";
import { FeatureDetailsLine as LineSchema } from "../../domain/feature.ts";
import {
  FeaturesIndexResult,
  type FeaturesIndexResult as Result,
  resolveFeaturesIndex,
} from "../../domain/feature-index.ts";
import { newId } from "../../domain/id.ts";
import { checkSchema } from "../../domain/schema.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { openModel } from "../../engine/llm/model.ts";
import { readSaelens } from "../../engine/sae/layouts/saelens.ts";
import { openSae } from "../../engine/sae/open-sae.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Worker } from "../../workers/supervisor.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

const saePath = "tests/fixtures/feature-index/sae";
const width = 40;

let deployment: Deployment;
let app: Awaited<ReturnType<typeof buildApp>>;
let worker: Worker;
let model_id: string;
let saeId: string;
let small: string;
let large: string;
const textOf = (i: number) =>
  Array.from({ length: 3 + (i % 29) }, (_, at) => `word${(i * 5 + at * at) % 37}`).join(" ");

beforeAll(async () => {
  deployment = await deploy();
  worker = await deployment.worker("batch");
  const imported = await deployment.run("model.import", {
    ...{ name: "tiny", source: { type: "directory", path: fixtureModel } },
  });
  model_id = (imported.result as { model_id: string }).model_id;
  const source = { type: "directory", path: saePath };
  const sae = await deployment.run("sae.import", { name: "indexed", model_id, layer: 1, source, layout: "saelens" });
  saeId = (sae.result as { sae_ids: string[] }).sae_ids[0]!;
  small = await deployment.dataset(
    "small",
    Array.from({ length: 60 }, (_, i) => ({ text: textOf(i) })),
  );
  large = await deployment.dataset(
    "large",
    Array.from({ length: 800 }, (_, i) => ({ text: `${i} ${textOf(i)}` })),
  );
  app = await buildApp({ platform: deployment.platform });
});
afterAll(async () => {
  await app?.close();
  await deployment.close();
});

const input = (dataset_id: string, changes: object = {}): Json =>
  resolveFeaturesIndex(
    { ...changes },
    { model_id, sae_ids: [saeId], dataset_id, contextLength: 512 },
  ) as unknown as Json;
const resultOf = (row: JobRow) => row.result as unknown as Result;
const http = async (method: "GET" | "POST" | "PATCH" | "DELETE", url: string, payload?: object) => {
  const headers = { host: "localhost" };
  const response = await app.inject({ method, url, headers, ...(payload ? { payload } : {}) });
  return { status: response.statusCode, body: response.body === "" ? null : JSON.parse(response.body) };
};

async function contentOf(artifactId: string): Promise<Buffer> {
  const artifact = await deployment.platform.db.artifact.findUniqueOrThrow({ where: { id: artifactId } });
  const chunks: Uint8Array[] = [];
  const content = await deployment.platform.store.get(deployment.workspaceId, artifact.digest!);
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}
const digestsOf = async (row: JobRow) => {
  const [sae] = resultOf(row).saes;
  const where = { id: { in: [sae!.details_artifact_id, sae!.summary_artifact_id] } };
  const artifacts = await deployment.platform.db.artifact.findMany({ where });
  return artifacts.map(({ name, digest }) => `${name} ${digest}`).sort();
};

/** The samples' features by the engine alone, token by token. */
async function activations(): Promise<{ ids: Int32Array; dense_TF: Float32Array }[]> {
  const model = await openModel(fixtureModel, { threads: 1 });
  const sae = await openSae((await readSaelens(saePath)).sae, { threads: 1 });
  const read: { ids: Int32Array; dense_TF: Float32Array }[] = [];
  for (let i = 0; i < 60; i++) {
    const ids = Int32Array.from(model.tokenizer.encode(textOf(i), { addSpecial: true }));
    for await (const batch of harvest(model, [ids], { layers: [1] })) {
      const rows = await sae.encode(batch.activations[0]!);
      const dense_TF = new Float32Array(ids.length * width);
      for (let t = 0; t < ids.length; t++)
        for (let at = rows.offsets[t]!; at < rows.offsets[t + 1]!; at++)
          dense_TF[t * width + rows.features[at]!] = rows.values[at]!;
      read.push({ ids, dense_TF });
    }
  }
  await model.close();
  await sae.close();
  return read;
}

test("an index is lists, details and a Parquet file that agree with the activations of every token", async () => {
  const job = await deployment.run("features.index", input(small));
  const result = resultOf(job);
  expect(checkSchema(FeaturesIndexResult, result)).toEqual([]);
  const read = await activations();
  const tokens = read.reduce((sum, { ids }) => sum + ids.length, 0);
  expect(result).toMatchObject({
    tokens,
    sequences: 60,
    saes: [{ sae_id: saeId, features: width, layer: 1 }],
  });

  const { body: page } = await http("GET", "/v1/saes/indexed/features?limit=100");
  const features = page.data as Feature[];
  expect(features).toHaveLength(width);
  expect(features.filter((one) => one.firing_count === 0)).toHaveLength(result.saes[0]!.dead);
  for (const { index, ...row } of features) {
    const values = read.flatMap(({ ids, dense_TF }) =>
      Array.from(ids, (_, t) => (t === 0 ? 0 : dense_TF[t * width + index]!)),
    );
    const active = values.filter((value) => value > 0);
    const max = values.reduce((most, value) => Math.max(most, value), 0);
    expect(row).toMatchObject({ firing_count: active.length, max_activation: max });
    expect(row.firing_rate).toBeCloseTo(active.length / (tokens - 60), 12);
  }
  const lines = (await contentOf(result.saes[0]!.details_artifact_id)).toString("utf8").trimEnd().split("\n");
  expect(lines).toHaveLength(width);
  for (const [index, text] of lines.entries()) {
    const line = JSON.parse(text) as FeatureDetailsLine;
    // Some tokens are single control bytes, which a request could not carry.
    expect(checkSchema(LineSchema, line).filter(({ pointer }) => !pointer.endsWith("/text"))).toEqual([]);
    expect(line.index).toBe(index);
    for (const example of line.examples) {
      const { ids, dense_TF } = read[example.sample]!;
      expect(example.tokens[example.at]!.value).toBe(example.value);
      example.tokens.forEach(({ id, value }, i) => {
        const t = example.position - example.at + i;
        expect(id).toBe(ids[t]);
        expect(value).toBeCloseTo(dense_TF[t * width + index]!, 4);
      });
    }
  }
  const { body: detail } = await http("GET", "/v1/saes/indexed/features/5");
  const { neighbours, ...own } = JSON.parse(lines[5]!) as FeatureDetailsLine;
  expect(detail).toMatchObject({ ...own, ...features[5], tokens: tokens - 60, dataset_id: small });
  expect((detail as FeatureDetail).neighbours).toEqual(neighbours.map((one) => ({ ...one, label: null })));

  const parquet = await contentOf(result.saes[0]!.summary_artifact_id);
  const file = parquet.buffer.slice(parquet.byteOffset, parquet.byteOffset + parquet.byteLength) as ArrayBuffer;
  const table = await parquetReadObjects({ file });
  expect(table).toHaveLength(width);
  for (const name of [
    "firing_rate",
    "mean_when_active",
    "max_activation",
    "decoder_norm",
    "dense",
    "register",
  ] as const)
    expect(table.map((row) => row[name] ?? null)).toEqual(features.map((row) => row[name]));
  expect(table[5]).toMatchObject({ index: 5, promoted: own.promoted.map(({ id, text }) => ({ id, text })) });
});

test("several saes of one pass are each indexed as if alone", async () => {
  // The same weights read another layer.
  const imported = await deployment.platform.db.sae.findUniqueOrThrow({ where: { id: saeId } });
  const other = await deployment.platform.db.sae.create({
    data: { ...imported, id: newId("sae"), name: "lower", layer: 0, tap: "resid_post.0" } as never,
  });
  const alone = await deployment.run("features.index", input(small));
  const both = await deployment.run("features.index", {
    ...(input(small) as object),
    sae_ids: [other.id, saeId],
  } as unknown as Json);
  const [lower, own] = resultOf(both).saes;
  expect(own).toMatchObject({ sae_id: saeId, layer: 1, dead: resultOf(alone).saes[0]!.dead });
  const details = await contentOf(own!.details_artifact_id);
  expect(details.equals(await contentOf(resultOf(alone).saes[0]!.details_artifact_id))).toBe(true);
  expect(details.equals(await contentOf(lower!.details_artifact_id))).toBe(false);
});

test("a second index replaces numbers and keeps labels", async () => {
  await http("PATCH", "/v1/saes/indexed/features/5", { label: "kept" });
  const before = (await http("GET", "/v1/saes/indexed/features/5")).body as FeatureDetail;
  const job = await deployment.run("features.index", input(small, { tokens: 300, examples: 1, neighbours: 0 }));
  expect(resultOf(job).tokens).toBeLessThanOrEqual(300);
  const after = (await http("GET", "/v1/saes/indexed/features/5")).body as FeatureDetail;
  expect(after.firing_count).not.toBe(before.firing_count);
  expect(after.label).toMatchObject({ text: "kept", source: "human" });
  expect(after.examples.filter((one) => one.band === 0)).toHaveLength(1);
  expect(after.neighbours).toEqual([]);
  expect((await http("GET", "/v1/saes/indexed")).body.feature_index).toMatchObject({ job_id: job.id });
});

test("an index that had to give way, and one that was canceled and resumed, end as one left alone", async () => {
  const { platform, workspaceId } = deployment;
  const undisturbed = await deployment.run("features.index", input(large));
  const halfway = (event: { type: string; data: unknown }) =>
    event.type === "progress" && (event.data as { done: number }).done > 0;

  const id = await deployment.submit("features.index", input(large));
  await eventOf(platform, id, halfway);
  await worker.stop();
  worker = await deployment.worker("batch");
  const preempted = await deployment.ended(id);
  expect(preempted).toMatchObject({ state: "succeeded", preemptions: 1 });
  expect(await digestsOf(preempted)).toEqual(await digestsOf(undisturbed));

  const other = await deployment.submit("features.index", input(large));
  await eventOf(platform, other, halfway);
  await platform.jobs.requestCancel(workspaceId, other);
  expect((await deployment.ended(other)).state).toBe("canceled");
  await platform.jobs.resume(workspaceId, other);
  const resumed = await deployment.ended(other);
  expect(resumed.state).toBe("succeeded");
  expect(await digestsOf(resumed)).toEqual(await digestsOf(undisturbed));
});

test("an indexed feature can be steered with by its largest activation", async () => {
  await deployment.worker("interactive");
  const { body: page } = await http("GET", "/v1/saes/indexed/features?sort=max_activation&limit=1");
  const [strongest] = page.data as Feature[];
  const text = async (edit: object) => {
    const edits = [{ feature: strongest!.id, op: "add", ...edit }];
    const body = { model: "tiny", prompt: "word1 word2", max_tokens: 8, temperature: 0, steering: { edits } };
    const answer = await http("POST", "/v1/completions", body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body.choices[0];
  };
  const byUnit = await text({ value: 2, unit: "max_activation" });
  const absolute = await text({ value: 2 * strongest!.max_activation!, unit: "absolute" });
  expect(byUnit.text).toBe(absolute.text);
  expect(byUnit.steering_report.edits).toEqual(absolute.steering_report.edits);
  expect(byUnit.steering_report.edits[0].mean_relative_change).toBeGreaterThan(0);
});

test("a dataset without a sequence of two tokens is refused, and what cannot be indexed before it is queued", async () => {
  const empty = await deployment.dataset("empty", [{ text: "" }]);
  const failed = await deployment.ended(await deployment.submit("features.index", input(empty)));
  expect(failed.error).toMatchObject({ code: "DATASET_TOO_SMALL" });
  const submit = (changes: object) =>
    http("POST", "/v1/jobs", {
      kind: "features.index",
      input: { sae_ids: ["indexed"], dataset_id: "small", ...changes },
    });
  expect((await submit({ sae_ids: ["indexed", saeId] })).body).toMatchObject({
    errors: [{ pointer: "/input/sae_ids/1" }],
  });
  expect((await submit({ dataset_id: "nothing" })).body).toMatchObject({ errors: [{ pointer: "/input/dataset_id" }] });
  expect((await submit({ tokens_before: 200 })).body).toMatchObject({ errors: [{ pointer: "/input/tokens_before" }] });
  const wide = await deployment.platform.db.sae.findUniqueOrThrow({ where: { id: saeId } });
  const { id } = await deployment.platform.db.sae.create({
    data: { ...wide, id: newId("sae"), name: "wide", width: 300_000 } as never,
  });
  expect((await submit({ sae_ids: ["indexed", id] })).body).toMatchObject({ code: "SETTINGS_CONTRADICTORY" });
});
