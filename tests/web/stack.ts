// One running product for all tests of the console: the embedded stack as `npm start` brings it up, with what is bundled.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { buildApp } from "../../api/app.ts";
import { startEmbedded } from "../../scripts/embedded.ts";

export interface RunningConsole {
  readonly url: string;
  /** The same product asking for a key, and a key that it takes. */
  readonly locked: { readonly url: string; readonly key: string };
  readonly chromium: string;
}

declare module "vitest" {
  interface ProvidedContext {
    /** null: no Chromium is installed */
    runningConsole: RunningConsole | null;
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
  const { platform } = server;
  const locked = await buildApp({ platform: { ...platform, config: { ...platform.config, AUTH: "on" } } });
  const lockedUrl = await locked.listen({ host: "127.0.0.1", port: 0 });
  const key = await createKey(server.url);
  project.provide("runningConsole", { url: server.url, locked: { url: lockedUrl, key }, chromium });
  return async () => {
    await locked.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

async function createKey(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/keys`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "console test", scopes: ["read", "write"] }),
  });
  return ((await response.json()) as { secret: string }).secret;
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
