import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveSaeTrain } from "../../domain/training-laws.ts";
import { childEnvironment } from "../../platform/config.ts";
import type { Json } from "../../platform/jobs.ts";
import { type Deployment, deploy, eventOf, fixtureModel } from "./deployment.ts";

let deployment: Deployment;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  deployment = await deploy();
});
afterAll(async () => {
  for (const child of processes) child.kill("SIGKILL");
  await deployment.close();
});

/** `npm run worker` against the test's database. */
function startWorker(): ChildProcess {
  const { platform } = deployment;
  const env = childEnvironment({
    DATABASE_URL: platform.databaseUrl,
    DATA_DIR: platform.config.DATA_DIR,
    MODEL_ROOTS: "tests/fixtures",
    WORKER_CLASS: "batch",
    THREADS: "1",
    LOG_LEVEL: "error",
  });
  const child = spawn(process.execPath, ["--import", "tsx", "workers/main.ts"], { env, stdio: "inherit" });
  processes.push(child);
  return child;
}

const train = (name: string): Json =>
  resolveSaeTrain(
    {
      name,
      model_id: "tiny",
      dataset_id: "sentences",
      layers: [1],
      width: 64,
      k: 4,
      tokens: 25_000,
      batch_tokens: 128,
      buffer_tokens: 1024,
      context_tokens: 32,
      evaluation_tokens: 300,
      checkpoint_every_steps: 40,
    },
    { layers: 3, dModel: 48, vocabSize: 320, contextLength: 512 },
  ) as unknown as Json;

// The children of a process are listed by Linux alone; elsewhere the rest of the test still says what matters.
const childrenOf = (pid: number): number[] => {
  const path = `/proc/${pid}/task/${pid}/children`;
  return existsSync(path) ? readFileSync(path, "utf8").trim().split(" ").filter(Boolean).map(Number) : [];
};

describe("a worker process", () => {
  test("killed with SIGKILL in the middle of a training takes its device along, and another ends the run with the same bits", async () => {
    const { platform } = deployment;
    const first = startWorker();
    await deployment.run("model.import", { name: "tiny", source: { type: "directory", path: fixtureModel } });
    const text = (index: number) => `sentence ${index} says ${"little ".repeat(1 + (index % 9))}about ${index * 37}`;
    await deployment.dataset(
      "sentences",
      Array.from({ length: 300 }, (_, index) => ({ text: text(index) })),
    );
    const undisturbed = await deployment.run("sae.train", train("undisturbed"));

    const jobId = await deployment.submit("sae.train", train("killed"));
    await eventOf(platform, jobId, (event) => event.type === "checkpoint");
    const devices = childrenOf(first.pid!);
    first.kill("SIGKILL");
    startWorker();
    for (const pid of devices)
      await expect.poll(() => existsSync(`/proc/${pid}/cmdline`), { timeout: 60_000 }).toBe(false);

    const row = await deployment.ended(jobId);
    expect(row.state).toBe("succeeded");
    const digest = async (job: string) => (await platform.db.sae.findFirstOrThrow({ where: { job_id: job } })).digest;
    expect(await digest(jobId)).toBe(await digest(undisturbed.id));
    const types = (await platform.jobs.events(jobId, 0, 10_000)).map((event) => event.type);
    expect(types.filter((type) => type === "started")).toHaveLength(2);
  });

  test("ends on SIGTERM with code 0 and leaves no row behind", async () => {
    const { platform } = deployment;
    const worker = startWorker();
    await expect
      .poll(() => platform.db.worker.findFirst({ where: { pid: worker.pid! } }), { timeout: 60_000 })
      .not.toBeNull();
    const exit = new Promise((done) => worker.once("exit", done));
    worker.kill("SIGTERM");
    expect(await exit).toBe(0);
    expect(await platform.db.worker.findFirst({ where: { pid: worker.pid! } })).toBeNull();
  });
});
