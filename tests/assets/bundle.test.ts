import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openModel } from "../../engine/llm/model.ts";
import { readSaelens } from "../../engine/sae/layouts/saelens.ts";

const assets = fileURLToPath(new URL("../../assets", import.meta.url));
const mebibyte = 2 ** 20;

interface Manifest {
  readonly models: readonly { name: string; directory: string }[];
  readonly saes: readonly { name: string; model: string; layer: number; directory: string }[];
  readonly datasets: readonly { name: string; file: string }[];
}
const manifest = JSON.parse(readFileSync(join(assets, "manifest.json"), "utf8")) as Manifest;

function bytesUnder(path: string): number {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), 0);
}

function rowsOf(file: string): Record<string, unknown>[] {
  const lines = readFileSync(join(assets, file), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

describe("the bundle", () => {
  it("takes at most 40 MiB, its model at most 12", () => {
    expect(bytesUnder(assets)).toBeLessThan(40 * mebibyte);
    for (const { directory } of manifest.models) {
      expect(bytesUnder(join(assets, directory))).toBeLessThan(12 * mebibyte);
    }
  });

  it("names nothing twice and nothing that is not there", () => {
    for (const list of [manifest.models, manifest.saes, manifest.datasets]) {
      const names = list.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(name).toMatch(/^[a-z0-9._-]+$/);
    }
    for (const { directory } of [...manifest.models, ...manifest.saes]) {
      expect(statSync(join(assets, directory)).isDirectory()).toBe(true);
    }
    for (const { file } of manifest.datasets) expect(statSync(join(assets, file)).isFile()).toBe(true);
  });

  it("describes everything it names in its README", () => {
    const readme = readFileSync(join(assets, "README.md"), "utf8");
    for (const { name } of [...manifest.models, ...manifest.datasets]) expect(readme).toContain(name);
    expect(readme).toContain("demo-small-topk-layer");
  });

  it("has one sae for every layer of the model, each as wide as the model", async () => {
    const model = await openModel(join(assets, manifest.models[0]!.directory), { threads: 1 });
    expect(manifest.saes.map(({ layer }) => layer)).toEqual([...Array(model.config.layers).keys()]);
    for (const { directory, layer } of manifest.saes) {
      const { sae, origin } = await readSaelens(join(assets, directory));
      expect(sae.dModel).toBe(model.config.dModel);
      expect(origin).toEqual({ modelName: "demo-small", hookName: `blocks.${layer}.hook_resid_post`, layer });
    }
    await model.close();
  });
});

describe("the benchmarks", () => {
  const benchmarks = manifest.datasets.filter(({ file }) => file.startsWith("benchmarks/"));
  const texts = (name: string) =>
    rowsOf(benchmarks.find((one) => one.name === name)!.file).map((row) => String(row.text));

  it("are at least six, of 60 to 200 different rows each", () => {
    expect(benchmarks.length).toBeGreaterThanOrEqual(6);
    for (const { name } of benchmarks) {
      const rows = texts(name);
      expect(rows.length, name).toBeGreaterThanOrEqual(60);
      expect(rows.length, name).toBeLessThanOrEqual(200);
      expect(new Set(rows).size, name).toBe(rows.length);
    }
  });

  it("carry the answers of their sums", () => {
    for (const name of ["arithmetic-easy", "arithmetic-hard", "sums"]) {
      for (const { text, answer } of rowsOf(`benchmarks/${name}.jsonl`)) {
        const [, a, first, b, second, c] = /(\d+) ([-+*]) (\d+)(?: ([-+]) (\d+))? =$/.exec(String(text))!;
        const apply = (x: number, operator: string, y: number) =>
          operator === "+" ? x + y : operator === "-" ? x - y : x * y;
        const once = apply(Number(a), first!, Number(b));
        expect(String(second ? apply(once, second, Number(c)) : once), String(text)).toBe(answer);
      }
    }
  });

  it("have a near duplicate that shares nine rows in ten", () => {
    const copy = new Set(texts("health-english-copy"));
    expect(texts("health-english").filter((text) => copy.has(text))).toHaveLength(108);
  });

  it("label half of each language's remarks toxic", () => {
    for (const language of ["en", "zh", "es", "ru", "ar"]) {
      const labels = rowsOf(`benchmarks/toxicity-${language}.jsonl`).map((row) => row.label);
      expect(labels.filter((label) => label === "toxic")).toHaveLength(50);
    }
  });
});
