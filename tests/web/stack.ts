// One running product for all tests of the console: the embedded stack as `npm start` brings it up, with what is bundled.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbedded } from "../../scripts/embedded.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** null: no Chromium is installed */
    runningConsole: { readonly url: string; readonly chromium: string } | null;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const chromium = findChromium();
  if (chromium === null) {
    project.provide("runningConsole", null);
    return async () => {};
  }
  const folder = mkdtempSync(join(tmpdir(), "qwen-scope-console-"));
  // PostgreSQL runs as another user when the tests run as root.
  chmodSync(folder, 0o755);
  const settings = { DATA_DIR: folder, PORT: "0", LOG_LEVEL: "silent", THREADS: "1", RATE_LIMIT_PER_MINUTE: "0" };
  const server = await startEmbedded(settings, () => {});
  await server.bundled;
  project.provide("runningConsole", { url: server.url, chromium });
  return async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

/** CHROMIUM_PATH, or `chromium` on the path. */
function findChromium(): string | null {
  const named = process.env.CHROMIUM_PATH;
  if (named) return existsSync(named) ? named : null;
  try {
    return execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim() || null;
  } catch {
    return null;
  }
}
