// One PostgreSQL for the whole run. Its database is migrated once and never used itself: every test file gets a clone.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { parseConfig } from "../../platform/config.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../platform/embedded-postgres.ts";
import { createPlatform } from "../../platform/platform.ts";

declare module "vitest" {
  interface ProvidedContext {
    templateUrl: string;
  }
}

interface Shared {
  users: number;
  server: Promise<{ postgres: EmbeddedPostgres; folder: string }>;
}

// Each vitest project loads this file anew; the process is one.
const held = globalThis as { qwenScopeTestServer?: Shared | undefined };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  held.qwenScopeTestServer ??= { users: 0, server: start() };
  const shared = held.qwenScopeTestServer;
  shared.users++;
  const { postgres, folder } = await shared.server;
  project.provide("templateUrl", postgres.url);
  return async () => {
    if (--shared.users > 0) return;
    held.qwenScopeTestServer = undefined;
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

async function start() {
  const folder = mkdtempSync(join(tmpdir(), "qwen-scope-test-"));
  // PostgreSQL runs as another user when the tests run as root.
  chmodSync(folder, 0o755);
  // Nothing here has to survive a power cut.
  const postgres = await startEmbeddedPostgres(folder, ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]);
  const config = parseConfig({ DATABASE_URL: postgres.url, DATA_DIR: folder, LOG_LEVEL: "silent" });
  const platform = await createPlatform(config, { process: "test template", maintenance: false });
  await platform.db.workspace.deleteMany();
  await platform.close();
  return { postgres, folder };
}
