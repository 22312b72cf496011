import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { childEnvironment } from "../../platform/config.ts";

// A start is seconds on an idle machine, and a test machine may not be idle.
vi.setConfig({ testTimeout: 180_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "start-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Started {
  readonly process: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function start(settings: Record<string, string>): Started {
  const env = childEnvironment({ DATA_DIR: join(folder, "data"), PORT: "0", THREADS: "1", ...settings });
  const child = spawn(process.execPath, ["--import", "tsx", "scripts/start.ts"], { env });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      output += chunk;
    });
  const exit = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
  return { process: child, output: () => output, exit };
}

async function ready(started: Started): Promise<string> {
  await expect.poll(started.output, { timeout: 150_000 }).toMatch(/^ready http:\/\/\S+$/m);
  return /^ready (\S+)$/m.exec(started.output())![1]!;
}

describe("npm start", () => {
  let running: Started;
  afterAll(() => running.process.kill("SIGKILL"));

  test("serves on a free port and says where", async () => {
    running = start({});
    const url = await ready(running);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    expect(running.output()).toContain(`${url}/docs`);
  });

  test("a second start on the same data folder says who holds it", async () => {
    const second = start({});
    expect(await second.exit).toBe(1);
    expect(second.output()).toContain(`is in use by process ${running.process.pid}`);
  });

  test("a busy port is named before anything is started", async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as { port: number };
    const second = start({ PORT: String(port), DATA_DIR: join(folder, "other") });
    expect(await second.exit).toBe(1);
    expect(second.output()).toContain(`Port ${port} on 127.0.0.1 is taken`);
    expect(second.output()).not.toContain("database");
    await new Promise((done) => server.close(done));
  });

  test("a setting that cannot be is named", async () => {
    const wrong = start({ PORT: "eighty" });
    expect(await wrong.exit).toBe(1);
    expect(wrong.output()).toContain("PORT");
  });

  test("SIGTERM ends it in order, and the data folder is free again", async () => {
    running.process.kill("SIGTERM");
    expect(await running.exit).toBe(0);
    expect(running.output()).toContain("stopped");
    const again = start({});
    await ready(again);
    again.process.kill("SIGINT");
    expect(await again.exit).toBe(0);
  });
});
