// A platform of its own for a test file: a clone of the template database and an empty folder.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject } from "vitest";
import { newId } from "../../domain/id.ts";
import { type Config, parseConfig } from "../../platform/config.ts";
import { openConnection, quoteIdentifier } from "../../platform/connection.ts";
import { createPlatform, type Platform, type PlatformOptions } from "../../platform/platform.ts";

export interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** `empty`: a database without any table, for what creates them. */
export async function testDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const templateUrl = inject("templateUrl");
  const template = new URL(templateUrl).pathname.slice(1);
  const name = `test_${randomBytes(6).toString("hex")}`;
  await administer(
    templateUrl,
    `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE ${options.empty ? "template0" : quoteIdentifier(template)}`,
  );
  return {
    url: databaseUrl(templateUrl, name),
    drop: () => administer(templateUrl, `DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`),
  };
}

export interface TestPlatform extends Platform {
  readonly workspaceId: string;
  /** Another process of the same deployment: its own connections, the same database and store. */
  another(options?: Partial<PlatformOptions>): Promise<Platform>;
}

/** Nothing happens by itself in it (no maintenance) unless asked for. Close it in afterAll; that removes everything. */
export async function testPlatform(
  overrides: Record<string, string> = {},
  options: Partial<PlatformOptions> = {},
): Promise<TestPlatform> {
  const database = await testDatabase();
  const folder = mkdtempSync(join(tmpdir(), "qwen-scope-test-"));
  const config: Config = parseConfig({
    DATABASE_URL: database.url,
    DATA_DIR: folder,
    DATABASE_POOL_SIZE: "5",
    LOG_LEVEL: "silent",
    ...overrides,
  });
  const open = (more: Partial<PlatformOptions> = {}) =>
    createPlatform(config, { process: "test", maintenance: false, ...options, ...more });
  const platform = await open();
  const others: Platform[] = [];
  const workspace = await platform.db.workspace.findFirstOrThrow();
  return {
    ...platform,
    workspaceId: workspace.id,
    async another(more) {
      const other = await open(more);
      others.push(other);
      return other;
    },
    async close() {
      for (const other of others) await other.close();
      await platform.close();
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A second workspace, to see that it sees nothing. */
export async function testWorkspace(platform: Platform, name: string): Promise<string> {
  const { id } = await platform.db.workspace.create({ data: { id: newId("workspace"), name } });
  return id;
}

function databaseUrl(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function administer(templateUrl: string, sql: string): Promise<void> {
  const connection = await openConnection(databaseUrl(templateUrl, "postgres"), "test");
  await connection.query(sql).finally(() => connection.end());
}
