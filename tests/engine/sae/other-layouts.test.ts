import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseReleaseName, releaseName } from "../../../domain/qwen-scope-name.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import type { ActivationRule, SparseAutoencoder } from "../../../engine/sae/architecture.ts";
import { onnxFiles, writeOnnx } from "../../../engine/sae/layouts/onnx.ts";
import { openQwenScope, writeQwenScope } from "../../../engine/sae/layouts/qwen-scope.ts";
import { collectSae, type OpenedLayout } from "../../../engine/sae/layouts/sae-reader.ts";
import { openSaelens, readSaelens, writeSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { openSparsify, writeSparsify } from "../../../engine/sae/layouts/sparsify.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { openSafetensors, readTensorFloat32 } from "../../../formats/safetensors.ts";
import { densify, largestDifference, normals, randomSae } from "./support.ts";

const fixtures = new URL("../../fixtures/saes/", import.meta.url).pathname;
const released = join(fixtures, "SAE-Res-Random-W20-L0_5");
const sparsified = join(fixtures, "sparsify/layers.3");
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "layouts-"));
});
afterAll(() => rm(scratch, { recursive: true }));

const whole = async ({ reader }: OpenedLayout) => await collectSae(reader);

/** The largest differences of activations and reconstructions from those that the layout's own library computed. */
async function differences(sae: SparseAutoencoder, folder: string): Promise<[number, number]> {
  const reference = await openSafetensors(join(folder, "reference.safetensors"));
  const opened = await openSae(sae, { threads: 1 });
  const active = await opened.encode(await readTensorFloat32(reference, "x"));
  const xhat = opened.decode(active);
  await opened.close();
  return [
    largestDifference(densify(active, sae.width), await readTensorFloat32(reference, "acts")),
    largestDifference(xhat, await readTensorFloat32(reference, "xhat")),
  ];
}

async function copyOf(folder: string, change: (config: Record<string, unknown>) => void): Promise<string> {
  const copy = await mkdtemp(join(scratch, "copy-"));
  await cp(folder, copy, { recursive: true });
  const config = JSON.parse(await readFile(join(copy, "cfg.json"), "utf8")) as Record<string, unknown>;
  change(config);
  await writeFile(join(copy, "cfg.json"), JSON.stringify(config));
  return copy;
}

describe("a sparsify directory", () => {
  it("gives the activations and reconstructions that sparsify gives, its pre-bias folded", async () => {
    const [acts, xhat] = await differences(await whole(await openSparsify(sparsified)), sparsified);
    expect(acts).toBeLessThan(2e-6);
    expect(xhat).toBeLessThan(4e-6);
  });

  it("written and read again has the same matrices bit for bit, and a bias as good as float32 can hold", async () => {
    const sae = randomSae(12, 40, { kind: "topk", k: 5 });
    const folder = join(scratch, "sparsify");
    await writeSparsify(folder, sae);
    const again = await whole(await openSparsify(folder));
    expect({ ...again, b_enc_F: null }).toEqual({ ...sae, b_enc_F: null });
    for (let f = 0; f < sae.width; f++) {
      let shift = 0;
      for (let d = 0; d < 12; d++) shift += Math.abs(sae.W_enc_FD[f * 12 + d]! * sae.b_dec_D[d]!);
      const bound = 2 ** -24 * (Math.abs(sae.b_enc_F[f]!) * 2 + shift);
      expect(Math.abs(again.b_enc_F[f]! - sae.b_enc_F[f]!)).toBeLessThanOrEqual(bound);
    }
  });

  it("takes its width from the expansion factor where the number of latents is 0", async () => {
    const folder = await copyOf(sparsified, (config) => {
      Object.assign(config, { num_latents: 0, expansion_factor: 2 });
    });
    await expect(openSparsify(folder)).rejects.toThrow(/encoder\.weight must be \[24, 12\], got \[20, 12\]/);
  });

  it("is refused for what we do not run, and by the tensor that is missing", async () => {
    for (const [field, value] of [
      ["activation", "groupmax"],
      ["transcode", true],
      ["skip_connection", true],
      ["signed", true],
      ["k", 0],
    ] as const) {
      const folder = await copyOf(sparsified, (config) => {
        config[field] = value;
      });
      await expect(openSparsify(folder)).rejects.toThrow(new RegExp(`cfg\\.json: ${field}`));
    }
    const saelens = await copyOf(sparsified, () => {});
    await cp(join(fixtures, "topk/sae_weights.safetensors"), join(saelens, "sae.safetensors"));
    await expect(openSparsify(saelens)).rejects.toThrow(/tensor "encoder.weight" is missing/);
    await expect(writeSparsify(scratch, randomSae(4, 8, { kind: "relu" }))).rejects.toThrow(/no rule relu/);
  });
});

describe("a Qwen-Scope layer", () => {
  const file = join(released, "layer3.sae.pt");

  it("gives the activations and reconstructions of its model card, and says its layer and backbone", async () => {
    const opened = await openQwenScope(file, { k: 5, width: 20 });
    expect(opened.origin).toEqual({ modelName: "Random", hookName: "blocks.3.hook_resid_post", layer: 3 });
    const [acts, xhat] = await differences(await whole(opened), released);
    expect(acts).toBeLessThan(2e-6);
    expect(xhat).toBeLessThan(4e-6);
  });

  it("is the same bit for bit after writing and reading", async () => {
    const sae = await whole(await openQwenScope(file, { k: 5, width: 20 }));
    const path = join(scratch, "SAE-Res-Random-W20-L0_5/layer7.sae.pt");
    await writeQwenScope(path, sae);
    const again = await openQwenScope(path, { k: 5, width: 20 });
    expect(again.origin.layer).toBe(7);
    expect(await whole(again)).toEqual(sae);
  });

  it("whose tensors are not those of its name is refused with both numbers", async () => {
    await expect(openQwenScope(file, { k: 5, width: 24 })).rejects.toThrow(/name says width 24, W_enc has 20 rows/);
    await expect(openQwenScope(file, { k: 21, width: 20 }).then(whole)).rejects.toThrow(
      /k must be at most the width 20/,
    );
    const notes = join(fixtures, "../torch/tensors.pt");
    await expect(openQwenScope(notes, { k: 5, width: null })).rejects.toThrow(/tensor "matrix" is none of W_enc/);
  });

  it("is written only for the rule topk", async () => {
    const sae = randomSae(4, 8, { kind: "jumprelu", threshold_F: new Float32Array(8) });
    await expect(writeQwenScope(join(scratch, "x.pt"), sae)).rejects.toThrow(/no rule jumprelu/);
  });

  it("belongs to a release whose name says backbone, width and k, also in a cache of the hub", () => {
    const name = "SAE-Res-Qwen3.5-2B-Base-W32K-L0_50";
    const release = { backbone: "Qwen3.5-2B-Base", width: 32_768, k: 50 };
    for (const given of [name, `Qwen/${name}`, `models--Qwen--${name}`])
      expect(parseReleaseName(given)).toEqual(release);
    expect(releaseName(release)).toBe(name);
    expect(parseReleaseName(releaseName({ ...release, width: 1000 }))).toEqual({ ...release, width: 1000 });
    for (const given of ["Qwen3.5-2B-Base", `${name}-GGUF`, "SAE-Res-X-W32M-L0_50"]) {
      expect(parseReleaseName(given)).toBeNull();
    }
  });
});

describe("any layout", () => {
  it("is copied in blocks of features as it is copied whole", async () => {
    const sae = randomSae(8, 100, { kind: "topk", k: 3 });
    const path = join(scratch, "blocks/layer0.sae.pt");
    const done: number[] = [];
    const options = { blockBytes: 4 * 8 * 40, step: async (features: number) => void done.push(features) };
    await writeQwenScope(path, sae, options);
    expect(done).toEqual([40, 80, 100]);
    const folder = join(scratch, "blocks");
    const { reader } = await openQwenScope(path, { k: 3, width: null });
    await writeSaelens(folder, reader, { blockBytes: 4 * 8 * 7 });
    await reader.close();
    expect((await readSaelens(folder)).sae).toEqual(sae);
  });

  it("with a number that is not finite is refused by its tensor and feature, and leaves no file", async () => {
    const sae = randomSae(4, 8, { kind: "topk", k: 3 });
    const path = join(scratch, "nan/layer0.sae.pt");
    await writeQwenScope(path, sae);
    const bytes = await readFile(path);
    const first = bytes.indexOf(Buffer.from(sae.W_enc_FD.buffer, 0, 16));
    bytes.writeFloatLE(Number.NaN, first + 5 * 4 * 4);
    await writeFile(path, bytes);
    const { reader } = await openQwenScope(path, { k: 3, width: null });
    const folder = join(scratch, "nan/written");
    await expect(writeSaelens(folder, reader)).rejects.toThrow(/W_enc must be finite, got NaN in row 5/);
    await reader.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it("can be stopped between blocks, which leaves no file", async () => {
    const folder = join(scratch, "stopped");
    const step = async () => {
      throw new Error("stop");
    };
    await expect(writeSaelens(folder, randomSae(4, 8, { kind: "relu" }), { step })).rejects.toThrow("stop");
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("an sae as ONNX graphs", () => {
  const threshold_F = normals(40, 9, 0.5);
  for (const rule of [
    { kind: "topk", k: 5 },
    { kind: "jumprelu", threshold_F },
    { kind: "relu" },
  ] satisfies ActivationRule[]) {
    it(`with the rule ${rule.kind} encodes and decodes as ours does`, async () => {
      const sae = randomSae(12, 40, rule);
      const folder = join(scratch, `onnx-${rule.kind}`);
      await writeOnnx(folder, sae);
      const x_BD = normals(9 * 12, 3);
      const opened = await openSae(sae, { threads: 1 });
      const active = await opened.encode(x_BD);
      const open = async (name: string) =>
        openSession(await readFile(join(folder, name)), { threads: 1, externalFolder: folder });
      const encoder = await open(onnxFiles.encoder);
      const { acts } = await encoder.run({ x: tensor("float32", x_BD, [9, 12]) });
      expect(acts!.shape).toEqual([9, 40]);
      expect(largestDifference(acts!.data as Float32Array, densify(active, 40))).toBeLessThan(2e-6);
      const decoder = await open(onnxFiles.decoder);
      const { xhat } = await decoder.run({ acts: acts! });
      expect(largestDifference(xhat!.data as Float32Array, opened.decode(active))).toBeLessThan(4e-6);
      for (const session of [encoder, decoder, opened]) await session.close();
    });
  }
});

it("a SAELens directory opened for reading closes its file when it is refused", async () => {
  const folder = await copyOf(join(fixtures, "topk"), (config) => {
    config.architecture = "jumprelu";
  });
  await expect(openSaelens(folder)).rejects.toThrow(/threshold.*missing/);
});
