import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSaelens, writeSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { openSafetensors, readTensorFloat32 } from "../../../formats/safetensors.ts";
import { densify, largestDifference } from "./support.ts";

const fixtures = new URL("../../fixtures/saes/", import.meta.url).pathname;
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "saelens-"));
});
afterAll(() => rm(scratch, { recursive: true }));

async function copyWith(fixture: string, change: (config: Record<string, unknown>) => void): Promise<string> {
  const folder = await mkdtemp(join(scratch, "copy-"));
  await cp(join(fixtures, fixture), folder, { recursive: true });
  const config = JSON.parse(await readFile(join(folder, "cfg.json"), "utf8")) as Record<string, unknown>;
  change(config);
  await writeFile(join(folder, "cfg.json"), JSON.stringify(config));
  return folder;
}

describe("a SAELens directory", () => {
  for (const name of ["topk", "topk-prebias-rescaled", "topk-version-5", "jumprelu", "standard"]) {
    it(`${name} gives the activations and reconstructions that sae-lens gives`, async () => {
      const { sae } = await readSaelens(join(fixtures, name));
      const reference = await openSafetensors(join(fixtures, name, "reference.safetensors"));
      const x_BD = await readTensorFloat32(reference, "x");
      const opened = await openSae(sae, { threads: 1 });
      const active = await opened.encode(x_BD);
      const acts = await readTensorFloat32(reference, "acts");
      expect(largestDifference(densify(active, sae.width), acts)).toBeLessThan(2e-6);
      expect(largestDifference(opened.decode(active), await readTensorFloat32(reference, "xhat"))).toBeLessThan(4e-6);
      await opened.close();
    });
  }

  it("says which model and layer it was made for, in the old format and the new", async () => {
    const origin = { modelName: "random", hookName: "blocks.3.hook_resid_post", layer: 3 };
    expect((await readSaelens(join(fixtures, "topk"))).origin).toEqual(origin);
    expect((await readSaelens(join(fixtures, "topk-version-5"))).origin).toEqual(origin);
  });

  for (const name of ["topk", "jumprelu", "standard"]) {
    it(`${name} is the same bit for bit after writing and reading`, async () => {
      const { sae, origin } = await readSaelens(join(fixtures, name));
      const folder = join(scratch, `written-${name}`);
      await writeSaelens(folder, sae, { modelName: "random", layer: origin.layer! });
      expect(await readSaelens(folder)).toEqual({ sae, origin });
    });
  }

  it("in float16 takes half the bytes and keeps weights to 11 bits", async () => {
    const { sae } = await readSaelens(join(fixtures, "topk"));
    const folder = join(scratch, "half");
    await writeSaelens(folder, sae, { dtype: "float16" });
    const again = (await readSaelens(folder)).sae;
    expect(largestDifference(again.W_enc_FD, sae.W_enc_FD)).toBeLessThan(2 ** -11 * 2);
    expect(again.W_enc_FD).not.toEqual(sae.W_enc_FD);
  });
});

describe("a SAELens directory is refused", () => {
  it("when a tensor is missing, by its name", async () => {
    const folder = await copyWith("topk", (config) => {
      config.architecture = "jumprelu";
    });
    await expect(readSaelens(folder)).rejects.toThrow(/threshold.*missing/);
  });

  it("when a tensor has another shape than the configuration says, by its name and both shapes", async () => {
    const folder = await copyWith("topk", (config) => {
      config.d_in = 13;
    });
    await expect(readSaelens(folder)).rejects.toThrow(/W_enc must be \[13, 20\], got \[12, 20\]/);
  });

  it("when k is above the width", async () => {
    const folder = await copyWith("topk", (config) => {
      config.k = 21;
    });
    await expect(readSaelens(folder)).rejects.toThrow(/k must be at most the width 20, got 21/);
  });

  it("when it normalises its input in a way that no weights can express", async () => {
    const folder = await copyWith("topk", (config) => {
      config.normalize_activations = "layer_norm";
    });
    await expect(readSaelens(folder)).rejects.toThrow(/normalize_activations must be "none", got "layer_norm"/);
  });

  it("when its architecture is none that we run", async () => {
    const folder = await copyWith("topk", (config) => {
      config.architecture = "gated";
    });
    await expect(readSaelens(folder)).rejects.toThrow(/architecture must be .*got "gated"/);
  });
});
