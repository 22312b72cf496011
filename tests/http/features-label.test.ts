import { afterAll, beforeAll, expect, test } from "vitest";
import { newId } from "../../domain/id.ts";
import type { Sae } from "../../platform/database.ts";
import { datasetOf, expectProblem, modelRow, saeRow, type TestApi, testApi } from "./api.ts";

let api: TestApi;
let sae: Sae;
let dataset: { id: string; name: string };
beforeAll(async () => {
  api = await testApi({ SECRETS_KEY: Buffer.alloc(32, 1).toString("base64") });
  const { db, workspaceId, store, artifacts } = api.platform;
  sae = await saeRow(api, await modelRow(api, workspaceId), { width: 32 });
  dataset = await datasetOf(api.admin);
  const blob = await store.put(workspaceId, Buffer.from("{}\n"));
  const artifact = await artifacts.create({ workspaceId, name: "x", contentType: "application/jsonl", blob });
  await db.featureIndex.create({
    data: {
      ...{ sae_id: sae.id, dataset_id: dataset.id, job_id: newId("job"), tokens: 100n, sequences: 2n },
      ...{ details_artifact_id: artifact.id, summary_artifact_id: artifact.id },
    },
  });
  await db.feature.createMany({
    data: Array.from({ length: 32 }, (_, index) => ({
      ...{ sae_id: sae.id, index, firing_count: BigInt(index % 8), top_tokens: [], register: false },
      dense: index === 9,
      label: index === 10 ? "by hand" : null,
    })),
  });
});
afterAll(() => api.close());

const endpoint = { url: "https://api.example.com/v1", model: "m" };
const submit = (input: object) =>
  api.admin.post("/v1/jobs").send({ kind: "features.label", input: { sae_id: sae.name, endpoint, ...input } });

test("a job's input has its names resolved and its defaults written out", async () => {
  const job = await submit({ features: [3, 1] });
  expect(job.status, JSON.stringify(job.body)).toBe(202);
  expect(job.body.input).toMatchObject({
    sae_id: sae.id,
    dataset_id: dataset.id,
    features: [3, 1],
    replace: "none",
    limit: { tokens: 1_000_000 },
    endpoint: { ...endpoint, temperature: 0, concurrency: 4 },
  });
});

test("without features, active ones without a label are drawn with the seed", async () => {
  const drawn = async (seed: number) => (await submit({ count: 12, seed })).body.input.features as number[];
  const first = await drawn(1);
  expect(first).toHaveLength(12);
  expect(first.every((index) => index % 8 !== 0 && index !== 9 && index !== 10)).toBe(true);
  expect(await drawn(1)).toEqual(first);
  expect(await drawn(2)).not.toEqual(first);
  expect((await submit({ count: 1000 })).body.input.features).toHaveLength(26);
});

test("what cannot be done is refused before anything is spent", async () => {
  const { id: model_id } = await modelRow(api, api.platform.workspaceId);
  const bare = await saeRow(api, { ...(await api.platform.db.model.findUniqueOrThrow({ where: { id: model_id } })) });
  const unindexed = await submit({ sae_id: bare.name });
  expectProblem(unindexed, "FEATURE_STATISTICS_MISSING", "/input/sae_id");
  expect(unindexed.body.detail).toContain("features.index");
  expectProblem(await submit({ features: [31, 32] }), "FEATURE_NOT_FOUND", "/input/features/1");
  expectProblem(await submit({ features: [] }), "VALIDATION_FAILED", "/input/features");
  expectProblem(await submit({ limit: { cost: 1 } }), "SETTINGS_CONTRADICTORY", "/input/limit/cost");
  expectProblem(await submit({ dataset_id: "nope" }), "REFERENCE_NOT_FOUND", "/input/dataset_id");
  const noSecret = await submit({ endpoint: { ...endpoint, secret: "nope" } });
  expectProblem(noSecret, "REFERENCE_NOT_FOUND", "/input/endpoint/secret");
  const written = await submit({ endpoint: { ...endpoint, api_key: "sk-1" } });
  expectProblem(written, "VALIDATION_FAILED", "/input/endpoint/api_key");
  const file = await submit({ endpoint: { ...endpoint, url: "file:///etc/passwd" } });
  expectProblem(file, "VALIDATION_FAILED", "/input/endpoint/url");
  const password = await submit({ endpoint: { ...endpoint, url: "https://me:sesame@api.example.com/v1" } });
  expectProblem(password, "VALIDATION_FAILED", "/input/endpoint/url");
});
