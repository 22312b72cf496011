import { createWriteStream } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildApp } from "../../api/app.ts";
import type { Completion } from "../../domain/completion.ts";
import type { Model } from "../../domain/model.ts";
import { createGenerator } from "../../engine/llm/generator.ts";
import { openModel } from "../../engine/llm/model.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { calibrationText } from "../../workers/calibration-text.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

const prompt = "The river runs past the town";
const random = createRandom("precision");
const values = Array.from({ length: 48 }, () => 2 * random.normal());

let folder: string;
let deployment: Deployment;
let app: Awaited<ReturnType<typeof buildApp>>;
let filesBefore: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "precision-"));
  filesBefore = await readdir(fixtureModel);
  deployment = await deploy();
  await deployment.worker("batch");
  await deployment.worker("interactive");
  const source = { type: "directory", path: fixtureModel };
  await deployment.run("model.import", { name: "plain", source });
  await deployment.run("model.import", { name: "small", source, precision: "int4" });
  app = await buildApp({ platform: deployment.platform });
});
afterAll(async () => {
  await app.close();
  await deployment.close();
  await rm(folder, { recursive: true });
});

async function shown(name: string): Promise<Model> {
  return (await app.inject({ url: `/v1/models/${name}` })).json();
}

const rowOf = (name: string) => deployment.platform.db.model.findFirstOrThrow({ where: { name } });

test("a model imported as int4 shows what that changed in cross-entropy, beside the float32 figure", async () => {
  const [plain, small] = [await shown("plain"), await shown("small")];
  expect(plain).toMatchObject({ precision: "float32", precision_check: null });
  const check = small.precision_check!;
  expect(small.precision).toBe("int4");
  expect(check.cross_entropy_before_nats).toBe(plain.logit_check!.cross_entropy_nats);
  expect(check.cross_entropy_after_nats).toBe(small.logit_check!.cross_entropy_nats);
  expect(check.cross_entropy_change_nats).toBe(check.cross_entropy_after_nats - check.cross_entropy_before_nats!);
  expect(Math.abs(check.cross_entropy_change_nats!)).toBeGreaterThan(1e-4);
  expect(check.tokens).toBe(small.logit_check!.tokens - calibrationText.length);
});

test("it is another model than the one it was made from, and takes less memory; the folder stays as it was", async () => {
  const [plain, small] = [await rowOf("plain"), await rowOf("small")];
  expect(small.digest).not.toBe(plain.digest);
  expect(small.path).toBe(plain.path);
  expect(Number(small.size_bytes)).toBeLessThan(0.5 * Number(plain.size_bytes));
  expect(await readdir(fixtureModel)).toEqual(filesBefore);
});

test("its steered text is what the engine gives with the stored integers", async () => {
  const { platform, workspaceId } = deployment;
  const { quantized_artifact_id: id } = await rowOf("small");
  const artifact = await platform.artifacts.find(workspaceId, id!);
  const file = join(folder, "weights.safetensors");
  await pipeline(await platform.store.get(workspaceId, artifact!.digest!), createWriteStream(file));
  const model = await openModel(fixtureModel, { threads: 1, quantized: file });
  const promptIds = model.tokenizer.encode(prompt);
  const selection = {
    prompt: new Uint8Array(promptIds.length).fill(1),
    generation: { from: 0, to: Number.MAX_SAFE_INTEGER },
    excludeSpecial: false,
  };
  const edit = { layer: 1, direction: Float32Array.from(values), c0: 1, c1: 0, c2: 0, selection };
  const request = { promptIds, maxTokens: 16, temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1, seed: 0 };
  const ours: number[] = [];
  for await (const event of createGenerator(model).add({ ...request, stop: [], logprobs: 0, edits: [edit] })) {
    if (event.type === "delta") ours.push(...event.tokens.map(({ logprob }) => logprob));
  }
  await model.close();

  const steering = { edits: [{ vector: { layer: 1, values }, op: "add", value: 1, unit: "absolute" }] };
  const complete = async (body: object) => {
    const payload = { model: "small", prompt, max_tokens: 16, temperature: 0, logprobs: 0, ...body };
    const response = await app.inject({ method: "POST", url: "/v1/completions", payload });
    expect(response.statusCode, response.body).toBe(200);
    return (response.json() as Completion).choices[0]!.logprobs!.token_logprobs;
  };
  expect(await complete({ steering })).toEqual(ours);
  expect(await complete({})).not.toEqual(ours);
});

test("the integers go with their model", async () => {
  const { platform } = deployment;
  const { quantized_artifact_id: id } = await rowOf("small");
  await platform.artifacts.collect();
  expect(await platform.db.artifact.count({ where: { id: id! } })).toBe(1);
  expect((await app.inject({ method: "DELETE", url: "/v1/models/small" })).statusCode).toBe(204);
  await platform.artifacts.collect();
  expect(await platform.db.artifact.count({ where: { id: id! } })).toBe(0);
});
