import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ContrastSet, FeaturesContrastResult, FeaturesContrastSettings } from "../../domain/contrast.ts";
import type { Sample } from "../../domain/dataset.ts";
import type { Json } from "../../platform/jobs.ts";
import { type Deployment, deploy } from "./deployment.ts";

// On the demonstration model, which was trained on five languages.
let deployment: Deployment;
let model_id: string;
let datasetId: string;
const saes: string[] = [];

beforeAll(async () => {
  deployment = await deploy({ MODEL_ROOTS: "assets" });
  await deployment.worker("batch");
  const imported = await deployment.run("model.import", {
    name: "demo",
    source: { type: "directory", path: "assets/models/demo-small" },
  });
  model_id = (imported.result as { model_id: string }).model_id;
  for (const layer of [2, 3]) {
    const path = `assets/saes/demo-small-topk/layer${layer}`;
    const source = { type: "directory", path };
    const sae = await deployment.run("sae.import", {
      name: `layer${layer}`,
      model_id,
      layer,
      source,
      layout: "saelens",
    });
    saes.push((sae.result as { sae_ids: string[] }).sae_ids[0]!);
  }
  const lines = readFileSync("assets/text/heldout.jsonl", "utf8").trim().split("\n");
  const samples = lines
    .map((line) => JSON.parse(line) as Sample)
    .filter((sample) => sample.kind === "prose" && sample.drift === null);
  datasetId = await deployment.dataset("heldout", samples);
});
afterAll(() => deployment.close());

const language = (code: string): ContrastSet => ({ dataset_id: datasetId, where: { language: code } });

async function contrast(changes: Partial<FeaturesContrastSettings>): Promise<FeaturesContrastResult> {
  const settings: FeaturesContrastSettings = {
    ...{ model_id, sae_ids: saes, positive: language("zh"), negative: [language("en")] },
    ...{ statistic: "mean_difference", top: 5, per_layer: false, direction: "positive" },
    leave_out: {
      ...{ first_position: true, special_tokens: true, shared_prefix: false, shared_tokens: false, registers: true },
    },
    ...{ shuffles: 99, draws: 100, seed: 0 },
    ...changes,
  };
  const job = await deployment.run("features.contrast", settings as unknown as Json);
  return job.result as FeaturesContrastResult;
}

test("a feature of Chinese tells Chinese from English without an error, and surely", async () => {
  const { features, samples, tokens } = await contrast({ statistic: "auc" });
  expect(features).toHaveLength(5);
  const [best] = features;
  expect(best!.value).toBeGreaterThanOrEqual(0.99);
  expect(best!.value).toBeLessThanOrEqual(1);
  expect(best).toMatchObject({ p_value: 1 / 100, p_adjusted: 1 / 100 });
  expect(best!.interval!.low).toBeGreaterThan(0.9);
  expect(features.map((one) => one.value)).toEqual(features.map((one) => one.value).sort((a, b) => b - a));
  expect(samples.positive).toBeGreaterThan(10);
  expect(tokens.negative).toBeGreaterThan(samples.negative);
});

test("against four other languages that count alike the best feature of each fires in its own", async () => {
  for (const target of ["zh", "en", "es", "ru", "ar"]) {
    const others = ["zh", "en", "es", "ru", "ar"].filter((code) => code !== target).map(language);
    const { features } = await contrast({
      positive: language(target),
      negative: others,
      shuffles: 0,
      draws: 0,
      top: 1,
    });
    const [best] = features;
    expect(best).toMatchObject({ p_value: null, interval: null });
    expect(best!.positive_rate).toBeGreaterThan(0.9);
    expect(best!.positive_mean).toBeGreaterThan(best!.negative_mean! * 2);
  }
});

test("the other end of the ranking is the ranking of the sets exchanged", async () => {
  const forwards = await contrast({ direction: "negative", draws: 0, shuffles: 0 });
  const backwards = await contrast({ positive: language("en"), negative: [language("zh")], draws: 0, shuffles: 0 });
  expect(forwards.features.map((one) => one.feature)).toEqual(backwards.features.map((one) => one.feature));
  forwards.features.forEach((one, i) => {
    expect(one.value).toBeCloseTo(-backwards.features[i]!.value, 6);
  });
});

test("every layer has its own best where it is asked for, and the whole ranking is an artifact", async () => {
  const result = await contrast({ per_layer: true, top: 3, shuffles: 0, draws: 0 });
  expect(result.features.filter((one) => one.layer === 2)).toHaveLength(3);
  expect(result.features.filter((one) => one.layer === 3)).toHaveLength(3);
  const { digest } = await deployment.platform.db.artifact.findUniqueOrThrow({
    where: { id: result.ranking_artifact_id },
  });
  const chunks: Uint8Array[] = [];
  for await (const chunk of await deployment.platform.store.get(deployment.workspaceId, digest!)) chunks.push(chunk);
  const [header, first] = Buffer.concat(chunks).toString("utf8").split("\r\n");
  expect(header).toBe("feature,layer,value,positive_rate,negative_rate,positive_mean,negative_mean");
  const best = result.features.toSorted((a, b) => b.value - a.value)[0]!;
  expect(first!.startsWith(`${best.feature},${best.layer},`)).toBe(true);
});

test("texts that differ in nothing but a repetition give features of repetition", async () => {
  const texts = ["the river the river the river the river", "I like tea I like tea I like tea I like tea"];
  const { features, samples } = await contrast({
    statistic: "repetition",
    positive: { texts },
    negative: [],
    draws: 50,
  });
  expect(samples).toEqual({ positive: 2, negative: 0 });
  expect(features[0]!.value).toBeGreaterThan(0);
  expect(features[0]).toMatchObject({ negative_rate: null, p_value: null });
  expect(features[0]!.interval).not.toBeNull();
});

test("a part of a dataset that holds nothing is refused at its set", async () => {
  const id = await deployment.submit("features.contrast", {
    ...{ model_id, sae_ids: saes, positive: language("zh"), negative: [language("xx")] },
    ...{ statistic: "auc", top: 5, per_layer: false, direction: "positive", shuffles: 0, draws: 0, seed: 0 },
    leave_out: {
      ...{ first_position: true, special_tokens: true, shared_prefix: false, shared_tokens: false, registers: true },
    },
  } as unknown as Json);
  const failed = await deployment.ended(id);
  expect(failed.error).toMatchObject({ code: "DATASET_TOO_SMALL", errors: [{ pointer: "/input/negative/0" }] });
});
