// What the tests of this folder share: a platform with the fixtures as model roots, jobs by hand, and waiting for rows.

import { vi } from "vitest";
import type { Sample } from "../../domain/dataset.ts";
import { newId } from "../../domain/id.ts";
import type { JobRow, Json } from "../../platform/jobs.ts";
import type { Platform } from "../../platform/platform.ts";
import { createWorker, type Worker } from "../../workers/supervisor.ts";
import { type TestPlatform, testPlatform } from "../support/platform.ts";

/** How long a test waits for something that takes a second on an idle machine. */
const patienceMs = 170_000;
// Whoever imports this file waits for real processes, on machines that may do other things meanwhile.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

export const fixtureModel = "tests/fixtures/models/qwen3-tied-f32";

export interface Deployment {
  readonly platform: TestPlatform;
  readonly workspaceId: string;
  submit(kind: string, input: Json): Promise<string>;
  /** The row once it has ended. */
  ended(jobId: string): Promise<JobRow>;
  /** Submits and waits; throws with the problem when the job failed. */
  run(kind: string, input: Json): Promise<JobRow>;
  dataset(name: string, samples: readonly Sample[]): Promise<string>;
  worker(workerClass: "interactive" | "batch"): Promise<Worker>;
  close(): Promise<void>;
}

export async function deploy(settings: Record<string, string> = {}): Promise<Deployment> {
  const platform = await testPlatform(
    { MODEL_ROOTS: "tests/fixtures", THREADS: "1", ...settings },
    { maintenance: true },
  );
  const { workspaceId } = platform;
  const workers: Worker[] = [];
  const deployment: Deployment = {
    platform,
    workspaceId,
    async submit(kind, input) {
      const id = newId("job");
      await platform.db.$transaction((tx) => platform.jobs.create(tx, { id, workspaceId, kind, input }));
      return id;
    },
    async ended(jobId) {
      const row = await platform.jobs.waitForEnd(jobId, patienceMs);
      if (!row?.finished_at) throw new Error(`${jobId} is ${row?.state} after ${patienceMs / 1000} s`);
      return row;
    },
    async run(kind, input) {
      const row = await deployment.ended(await deployment.submit(kind, input));
      if (row.state !== "succeeded") throw new Error(`${row.state}: ${JSON.stringify(row.error)}`);
      return row;
    },
    async dataset(name, samples) {
      const bytes = Buffer.from(samples.map((sample) => `${JSON.stringify(sample)}\n`).join(""));
      const blob = await platform.store.put(workspaceId, bytes);
      const artifact = await platform.artifacts.create({ workspaceId, name, contentType: "application/jsonl", blob });
      const { id } = await platform.db.dataset.create({
        data: {
          id: newId("dataset"),
          workspace_id: workspaceId,
          name,
          samples: samples.length,
          columns: Object.keys(samples[0] ?? {}),
          digest: blob.digest,
          size_bytes: blob.sizeBytes,
          artifact_id: artifact.id,
        },
      });
      return id;
    },
    async worker(workerClass) {
      const worker = await createWorker(platform, { class: workerClass });
      workers.push(worker);
      return worker;
    },
    async close() {
      for (const worker of workers) await worker.stop();
      await platform.close();
    },
  };
  return deployment;
}

/** Resolves when the job has an event that the test accepts. */
export async function eventOf(
  platform: Platform,
  jobId: string,
  accepts: (event: { type: string; data: unknown }) => boolean,
): Promise<void> {
  for await (const event of platform.jobs.subscribe(jobId, 0, AbortSignal.timeout(patienceMs))) {
    if (accepts(event)) return;
  }
  throw new Error(`${jobId} ended without the event`);
}
