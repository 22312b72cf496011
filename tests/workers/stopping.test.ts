import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeSaelens } from "../../engine/sae/layouts/saelens.ts";
import { hashFile, layOut } from "../../workers/files.ts";
import { planBenchmarks, resolveBenchmarks } from "../../workers/jobs/benchmarks/benchmark-plan.ts";
import { type JobContext, Stopped } from "../../workers/jobs/handler.ts";
import { modelImport } from "../../workers/jobs/import-export/model-import.ts";
import { saeImport } from "../../workers/jobs/import-export/sae-import.ts";
import type { DatasetRow, ModelRow } from "../../workers/records.ts";
import { fixtureModel } from "./deployment.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stopping-"));
});
afterAll(() => rm(folder, { recursive: true }));

const samples = Array.from({ length: 250 }, (_, i) => `${JSON.stringify({ text: `sample ${i}` })}\n`).join("");

/** A context that is told to give way at its n-th step, and counts what is asked of it until then. */
function stoppedAt(last: number) {
  const controller = new AbortController();
  const seen = { steps: 0, progress: 0 };
  const context = {
    jobId: "job_a",
    workspaceId: "workspace_a",
    scratch: folder,
    settings: {
      device: "cpu",
      threads: 1,
      memoryBytes: 1e9,
      maxBatch: 4,
      cacheBytes: 1e8,
      modelRoots: ["tests/fixtures", folder],
      cacheFolder: folder,
    },
    signal: controller.signal,
    blobs: {
      put: () => Promise.reject(new Error("a stopped job stores nothing")),
      get: async () =>
        (async function* () {
          yield Buffer.from(samples);
        })(),
    },
    catalog: {
      children: async () => [],
      taken: async () => [],
      model: async () => ({ id: "model_a", name: "tiny", layers: 3, dModel: 4 }) as ModelRow,
      dataset: async (id: string) => ({ id, name: id, samples: 250, digest: "d" }) as DatasetRow,
    },
    step: async () => {
      seen.steps += 1;
      if (seen.steps === last) controller.abort("preempt");
    },
    progress: () => {
      seen.progress += 1;
    },
  };
  return { context: context as unknown as JobContext, seen };
}

const givesWay = (work: Promise<unknown>) => expect(work).rejects.toMatchObject({ name: "Stopped", reason: "preempt" });

test("an import of a model stops between two files", async () => {
  const { context, seen } = stoppedAt(3);
  await givesWay(modelImport({ name: "tiny", source: { type: "directory", path: fixtureModel } }, context));
  expect(seen.steps).toBe(3);
  expect(seen.progress).toBeLessThan(4);
});

test("an import of an sae stops before it stores anything", async () => {
  const path = join(folder, "sae");
  await mkdir(path);
  const tensors = {
    W_enc_FD: new Float32Array(32),
    W_dec_FD: new Float32Array(32).fill(1),
    b_enc_F: new Float32Array(8),
    b_dec_D: new Float32Array(4),
  };
  await writeSaelens(path, { dModel: 4, width: 8, rule: { kind: "topk", k: 2 }, ...tensors });
  const { context } = stoppedAt(1);
  const input = {
    name: "s",
    model_id: "tiny",
    layer: 0,
    source: { type: "directory", path },
    layout: "saelens",
  } as const;
  await givesWay(saeImport(input, context));
});

test("a plan of benchmarks stops while it counts prompts", async () => {
  const { context, seen } = stoppedAt(3);
  let encoded = 0;
  const encode = (text: string) => {
    encoded += 1;
    return Int32Array.from({ length: text.length });
  };
  const input = { model_id: "m", sae_ids: ["s"], benchmarks: [{ dataset_id: "a" }] };
  const rules = { encode, contextLength: 100, vocabulary: 1, overlong: "cut", isSpecial: () => false } as const;
  const plan = async () => planBenchmarks(await resolveBenchmarks(input, context), input, rules, context);
  await givesWay(plan());
  expect(seen.steps).toBe(3);
  expect(encoded).toBeGreaterThan(0);
  expect(encoded).toBeLessThan(250);
});

test("the digest of a large file is made with a sign of life every 64 MiB", async () => {
  await writeFile(join(folder, "large"), "");
  await truncate(join(folder, "large"), 130 * 2 ** 20);
  let steps = 0;
  const { sizeBytes } = await hashFile(folder, "large", async () => {
    steps += 1;
  });
  expect([sizeBytes, steps]).toEqual([130 * 2 ** 20, 3]);
});

test("files that are stopped while they are laid out leave nothing in the cache", async () => {
  const cache = join(folder, "cache");
  const { context } = stoppedAt(1);
  let steps = 0;
  const step = async () => {
    steps += 1;
    if (steps === 2) throw new Stopped("cancel");
  };
  const files = ["a", "b", "c"].map((path) => ({ path, digest: path, sizeBytes: samples.length }));
  await expect(layOut(files, context.blobs, cache, step)).rejects.toThrow(Stopped);
  expect(steps).toBe(2);
  expect(await readdir(join(cache, "files"))).toEqual([]);
});
