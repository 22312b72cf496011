import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SaeExportResult } from "../../domain/sae-export.ts";
import { openQwenScope, writeQwenScope } from "../../engine/sae/layouts/qwen-scope.ts";
import { collectSae } from "../../engine/sae/layouts/sae-reader.ts";
import { readSaelens, writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { writeSparsify } from "../../engine/sae/layouts/sparsify.ts";
import { encodeStatistics, parseStatistics, statisticsFile } from "../../workers/feature-statistics.ts";
import { randomSae } from "../engine/sae/support.ts";
import { type Deployment, deploy, fixtureModel } from "./deployment.ts";

const D = 48;
const topk = (seed: number) => randomSae(D, 32, { kind: "topk", k: 4 }, seed);
const released = "SAE-Res-Tiny-W32-L0_4";

let deployment: Deployment;
let folder: string;
let modelId: string;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "sae-layouts-")));
  deployment = await deploy({ MODEL_ROOTS: `tests/fixtures,${folder}` });
  await deployment.worker("batch");
  const source = { type: "directory", path: fixtureModel };
  const row = await deployment.run("model.import", { name: "tiny", source });
  modelId = (row.result as { model_id: string }).model_id;
  for (const layer of [0, 1, 2]) {
    await writeQwenScope(join(folder, released, `layer${layer}.sae.pt`), topk(layer));
    await writeSparsify(join(folder, "sparsified", `layers.${layer}`), topk(layer));
    await writeSaelens(join(folder, "lens", `any-name-${layer}`), topk(layer), { layer });
  }
  await writeSparsify(join(folder, "sparsified", "layers.1.mlp"), topk(9));
});
afterAll(async () => {
  await deployment.close();
  await rm(folder, { recursive: true });
});

const input = (name: string, path: string, changes: object) =>
  ({ name, model_id: modelId, source: { type: "directory", path: join(folder, path) }, ...changes }) as never;

async function refusal(kind: "sae.import" | "sae.export", given: unknown) {
  const row = await deployment.ended(await deployment.submit(kind, given as never));
  expect(row.state).toBe("failed");
  return row.error as { code: string; detail: string };
}

/** The sae of this name as it lies in the store. */
async function stored(name: string) {
  const { platform, workspaceId } = deployment;
  const row = await platform.db.sae.findFirstOrThrow({
    where: { name },
    include: { weights_artifact: true, config_artifact: true },
  });
  const copy = await mkdtemp(join(folder, "stored-"));
  await writeFile(join(copy, "cfg.json"), await platform.store.get(workspaceId, row.config_artifact!.digest!));
  const weights = await platform.store.get(workspaceId, row.weights_artifact!.digest!);
  await writeFile(join(copy, "sae_weights.safetensors"), weights);
  return { row, sae: (await readSaelens(copy)).sae };
}

describe("sae.import", () => {
  test("reads layers of a Qwen-Scope folder, whose name says k, as one release", async () => {
    const job = await deployment.run(
      "sae.import",
      input("released", released, { layers: [0, 2], layout: "qwen_scope" }),
    );
    expect((job.result as { sae_ids: string[] }).sae_ids).toHaveLength(2);
    const [first, second] = [await stored("released-layer0"), await stored("released-layer2")];
    expect(first.sae).toEqual(topk(0));
    expect(second.sae).toEqual(topk(2));
    expect(first.row).toMatchObject({ layer: 0, k: 4, width: 32, config: { model_name: "Tiny" } });
    expect(second.row.release_id).toBe(first.row.release_id);
  });

  test("reads a Qwen-Scope file uploaded as an artifact under its folder's name, or with k given", async () => {
    const { platform, workspaceId } = deployment;
    const blob = await platform.store.put(workspaceId, await readFile(join(folder, released, "layer1.sae.pt")));
    const contentType = "application/octet-stream";
    const artifact = await platform.artifacts.create({ workspaceId, name: "layer1.sae.pt", contentType, blob });
    const upload = (name: string, path: string, changes: object = {}) => {
      const source = { type: "artifacts", files: [{ path, artifact_id: artifact.id }] };
      return { name, model_id: modelId, layer: 1, layout: "qwen_scope", source, ...changes };
    };
    await deployment.run("sae.import", upload("by-name", `${released}/layer1.sae.pt`) as never);
    await deployment.run("sae.import", upload("by-k", "layer1.sae.pt", { k: 4 }) as never);
    expect((await stored("by-name")).sae).toEqual(topk(1));
    expect((await stored("by-k")).sae).toEqual(topk(1));
    expect(await refusal("sae.import", upload("no-k", "layer1.sae.pt"))).toMatchObject({
      code: "VALIDATION_FAILED",
      detail: expect.stringMatching(/SAE-Res-/),
    });
  });

  test("finds each layer in its sparsify folder, and folds the pre-bias", async () => {
    await deployment.run("sae.import", input("sparse", "sparsified", { layers: [1], layout: "sparsify" }));
    const { sae } = await stored("sparse-layer1");
    expect({ ...sae, b_enc_F: null }).toEqual({ ...topk(1), b_enc_F: null });
    for (const [f, bias] of sae.b_enc_F.entries()) expect(bias).toBeCloseTo(topk(1).b_enc_F[f]!, 5);
  });

  test("finds a layer among SAELens folders by their configuration", async () => {
    await deployment.run("sae.import", input("lens", "lens", { layer: 2, layout: "saelens" }));
    expect((await stored("lens")).sae).toEqual(topk(2));
  });

  test("refuses k or width against the folder's name, a layer that is not there, and a name that contradicts", async () => {
    const qwen = { layer: 1, layout: "qwen_scope" };
    expect(await refusal("sae.import", input("x", released, { ...qwen, k: 5 }))).toMatchObject({
      code: "SETTINGS_CONTRADICTORY",
      detail: "the folder's name says k 4, the request 5",
    });
    const wider = "SAE-Res-Tiny-W64-L0_4";
    await cp(join(folder, released), join(folder, wider), { recursive: true });
    expect(await refusal("sae.import", input("x", wider, qwen))).toMatchObject({
      code: "WEIGHTS_INVALID",
      detail: "the name says width 64, W_enc has 32 rows",
    });
    await rm(join(folder, released, "layer1.sae.pt"));
    expect(await refusal("sae.import", input("x", released, qwen))).toMatchObject({
      code: "FILE_NOT_FOUND",
      detail: expect.stringMatching(/no sae of layer 1: .* of the layers 0, 2/),
    });
    const one = input("x", "sparsified/layers.0", { layer: 1, layout: "sparsify" });
    expect(await refusal("sae.import", one)).toMatchObject({ code: "SETTINGS_CONTRADICTORY" });
    await writeSparsify(join(folder, "lone"), topk(0));
    expect(await refusal("sae.import", input("x", "lone", { layers: [0, 1], layout: "sparsify" }))).toMatchObject({
      detail: "the folder has one sae, the request says layers 0 and 1",
    });
    const kOfFiles = input("x", "lens/any-name-0", { layer: 0, layout: "saelens", k: 5 });
    expect(await refusal("sae.import", kOfFiles)).toMatchObject({
      detail: "the files say k 4, the request k 5",
    });
  });

  test("refuses a pickle that names a function, without telling where the service keeps its files", async () => {
    const path = join(folder, "evil", released, "layer0.sae.pt");
    await mkdir(dirname(path), { recursive: true });
    await cp("tests/fixtures/torch/module.pt", path);
    const problem = await refusal("sae.import", input("x", `evil/${released}`, { layer: 0, layout: "qwen_scope" }));
    expect(problem.code).toBe("WEIGHTS_INVALID");
    expect(problem.detail).toMatch(/^pickle byte \d+: the global torch\.nn\.modules\.linear\.Linear is not known$/);
  });

  test("follows no link below its folder that leads out of the roots", async () => {
    const outside = await mkdtemp(join(tmpdir(), "outside-"));
    await writeSparsify(join(outside, "layers.0"), topk(0));
    await mkdir(join(folder, "linked/inner"), { recursive: true });
    await symlink(outside, join(folder, "linked/inner/away"));
    const problem = await refusal("sae.import", input("x", "linked", { layer: 0, layout: "sparsify" }));
    expect(problem.code).toBe("PATH_OUTSIDE_ROOTS");
    await rm(outside, { recursive: true });
  });
});

describe("sae.export", () => {
  const saes = { "out-0": topk(0), "out-2": topk(2) };
  beforeAll(async () => {
    await deployment.run("sae.import", input("out-0", "lens", { layer: 0, layout: "saelens" }));
    await deployment.run("sae.import", input("out-2", "lens", { layer: 2, layout: "saelens" }));
  });

  /** The files of an export in a folder of their own. */
  async function exported(given: object): Promise<{ at: string; paths: string[] }> {
    const { platform, workspaceId } = deployment;
    const job = await deployment.run("sae.export", given as never);
    const at = await mkdtemp(join(folder, "exported-"));
    const { files } = job.result as SaeExportResult;
    for (const { path, artifact_id, size_bytes } of files) {
      const artifact = await platform.db.artifact.findUniqueOrThrow({ where: { id: artifact_id } });
      expect({ state: artifact.state, size: Number(artifact.size_bytes) }).toEqual({
        state: "visible",
        size: size_bytes,
      });
      await mkdir(dirname(join(at, path)), { recursive: true });
      await writeFile(join(at, path), await platform.store.get(workspaceId, artifact.digest!));
    }
    return { at, paths: files.map(({ path }) => path) };
  }

  test("to qwen_scope and back again gives the same saes bit for bit", async () => {
    const { at, paths } = await exported({ sae_ids: Object.keys(saes), layout: "qwen_scope" });
    expect(paths).toEqual(["SAE-Res-tiny-W32-L0_4/layer0.sae.pt", "SAE-Res-tiny-W32-L0_4/layer2.sae.pt"]);
    const { reader } = await openQwenScope(join(at, paths[1]!), { k: 4, width: 32 });
    expect(await collectSae(reader)).toEqual(saes["out-2"]);
    const path = join(at.slice(folder.length + 1), dirname(paths[0]!));
    await deployment.run("sae.import", input("back", path, { layers: [0, 2], layout: "qwen_scope" }));
    expect((await stored("back-layer0")).sae).toEqual(saes["out-0"]);
  });

  test("to saelens, sparsify and onnx lists every file under the path where it belongs", async () => {
    const of = async (layout: string) => (await exported({ sae_ids: ["out-0"], layout })).paths;
    expect(await of("saelens")).toEqual(["out-0/cfg.json", "out-0/sae_weights.safetensors"]);
    expect(await of("sparsify")).toEqual(["layers.0/cfg.json", "layers.0/sae.safetensors"]);
    expect(await of("onnx")).toEqual(["out-0/decoder.onnx", "out-0/encoder.onnx", "out-0/weights.safetensors"]);
  });

  test("to saelens takes along what is known of the features", async () => {
    const source = join(folder, "known");
    await writeSaelens(source, topk(0), { layer: 0 });
    const statistics = { maxActivation_F: new Float32Array(32).fill(2), firingRate_F: new Float32Array(32), tokens: 9 };
    await writeFile(join(source, statisticsFile), encodeStatistics(statistics));
    await deployment.run("sae.import", input("known", "known", { layer: 0, layout: "saelens" }));
    const { at } = await exported({ sae_ids: ["known"], layout: "saelens" });
    expect(parseStatistics(await readFile(join(at, "known", statisticsFile)), 32)).toEqual(statistics);
  });

  test("in float16 gives half the bytes", async () => {
    const { at, paths } = await exported({ sae_ids: ["out-0"], layout: "saelens", precision: "float16" });
    const half = await readFile(join(at, paths[1]!));
    const whole = await readFile(join(folder, "lens/any-name-0/sae_weights.safetensors"));
    expect(half.length / whole.length).toBeCloseTo(0.5, 1);
  });
});
