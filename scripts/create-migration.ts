// Writes the next migration: the SQL that leads from the migrations so far to prisma/schema.prisma.
// Usage: npx tsx scripts/create-migration.ts add-webhooks
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../platform/embedded-postgres.ts";
import { applyMigrations } from "../platform/migrations.ts";
import { migrationSql } from "../tests/support/schema-engine.ts";

const [name] = process.argv.slice(2);
if (name === undefined || !/^[a-z0-9-]+$/.test(name))
  throw new Error("usage: npx tsx scripts/create-migration.ts NAME (a-z, 0-9, -)");

const scratch = mkdtempSync(join(tmpdir(), "qwen-scope-migration-"));
const postgres = await startEmbeddedPostgres(scratch, ["fsync=off"]);
try {
  await applyMigrations(postgres.url);
  const sql = await migrationSql(postgres.url);
  if (sql.startsWith("-- This is an empty migration")) {
    console.log("The migrations lead to the schema as it is; there is nothing to write.");
  } else {
    const stamp = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
    const folder = join("prisma/migrations", `${stamp}_${name.replaceAll("-", "_")}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "migration.sql"), sql);
    console.log(`${folder}/migration.sql: read it before you commit it.`);
  }
} finally {
  await postgres.stop();
  rmSync(scratch, { recursive: true, force: true });
}
