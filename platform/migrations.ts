// Applies prisma/migrations at start, under Prisma's own lock and recorded in Prisma's own table, so that
// `prisma migrate deploy` before or after finds nothing left to do.
import { createHash, randomUUID } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Connection, openConnection } from "./connection.ts";

const migrationsFolder = fileURLToPath(new URL("../prisma/migrations", import.meta.url));

// The number Prisma's migrate takes; sharing it keeps the two from running at once.
const prismaLock = 72707369;

// The table as Prisma creates it.
const recordTable = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" VARCHAR(36) PRIMARY KEY NOT NULL,
  "checksum" VARCHAR(64) NOT NULL,
  "finished_at" TIMESTAMPTZ,
  "migration_name" VARCHAR(255) NOT NULL,
  "logs" TEXT,
  "rolled_back_at" TIMESTAMPTZ,
  "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
  "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`;

export class MigrationRefused extends Error {
  override readonly name = "MigrationRefused";
}

/** Returns the names that were applied now. Each migration and its record commit together or not at all. */
export async function applyMigrations(url: string, folder = migrationsFolder): Promise<readonly string[]> {
  const connection = await openConnection(url, "qwen-scope migrate");
  try {
    await connection.query("SELECT pg_advisory_lock($1)", [prismaLock]);
    await connection.query(recordTable);
    const recorded = await readRecords(connection);
    const applied: string[] = [];
    for (const name of migrationNames(folder)) {
      const sql = readFileSync(join(folder, name, "migration.sql"), "utf8");
      const checksum = createHash("sha256").update(sql).digest("hex");
      const known = recorded.get(name);
      if (known === undefined) {
        await applyOne(connection, name, sql, checksum);
        applied.push(name);
      } else if (known.checksum !== checksum) {
        throw new MigrationRefused(`Migration ${name} was changed after it was applied to this database.`);
      } else if (!known.finished) {
        throw new MigrationRefused(`Migration ${name} failed earlier; resolve it with \`prisma migrate resolve\`.`);
      }
      recorded.delete(name);
    }
    const [unknown] = recorded.keys();
    if (unknown !== undefined)
      throw new MigrationRefused(
        `The database has migration ${unknown}, which this version does not know: it is newer. Update the program.`,
      );
    return applied;
  } finally {
    await connection.end();
  }
}

function migrationNames(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, "migration.sql")))
    .sort();
}

async function readRecords(connection: Connection): Promise<Map<string, { checksum: string; finished: boolean }>> {
  const { rows } = await connection.query<{ migration_name: string; checksum: string; finished_at: Date | null }>(
    `SELECT migration_name, checksum, finished_at FROM "_prisma_migrations" WHERE rolled_back_at IS NULL`,
  );
  return new Map(
    rows.map((row) => [row.migration_name, { checksum: row.checksum, finished: row.finished_at !== null }]),
  );
}

async function applyOne(connection: Connection, name: string, sql: string, checksum: string): Promise<void> {
  await connection.query("BEGIN");
  try {
    await connection.query(sql);
    await connection.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), 1)`,
      [randomUUID(), checksum, name],
    );
    await connection.query("COMMIT");
  } catch (error) {
    await connection.query("ROLLBACK");
    throw new MigrationRefused(`Migration ${name} failed and was rolled back: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
