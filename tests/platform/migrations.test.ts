import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openConnection } from "../../platform/connection.ts";
import { applyMigrations, MigrationRefused } from "../../platform/migrations.ts";
import { type TestDatabase, testDatabase } from "../support/platform.ts";
import { migrationSql, prismaDeploy } from "../support/schema-engine.ts";

let database: TestDatabase;
let folder: string;
beforeEach(async () => {
  database = await testDatabase({ empty: true });
  folder = mkdtempSync(join(tmpdir(), "qwen-scope-migrations-"));
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

function migration(name: string, sql: string): void {
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, "migration.sql"), sql);
}

async function query<Row extends object>(sql: string): Promise<Row[]> {
  const connection = await openConnection(database.url, "test");
  return connection
    .query<Row>(sql)
    .then(({ rows }) => rows)
    .finally(() => connection.end());
}

const names = readdirSync("prisma/migrations")
  .filter((name) => !name.endsWith(".toml"))
  .sort();

describe("our migrations", () => {
  test("lead to exactly the schema that the code is written against", async () => {
    await applyMigrations(database.url);
    expect(await migrationSql(database.url)).toMatch(/^-- This is an empty migration\.\s*$/);
  });

  test("and the comparison would see a difference", async () => {
    await applyMigrations(database.url);
    await query("ALTER TABLE jobs DROP COLUMN epoch");
    expect(await migrationSql(database.url)).toContain('ADD COLUMN     "epoch"');
  });

  test("are recorded as Prisma records them, so that its own deploy has nothing to do", async () => {
    await applyMigrations(database.url);
    expect(await prismaDeploy(database.url)).toEqual({
      status: { history: null, failedMigrationNames: [], editedMigrationNames: [], hasMigrationsTable: true },
      deployed: [],
    });
  });

  test("and where Prisma deployed first, there is nothing left for us", async () => {
    expect((await prismaDeploy(database.url)).deployed).toEqual(names);
    expect(await applyMigrations(database.url)).toEqual([]);
  });

  test("are applied once, however many processes start at the same time", async () => {
    const applied = await Promise.all(Array.from({ length: 4 }, () => applyMigrations(database.url)));
    expect(applied.flat()).toEqual(names);
    expect(await query(`SELECT migration_name, checksum FROM "_prisma_migrations" ORDER BY 1`)).toEqual(
      names.map((name) => ({
        migration_name: name,
        checksum: createHash("sha256")
          .update(readFileSync(join("prisma/migrations", name, "migration.sql")))
          .digest("hex"),
      })),
    );
  });
});

describe("a migration that", () => {
  test("fails leaves nothing of itself, and those before it in place", async () => {
    migration("1_good", "CREATE TABLE good (id int)");
    migration("2_bad", "CREATE TABLE half (id int); SELECT nonsense FROM nowhere;");
    await expect(applyMigrations(database.url, folder)).rejects.toThrow(/2_bad failed and was rolled back/);
    const tables = await query<{ name: string }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
    );
    expect(tables.map(({ name }) => name)).toEqual(["_prisma_migrations", "good"]);
  });

  test("was changed after it was applied is refused", async () => {
    migration("1_first", "CREATE TABLE a (id int)");
    await applyMigrations(database.url, folder);
    migration("1_first", "CREATE TABLE a (id bigint)");
    await expect(applyMigrations(database.url, folder)).rejects.toThrow(MigrationRefused);
  });

  test("is in the database and not in the program means that the program is older, and is refused", async () => {
    migration("1_first", "CREATE TABLE a (id int)");
    migration("2_second", "CREATE TABLE b (id int)");
    await applyMigrations(database.url, folder);
    rmSync(join(folder, "2_second"), { recursive: true });
    await expect(applyMigrations(database.url, folder)).rejects.toThrow(/2_second.*newer/);
  });
});
