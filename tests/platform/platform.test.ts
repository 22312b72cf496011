import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { newId } from "../../domain/id.ts";
import { hashApiKey } from "../../platform/bootstrap.ts";
import { parseConfig } from "../../platform/config.ts";
import { DataFolderLocked } from "../../platform/data-lock.ts";
import { notify } from "../../platform/notifications.ts";
import { createPlatform, type Platform } from "../../platform/platform.ts";
import { batchQueue } from "../../platform/queue.ts";
import { testDatabase } from "../support/platform.ts";

// Some tests make a database cluster: a second on an idle machine, many on a busy one.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "qwen-scope-platform-"));
  chmodSync(folder, 0o755);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const config = (more: Record<string, string> = {}) => parseConfig({ DATA_DIR: folder, LOG_LEVEL: "silent", ...more });
const open = (more: Record<string, string> = {}) =>
  createPlatform(config(more), { process: "test", maintenance: false });

/** Where root's folders cannot be entered by the server's own user, the cluster lies elsewhere. */
function clusterFile(name: string): string {
  const elsewhere = join(folder, "postgres.cluster");
  return join(existsSync(elsewhere) ? readFileSync(elsewhere, "utf8") : join(folder, "postgres"), name);
}

async function runOneJob(api: Platform, worker: Platform): Promise<string> {
  const workspace = await api.db.workspace.findFirstOrThrow();
  const done = Promise.withResolvers<void>();
  const consumer = await worker.queue.consume({ queues: [batchQueue("any")], concurrency: 1 }, async (delivery) => {
    const claim = await worker.claims.claim(delivery, "worker_a");
    if (claim !== null) await worker.claims.finish(claim, { state: "succeeded" });
    done.resolve();
  });
  const job = await api.db.$transaction((tx) =>
    api.jobs.create(tx, { id: newId("job"), workspaceId: workspace.id, kind: "test", input: {} }),
  );
  const ended = await api.jobs.waitForEnd(job.id, 20_000);
  await done.promise;
  await consumer.stop();
  return ended?.state ?? "gone";
}

test("one command's worth: an own database, a worker that joins it, a job between them, and everything gone after close", async () => {
  const api = await open();
  await expect(open()).rejects.toThrow(DataFolderLocked);
  const worker = await createPlatform(config(), { process: "worker", embedded: "join", maintenance: false });
  expect(await runOneJob(api, worker)).toBe("succeeded");
  await worker.close();
  await api.close();
  expect(existsSync(join(folder, "owner.json"))).toBe(false);
  expect(existsSync(join(folder, "postgres", "postmaster.pid"))).toBe(false);
});

test("a killed database is started again at its address: queries, notifications and the queue go on by themselves", async () => {
  const api = await open();
  const topic = "test:wakes";
  let wakes = 0;
  const unsubscribe = api.notifications.subscribe(topic, () => wakes++);
  const postmaster = () => Number(readFileSync(clusterFile("postmaster.pid"), "utf8").split("\n")[0]);
  const killed = postmaster();
  process.kill(killed, "SIGKILL");
  // A connection outlives its postmaster for a moment and may still answer: only the next postmaster proves the restart.
  await vi.waitFor(() => expect(postmaster()).not.toBe(killed), { timeout: 60_000, interval: 100 });
  await vi.waitFor(() => api.db.workspace.count(), { timeout: 60_000, interval: 100 });
  // The reconnect wakes everybody once; only what comes after that was notified.
  await vi.waitFor(() => expect(wakes).toBeGreaterThan(0), { timeout: 60_000 });
  const before = wakes;
  await notify(api.db, topic);
  await vi.waitFor(() => expect(wakes).toBeGreaterThan(before), { timeout: 10_000 });
  unsubscribe();
  expect(await runOneJob(api, api)).toBe("succeeded");
  const restarted = postmaster();
  await api.close();
  expect(() => process.kill(restarted, 0)).toThrow("ESRCH");
});

test("a worker that finds nobody to join says what to do", async () => {
  const joining = createPlatform(config(), { process: "worker", embedded: "join" });
  await expect(joining).rejects.toThrow(/No server runs on the data folder.*DATABASE_URL/);
});

test("many processes may start at once on an empty database", async () => {
  const database = await testDatabase({ empty: true });
  const platforms = await Promise.all(Array.from({ length: 3 }, () => open({ DATABASE_URL: database.url })));
  const [api, worker] = platforms as [Platform, Platform];
  expect(await api.db.workspace.count()).toBe(1);
  expect(await runOneJob(api, worker)).toBe("succeeded");
  for (const platform of platforms) await platform.close();
  await database.drop();
});

test("a start that fails half-way leaves neither a server nor a lock", async () => {
  writeFileSync(join(folder, "artifacts"), "a file where the store wants a folder");
  await expect(open()).rejects.toThrow();
  expect(existsSync(join(folder, "owner.json"))).toBe(false);
  rmSync(join(folder, "artifacts"));
  await (await open()).close();
});

test("the first admin key is stored as a hash, once, with every scope", async () => {
  const database = await testDatabase();
  const key = "qs_0123456789abcdef0123456789abcdef";
  for (let start = 0; start < 2; start++) {
    const platform = await open({ DATABASE_URL: database.url, ADMIN_API_KEY: key });
    const rows = await platform.db.apiKey.findMany();
    expect(rows).toMatchObject([{ hash: hashApiKey(key), scopes: ["read", "write", "admin"], prefix: "qs_01234" }]);
    expect(JSON.stringify(rows)).not.toContain(key);
    await platform.close();
  }
  await database.drop();
});

test("metrics are printed for Prometheus, with a count for what the platform did", async () => {
  const database = await testDatabase();
  const platform = await open({ DATABASE_URL: database.url });
  await runOneJob(platform, platform);
  const { contentType, text } = await platform.metrics.print();
  expect(contentType).toContain("text/plain");
  expect(text).toContain('jobs_ended_total{kind="test",state="succeeded"} 1');
  await platform.close();
  await database.drop();
});

test("one version of Prisma: client, command line and schema engine", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const version = dependencies["@prisma/client"];
  for (const name of ["prisma", "@prisma/driver-adapter-utils"]) expect(devDependencies[name]).toBe(version);
  expect(dependencies["@prisma/adapter-pg"]).toBe(version);
  const engines = JSON.parse(readFileSync("node_modules/@prisma/engines-version/package.json", "utf8"));
  expect(devDependencies["@prisma/schema-engine-wasm"]).toBe(engines.version);
});
