import { cp, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSaelens, writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { encodeSafetensors } from "../../formats/safetensors.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
let folder: string;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "imports-")));
  deployment = await deploy({ MODEL_ROOTS: `tests/fixtures,${folder}` });
  await deployment.worker("batch");
});
afterAll(async () => {
  await deployment.close();
  await rm(folder, { recursive: true });
});

const directory = (path: string) => ({ type: "directory", path });

/** The problem of an import that is refused, after checking that it left no row. */
async function refusal(kind: "model.import" | "sae.import", input: object) {
  const { platform } = deployment;
  const before = [await platform.db.model.count(), await platform.db.sae.count(), await platform.db.artifact.count()];
  const row = await deployment.ended(await deployment.submit(kind, input as never));
  expect(row.state).toBe("failed");
  const after = [await platform.db.model.count(), await platform.db.sae.count(), await platform.db.artifact.count()];
  expect(after).toEqual(before);
  return row.error as { code: string; detail: string };
}

async function copyOfModel(name: string): Promise<string> {
  const copy = join(folder, name);
  await cp(fixtureModel, copy, { recursive: true });
  return copy;
}

describe("model.import", () => {
  test("registers a directory with its digest, its check and one norm per layer", async () => {
    const row = await deployment.run("model.import", { name: "tied", source: directory(fixtureModel) });
    const { model_id: id } = row.result as { model_id: string };
    const model = await deployment.platform.db.model.findUniqueOrThrow({ where: { id } });
    expect(model).toMatchObject({
      name: "tied",
      family: "qwen3",
      layers: 3,
      d_model: 48,
      vocab_size: 320,
      context_length: 512,
      path: resolve(fixtureModel),
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const stats = model.stats as {
      logit_check: { passed: boolean; cross_entropy_nats: number; relative_error: number };
      median_residual_norm: number[];
    };
    expect(stats.logit_check.passed).toBe(true);
    expect(stats.logit_check.relative_error).toBeLessThan(1e-4);
    // A random model knows nothing: it does no better than guessing among its 320 tokens.
    expect(stats.logit_check.cross_entropy_nats).toBeGreaterThan(Math.log(320));
    expect(stats.median_residual_norm).toHaveLength(3);
    for (const norm of stats.median_residual_norm) expect(norm).toBeGreaterThan(0);
  });

  test("takes the decoder out of a multimodal checkpoint with delta nets, checks it, and its quantised weights too", async () => {
    const source = directory("tests/fixtures/models/qwen3-5-multimodal-bf16");
    for (const precision of ["float32", "int8"]) {
      const row = await deployment.run("model.import", { name: `hybrid-${precision}`, source, precision });
      const { model_id: id } = row.result as { model_id: string };
      const model = await deployment.platform.db.model.findUniqueOrThrow({ where: { id } });
      expect(model).toMatchObject({ family: "qwen3_5", layers: 5, d_model: 32, vocab_size: 320, precision });
      const stats = model.stats as { logit_check: { passed: boolean }; median_residual_norm: number[] };
      expect(stats.logit_check.passed).toBe(true);
      expect(stats.median_residual_norm).toHaveLength(5);
    }
  });

  test("gives the same digest and norms to the same files uploaded as artifacts", async () => {
    const { platform, workspaceId } = deployment;
    const files = [];
    for (const path of [
      "config.json",
      "generation_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
      "model.safetensors",
    ]) {
      const blob = await platform.store.put(workspaceId, await readFile(join(fixtureModel, path)));
      const contentType = "application/octet-stream";
      const artifact = await platform.artifacts.create({ workspaceId, name: path, contentType, blob });
      files.push({ path, artifact_id: artifact.id });
    }
    await deployment.run("model.import", { name: "uploaded", source: { type: "artifacts", files } });
    const of = (name: string) => platform.db.model.findFirstOrThrow({ where: { name } });
    const [here, uploaded] = [await of("tied"), await of("uploaded")];
    expect(uploaded.digest).toBe(here.digest);
    expect(uploaded.stats).toEqual(here.stats);
    expect(uploaded.path).toBeNull();
  });

  test("refuses a name that is taken", async () => {
    const input = { name: "tied", source: directory(fixtureModel) };
    expect(await refusal("model.import", input)).toMatchObject({ code: "NAME_TAKEN" });
  });

  test("refuses a directory outside the roots", async () => {
    const problem = await refusal("model.import", { name: "outside", source: directory("engine") });
    expect(problem.code).toBe("PATH_OUTSIDE_ROOTS");
  });

  test("names the file that is missing", async () => {
    const copy = await copyOfModel("no-tokenizer");
    await rm(join(copy, "tokenizer.json"));
    expect(await refusal("model.import", { name: "m", source: directory(copy) })).toMatchObject({
      code: "FILE_NOT_FOUND",
      detail: "tokenizer.json is missing",
    });
  });

  test("names the tensor that is missing", async () => {
    const copy = await copyOfModel("more-layers");
    const config = JSON.parse(await readFile(join(copy, "config.json"), "utf8"));
    config.num_hidden_layers = 4;
    delete config.layer_types;
    await writeFile(join(copy, "config.json"), JSON.stringify(config));
    expect(await refusal("model.import", { name: "m", source: directory(copy) })).toMatchObject({
      code: "TENSOR_MISSING",
      detail: "tensor model.layers.3.input_layernorm.weight is missing",
    });
  });

  test("refuses offsets that overlap, without telling where the service keeps its files", async () => {
    const copy = await copyOfModel("overlap");
    const path = join(copy, "model.safetensors");
    const bytes = await readFile(path);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
    const names = Object.keys(header).filter((name) => name !== "__metadata__");
    const [first, second] = names.filter((name) => header[name].shape.length === 1);
    header[second!].data_offsets = header[first!].data_offsets;
    const text = JSON.stringify(header).padEnd(length).slice(0, length);
    bytes.write(text, 8);
    await writeFile(path, bytes);
    const problem = await refusal("model.import", { name: "m", source: directory(copy) });
    expect(problem.code).toBe("WEIGHTS_INVALID");
    expect(problem.detail).not.toContain(folder);
  });

  test("names a tensor of another shape, with both shapes", async () => {
    const copy = await copyOfModel("other-shape");
    const config = JSON.parse(await readFile(join(copy, "config.json"), "utf8"));
    await writeFile(join(copy, "config.json"), JSON.stringify({ ...config, intermediate_size: 100 }));
    expect(await refusal("model.import", { name: "m", source: directory(copy) })).toMatchObject({
      code: "WEIGHTS_INVALID",
      detail: expect.stringMatching(
        /^tensor model\.layers\.0\.mlp\.\w+\.weight has shape \[\d+, \d+\], config\.json implies \[\d+, \d+\]$/,
      ),
    });
  });

  test("names the tensor with a weight that is not a number, also one that no text would use", async () => {
    const copy = await copyOfModel("not-a-number");
    const path = join(copy, "model.safetensors");
    const bytes = await readFile(path);
    const start = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, start));
    const [offset] = header["model.embed_tokens.weight"].data_offsets;
    bytes.writeFloatLE(Number.NaN, start + offset + 4 * (319 * 48 + 5));
    await writeFile(path, bytes);
    expect(await refusal("model.import", { name: "m", source: directory(copy) })).toMatchObject({
      code: "WEIGHTS_INVALID",
      detail: `tensor model.embed_tokens.weight holds NaN or an infinity, first at element ${319 * 48 + 5}`,
    });
  });

  test("refuses a family that the engine does not compute, by its name", async () => {
    const copy = await copyOfModel("other-family");
    const config = JSON.parse(await readFile(join(copy, "config.json"), "utf8"));
    await writeFile(join(copy, "config.json"), JSON.stringify({ ...config, model_type: "mamba" }));
    const problem = await refusal("model.import", { name: "m", source: directory(copy) });
    expect(problem).toMatchObject({ code: "MODEL_UNSUPPORTED", detail: expect.stringContaining("mamba") });
  });
});

describe("sae.import", () => {
  const layer = 1;
  let modelId: string;
  let good: string;
  const sae = (dModel: number, width = 32) => ({
    dModel,
    width,
    rule: { kind: "topk", k: 4 } as const,
    W_enc_FD: Float32Array.from({ length: width * dModel }, (_, i) => Math.sin(i)),
    b_enc_F: new Float32Array(width),
    W_dec_FD: Float32Array.from({ length: width * dModel }, (_, i) => Math.cos(i)),
    b_dec_D: new Float32Array(dModel),
  });
  const input = (changes: object) => ({
    name: "s",
    model_id: modelId,
    layer,
    layout: "saelens",
    source: directory(good),
    ...changes,
  });

  beforeAll(async () => {
    const row = await deployment.run("model.import", { name: "for-saes", source: directory(fixtureModel) });
    modelId = (row.result as { model_id: string }).model_id;
    good = join(folder, "good");
    await writeSaelens(good, sae(48), { modelName: "any", layer });
  });

  test("registers a SAELens folder; its artifacts hold the same sae", async () => {
    const row = await deployment.run("sae.import", input({ name: "good" }) as never);
    const [id] = (row.result as { sae_ids: string[] }).sae_ids;
    const { platform, workspaceId } = deployment;
    const stored = await platform.db.sae.findUniqueOrThrow({
      where: { id: id! },
      include: { weights_artifact: true, config_artifact: true },
    });
    expect(stored).toMatchObject({
      name: "good",
      model_id: modelId,
      layer,
      tap: "resid_post.1",
      width: 32,
      d_model: 48,
      k: 4,
    });
    const copy = await mkdtemp(join(folder, "copy-"));
    for (const [name, artifact] of [
      ["cfg.json", stored.config_artifact],
      ["sae_weights.safetensors", stored.weights_artifact],
    ] as const) {
      expect(artifact?.state).toBe("visible");
      await writeFile(join(copy, name), await platform.store.get(workspaceId, artifact!.digest!));
    }
    expect((await readSaelens(copy)).sae).toEqual((await readSaelens(good)).sae);
  });

  test("refuses another d_model with both numbers", async () => {
    const wrong = join(folder, "wrong-size");
    await writeSaelens(wrong, sae(40));
    const problem = await refusal("sae.import", input({ source: directory(wrong) }));
    expect(problem.code).toBe("DIMENSION_MISMATCH");
    expect(problem.detail).toMatch(/40.*48/);
  });

  test("refuses a layer that the model lacks, or that the files contradict", async () => {
    expect(await refusal("sae.import", input({ layer: 3 }))).toMatchObject({ code: "LAYER_OUT_OF_RANGE" });
    expect(await refusal("sae.import", input({ layer: 2 }))).toMatchObject({ code: "SETTINGS_CONTRADICTORY" });
  });

  test("names what is missing, a file or a tensor", async () => {
    const missing = join(folder, "missing-file");
    await cp(good, missing, { recursive: true });
    await rm(join(missing, "cfg.json"));
    expect(await refusal("sae.import", input({ source: directory(missing) }))).toMatchObject({
      code: "FILE_NOT_FOUND",
      detail: "cfg.json is missing",
    });
    const bare = join(folder, "missing-tensor");
    await cp(good, bare, { recursive: true });
    const data = new Float32Array(48 * 32);
    await writeFile(
      join(bare, "sae_weights.safetensors"),
      encodeSafetensors([{ name: "W_enc", dtype: "F32", shape: [48, 32], data }]),
    );
    expect(await refusal("sae.import", input({ source: directory(bare) }))).toMatchObject({
      code: "TENSOR_MISSING",
      detail: "tensor W_dec is missing",
    });
  });
});
