import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

interface Source {
  path: string;
  text: string;
}

const product = ["api", "domain", "engine", "formats", "platform", "web", "workers"];
const topFolders = [...product, "prisma", "openapi", "infra", "bench", "assets", "scripts", "tests"];

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .split("\n")
  .filter((path) => path !== "" && existsSync(path));

const sources: Source[] = tracked
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => ({ path, text: readFileSync(path, "utf8") }));

const inProduct = ({ path }: Source) => product.some((folder) => path.startsWith(`${folder}/`));

/** Each rule returns what is wrong with one file, or null; its canary is a file that breaks it. */
const rules: { truth: string; finds: (source: Source) => string | null; canary: Source }[] = [
  {
    truth: "no file of code passes 400 lines",
    finds: ({ path, text }) => (text.split("\n").length > 401 ? `${path} has ${text.split("\n").length} lines` : null),
    canary: { path: "engine/long.ts", text: "\n".repeat(500) },
  },
  {
    truth: "names are kebab-case and say what a thing is",
    finds: ({ path }) => {
      const vague = path
        .split("/")
        .find((part) => /^(utils?|common|core|helpers?|managers?|misc|shared|index)(\.ts)?$/.test(part));
      if (vague) return `${path}: "${vague}" says nothing`;
      return /^[a-z0-9./-]+$/.test(path) ? null : `${path} is not kebab-case`;
    },
    canary: { path: "platform/utils.ts", text: "" },
  },
  {
    truth: "only platform/config.ts reads the environment",
    finds: (source) =>
      inProduct(source) && !/^(platform\/config\.ts$|web\/)/.test(source.path) && /process\.env/.test(source.text)
        ? `${source.path} reads process.env`
        : null,
    canary: { path: "api/sneak.ts", text: "const port = process.env.PORT;" },
  },
  {
    truth: "randomness comes from a seed",
    finds: (source) =>
      source.path.startsWith("engine/") && /Math\.random/.test(source.text) ? `${source.path} calls Math.random` : null,
    canary: { path: "engine/sae/dice.ts", text: "Math.random()" },
  },
  {
    truth: "a component is small enough to read at once",
    finds: ({ path, text }) =>
      path.endsWith(".tsx") && text.split("\n").length > 151 ? `${path} has ${text.split("\n").length} lines` : null,
    canary: { path: "web/jobs/everything.tsx", text: "\n".repeat(200) },
  },
  {
    truth: "exports are named and nothing re-exports a folder",
    finds: (source) => {
      // Tools want their settings as a default export.
      if (!inProduct(source) || source.path.endsWith(".config.ts")) return null;
      if (/^export default /m.test(source.text)) return `${source.path} has a default export`;
      return /^export \* from /m.test(source.text) ? `${source.path} is a barrel` : null;
    },
    canary: { path: "domain/all.ts", text: 'export * from "./job.ts";' },
  },
];

describe("house rules", () => {
  test.each(rules)("$truth", ({ finds, canary }) => {
    expect(finds(canary), "the canary must be caught").not.toBeNull();
    expect(sources.map(finds).filter((finding) => finding !== null)).toEqual([]);
  });

  test.each(topFolders)("%s/ has a README of at most 60 lines", (folder) => {
    const lines = readFileSync(`${folder}/README.md`, "utf8").trimEnd().split("\n").length;
    expect(lines).toBeLessThanOrEqual(60);
    expect(lines).toBeGreaterThan(3);
  });

  test("every dependency has a line in the guide, and the guide names nothing else", () => {
    const manifest = JSON.parse(readFileSync("package.json", "utf8"));
    const installed = Object.keys({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    });
    const rows = readFileSync("docs/guides/dependencies.md", "utf8").matchAll(/^\| `([^|]+)` \|/gm);
    const explained = [...rows].flatMap(([, names]) => (names ?? "").split("`, `"));
    expect(explained.sort()).toEqual(installed.sort());
  });

  test("every dependency is pinned to one version", () => {
    const manifest = JSON.parse(readFileSync("package.json", "utf8"));
    for (const group of ["dependencies", "devDependencies", "optionalDependencies"]) {
      for (const [name, version] of Object.entries(manifest[group])) {
        expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
      }
    }
  });
});
