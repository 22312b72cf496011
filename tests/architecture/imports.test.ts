import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

interface Report {
  modules: { source: string }[];
  summary: { violations: { rule: { name: string }; from: string; to: string }[]; totalCruised: number };
}

const repository = process.cwd();

function cruise(folder: string, places: string[]): Report {
  const cli = join(repository, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const args = [cli, "--config", ".dependency-cruiser.cjs", "--output-type", "json", ...places];
  return JSON.parse(execFileSync(process.execPath, args, { cwd: folder, maxBuffer: 1 << 28, encoding: "utf8" }));
}

/** Each line breaks one rule: the file that is written, what it imports, and the rule that must object. */
const trespasses: [file: string, imported: string, rule: string][] = [
  ["api/reach.ts", "../engine/numbers.ts", "api-imports"],
  ["engine/hear.ts", "../platform/outside.ts", "engine-imports"],
  ["platform/count.ts", "../engine/numbers.ts", "platform-imports"],
  ["domain/heavy.ts", "../formats/bytes.ts", "domain-imports"],
  ["domain/local.ts", "node:fs", "domain-is-browser-safe"],
  ["formats/shared.ts", "../platform/outside.ts", "formats-imports"],
  ["workers/serve.ts", "fastify", "workers-imports"],
  ["workers/checked.ts", "../tests/proof.ts", "nobody-imports-the-outside"],
  ["engine/llm/run.ts", "onnxruntime-node", "onnxruntime-only-in-runtime"],
  ["engine/sae/peek.ts", "../llm/model.ts", "engine-sae-order"],
  ["engine/onnx/later.ts", "../ops/add.ts", "engine-onnx-order"],
  ["platform/boss.ts", "pg-boss", "queue-only-in-one-file"],
  ["platform/cloud.ts", "@aws-sdk/client-s3", "s3-only-in-one-file"],
  ["web/near.ts", "../platform/outside.ts", "web-imports"],
  ["web/heavy.ts", "../domain/noun.ts", "web-takes-types-from-domain"],
  ["web/local.ts", "node:fs", "web-is-browser-safe"],
  ["web/build.ts", "vite", "vite-only-in-its-settings"],
  ["web/proven.ts", "../tests/proof.ts", "nobody-imports-the-outside"],
  ["scripts/draw.ts", "../web/chart.ts", "nobody-imports-the-console"],
];

describe("import rules", () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "import-rules-"));
    for (const name of [".dependency-cruiser.cjs", "tsconfig.json", "package.json"]) {
      cpSync(join(repository, name), join(folder, name));
    }
    symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
    const write = (file: string, text: string) => {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    };
    const targets = ["engine/numbers", "platform/outside", "formats/bytes", "tests/proof", "engine/llm/model"];
    const more = ["engine/ops/add", "domain/noun", "web/chart"];
    for (const target of [...targets, ...more]) write(`${target}.ts`, "export const value = 1;\n");
    for (const [file, imported] of trespasses)
      write(file, `import * as it from "${imported}";\nexport const seen = it;\n`);
    write("api/round.ts", 'import { b } from "./trip.ts";\nexport const a = () => b;\n');
    write("api/trip.ts", 'import { a } from "./round.ts";\nexport const b = () => a;\n');
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("every rule objects when it is broken", () => {
    const { violations } = cruise(folder, [
      "api",
      "domain",
      "engine",
      "formats",
      "platform",
      "scripts",
      "web",
      "workers",
    ]).summary;
    const found = new Set(violations.map(({ rule, from }) => `${from} breaks ${rule.name}`));
    for (const [file, , rule] of trespasses) expect(found).toContain(`${file} breaks ${rule}`);
    expect(found).toContain("api/round.ts breaks no-cycles");
  });

  test("the product obeys them, and the check has really read it", () => {
    const places = ["api", "domain", "engine", "formats", "platform", "web", "workers", "scripts", "bench", "tests"];
    const { modules, summary } = cruise(repository, places);
    expect(summary.violations.map(({ rule, from, to }) => `${from} → ${to} (${rule.name})`)).toEqual([]);
    for (const folderName of ["api", "domain", "engine", "formats", "platform", "web", "workers"]) {
      const read = modules.filter(({ source }) => source.startsWith(`${folderName}/`) && /\.tsx?$/.test(source));
      expect(read.length, `modules read in ${folderName}/`).toBeGreaterThan(3);
    }
  });
});
