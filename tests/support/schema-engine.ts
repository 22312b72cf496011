// Prisma's schema engine as WebAssembly, so that migrations can be written and checked where its native binary cannot be downloaded.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import pg from "pg";

const migrationsPath = new URL("../../prisma/migrations", import.meta.url);
const schemaPath = new URL("../../prisma/schema.prisma", import.meta.url);

// Where the engine leaves the message before it aborts.
Object.assign(globalThis, {
  PRISMA_WASM_PANIC_REGISTRY: {
    set_message(message: string) {
      throw new Error(`The schema engine panicked: ${message}`);
    },
  },
});

let ready: Promise<void> | undefined;

interface WasmModule {
  readonly instance: { readonly exports: Record<string, unknown> };
}
declare const WebAssembly: { instantiate(bytes: Uint8Array, imports: object): Promise<WasmModule> };

/** The package imports its .wasm as a module, which not every loader can; this instantiates the same file by hand. */
async function instantiate(): Promise<void> {
  const wasmPath = new URL("schema_engine_bg.wasm", import.meta.resolve("@prisma/schema-engine-wasm/schema_engine_bg"));
  const { instance } = await WebAssembly.instantiate(await readFile(wasmPath), { "./schema_engine_bg.js": bindings });
  const { __wbg_set_wasm } = bindings as unknown as { __wbg_set_wasm(exports: object): void };
  __wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
}

// Introspection reads the catalog's one-byte type "char", which the adapter refuses. So the driver reports it as text,
// and what goes on to the engine is marked as the character that it expects.
const catalogChar = 18;
const textType = 25;

class CatalogPool extends pg.Pool {
  charColumns: number[] = [];

  // biome-ignore lint/suspicious/noExplicitAny: the overloads of pg's query are many and all pass through unchanged
  override async query(...query: any[]): Promise<any> {
    const result = await super.query(...(query as [string]));
    this.charColumns = [];
    for (const [i, field] of result.fields.entries())
      if (field.dataTypeID === catalogChar) {
        field.dataTypeID = textType;
        this.charColumns.push(i);
      }
    return result;
  }
}

class CatalogAdapter extends PrismaPg {
  readonly pool: CatalogPool;

  constructor(pool: CatalogPool) {
    super(pool as never);
    this.pool = pool;
  }

  override async connect() {
    const adapter = await super.connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      for (const i of this.pool.charColumns) result.columnTypes[i] = ColumnTypeEnum.Character;
      return result;
    };
    return adapter;
  }
}

/** The SQL that leads from the database (or, with `fromEmpty`, from nothing) to prisma/schema.prisma. */
export async function migrationSql(databaseUrl: string, options: { fromEmpty?: boolean } = {}): Promise<string> {
  return withEngine(databaseUrl, async (engine, files) => {
    const { stdout } = await engine.diff({
      from: options.fromEmpty ? { tag: "empty" } : { tag: "schemaDatasource", files, configDir: "" },
      to: { tag: "schemaDatamodel", files },
      script: true,
      exitCode: null,
      filters: { externalTables: [], externalEnums: [] },
    });
    return stdout ?? "";
  });
}

/** What `prisma migrate status` and `prisma migrate deploy` would say and do about prisma/migrations. */
export async function prismaDeploy(databaseUrl: string) {
  const baseDir = fileURLToPath(migrationsPath);
  const names = (await readdir(baseDir)).filter((name) => !name.endsWith(".toml")).sort();
  const migrationsList = {
    baseDir,
    lockfile: { path: "migration_lock.toml", content: await readFile(join(baseDir, "migration_lock.toml"), "utf8") },
    shadowDbInitScript: "",
    migrationDirectories: await Promise.all(
      names.map(async (path) => {
        const value = await readFile(join(baseDir, path, "migration.sql"), "utf8");
        return { path, migrationFile: { path: "migration.sql", content: { tag: "ok" as const, value } } };
      }),
    ),
  };
  const filters = { externalTables: [], externalEnums: [] };
  return withEngine(databaseUrl, async (engine) => ({
    status: await engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
    deployed: (await engine.applyMigrations({ migrationsList, filters })).appliedMigrationNames,
  }));
}

type SchemaFiles = { path: string; content: string }[];

async function withEngine<T>(
  databaseUrl: string,
  use: (engine: bindings.SchemaEngine, files: SchemaFiles) => Promise<T>,
): Promise<T> {
  ready ??= instantiate();
  await ready;
  const files = [{ path: "schema.prisma", content: await readFile(schemaPath, "utf8") }];
  const pool = new CatalogPool({ connectionString: databaseUrl });
  const engine = await bindings.SchemaEngine.new(
    { datamodels: files.map((file) => [file.path, file.content]) },
    () => {},
    bindMigrationAwareSqlAdapterFactory(new CatalogAdapter(pool)),
  );
  try {
    return await use(engine, files);
  } finally {
    engine.free();
    await pool.end();
  }
}
