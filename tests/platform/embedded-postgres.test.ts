import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openConnection } from "../../platform/connection.ts";
import { DataFolderLocked, lockDataFolder, ownersDatabaseUrl } from "../../platform/data-lock.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../platform/embedded-postgres.ts";

// Each test makes a cluster or two: a second each on an idle machine, many on a busy one.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

const throwAway = ["fsync=off"];
let folder: string;
let running: EmbeddedPostgres[];
let children: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "qwen-scope-own-"));
  chmodSync(folder, 0o755);
  running = [];
  children = [];
});
afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  for (const postgres of running) await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(dataDir = folder): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres(dataDir, throwAway);
  running.push(postgres);
  return postgres;
}

async function query<Row extends object>(url: string, sql: string): Promise<Row[]> {
  const connection = await openConnection(url, "test", 3000);
  return connection
    .query<Row>(sql)
    .then(({ rows }) => rows)
    .finally(() => connection.end());
}

/** Another process that owns the folder; resolves when its database answers. */
async function startElsewhere(): Promise<{ child: ChildProcess; url: string }> {
  const program = fileURLToPath(new URL("../support/own-database.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program, folder], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const [url] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line")) as [string];
  return { child, url };
}

test("data outlives a stop and a start", async () => {
  const first = await start();
  await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer");
  await first.stop();
  await expect(query(first.url, "SELECT 1")).rejects.toThrow();
  const second = await start();
  expect(await query(second.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
});

test("the server listens on loopback only, with a random password that only its owner can read", async () => {
  const { url } = await start();
  expect(await query(url, "SHOW listen_addresses")).toEqual([{ listen_addresses: "127.0.0.1" }]);
  const password = readFileSync(join(folder, "postgres.password"), "utf8");
  expect(new URL(url).password).toBe(password);
  expect(password.length).toBeGreaterThanOrEqual(32);
  expect(statSync(join(folder, "postgres.password")).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "owner.json")).mode & 0o777).toBe(0o600);
  const guessed = new URL(url);
  guessed.password = "password";
  await expect(query(guessed.href, "SELECT 1")).rejects.toThrow(/password authentication failed/);
});

test("a second start on the folder says who holds it, and other processes find its database", async () => {
  const { child, url } = await startElsewhere();
  const second = startEmbeddedPostgres(folder, throwAway);
  await expect(second).rejects.toThrow(DataFolderLocked);
  await expect(second).rejects.toThrow(new RegExp(`${folder} is in use by process ${child.pid}.*DATA_DIR`));
  expect(ownersDatabaseUrl(folder)).toBe(url);
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(ownersDatabaseUrl(folder)).toBeNull();
  await start();
});

test("the server that a killed start left running is adopted, with everything in it", async () => {
  const { child, url } = await startElsewhere();
  await query(url, "CREATE TABLE kept AS SELECT 42 AS answer");
  child.kill("SIGKILL");
  await once(child, "exit");
  const adopted = await start();
  expect(adopted.url).toBe(url);
  expect(await query(adopted.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  await adopted.stop();
  await expect(query(url, "SELECT 1")).rejects.toThrow();
});

test("an adopted server that is killed is started again at its address, and ends with its owner", async () => {
  const { child, url } = await startElsewhere();
  await query(url, "CREATE TABLE kept AS SELECT 42 AS answer");
  child.kill("SIGKILL");
  await once(child, "exit");
  const adopted = await start();
  const [{ data_directory }] = (await query(url, "SHOW data_directory")) as [{ data_directory: string }];
  const postmaster = () => Number(readFileSync(join(data_directory, "postmaster.pid"), "utf8").split("\n")[0]);
  process.kill(postmaster(), "SIGKILL");
  const kept = () => query(url, "SELECT answer FROM kept");
  expect(await vi.waitFor(kept, { timeout: 60_000, interval: 100 })).toEqual([{ answer: 42 }]);
  await adopted.stop();
  await expect(kept()).rejects.toThrow();
});

test("a process that has the number of a server long gone is left alone", async () => {
  const first = await start();
  const [{ data_directory }] = (await query(first.url, "SHOW data_directory")) as [{ data_directory: string }];
  await first.stop();
  const other = spawn("sleep", ["600"], { stdio: "ignore" });
  children.push(other);
  writeFileSync(join(data_directory, "postmaster.pid"), `${other.pid}\n${data_directory}\n0\n5432\n`);
  const { url } = await start();
  expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  expect(other.exitCode).toBeNull();
  expect(other.signalCode).toBeNull();
});

test("a first start that was interrupted leaves no half-made cluster for the next", async () => {
  mkdirSync(join(folder, "postgres.draft"));
  writeFileSync(join(folder, "postgres.draft", "PG_VERSION"), "");
  const { url } = await start();
  expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

describe("the lock", () => {
  test("of a process that is gone is taken over, even when its number is in use again", () => {
    const since = new Date().toISOString();
    for (const owner of [
      { pid: 2 ** 22 + 1, born: null, since },
      { pid: process.pid, born: "1", since },
    ]) {
      writeFileSync(join(folder, "owner.json"), JSON.stringify(owner));
      lockDataFolder(folder).release();
      expect(existsSync(join(folder, "owner.json"))).toBe(false);
    }
  });

  test("that is not readable does not lock anybody out", () => {
    writeFileSync(join(folder, "owner.json"), "");
    lockDataFolder(folder).release();
  });

  test("is held once", () => {
    const lock = lockDataFolder(folder);
    expect(() => lockDataFolder(folder)).toThrow(DataFolderLocked);
    lock.release();
    lockDataFolder(folder).release();
  });
});

// Only root has to hand the server to another user; anybody else runs it as himself, wherever he can write.
test.skipIf(process.getuid?.() !== 0)(
  "root may start in a folder that nobody else can enter, and again after deleting it",
  async () => {
    chmodSync(folder, 0o700);
    const below = join(folder, "below");
    const first = await start(below);
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer");
    await first.stop();
    const again = await start(below);
    expect(await query(again.url, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
    await again.stop();
    const cluster = readFileSync(join(below, "postgres.cluster"), "utf8");
    rmSync(below, { recursive: true });
    const fresh = await start(below);
    await expect(query(fresh.url, "SELECT answer FROM kept")).rejects.toThrow(/does not exist/);
    expect(existsSync(cluster)).toBe(false);
    await fresh.stop();
    const rest = readFileSync(join(below, "postgres.cluster"), "utf8");
    for (const path of [rest, `${rest}.home`]) rmSync(path, { recursive: true });
  },
);
