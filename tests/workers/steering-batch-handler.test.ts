// The handler of steering.batch without a service around it: what takes a small machine, a large file or many interruptions to see.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Problem } from "../../domain/problem.ts";
import {
  type BatchOutputLine,
  maximumBatchLineBytes,
  maximumBatchLines,
  type SteeringBatchInput,
} from "../../domain/steering-batch.ts";
import type { StoredBlob } from "../../platform/artifacts/store.ts";
import { bytesOf } from "../../workers/bytes.ts";
import { type JobContext, Stopped } from "../../workers/jobs/handler.ts";
import { steeringBatch } from "../../workers/jobs/steering/steering-batch.ts";
import type { CheckpointPointer, JobOutput } from "../../workers/protocol.ts";
import type { ArtifactRow, ModelRow } from "../../workers/records.ts";
import { createResidency, type Residency } from "../../workers/residency.ts";
import { rowOf } from "./model-row.ts";

const models: Record<string, ModelRow> = { one: rowOf("one", "qwen3-tied-f32"), other: rowOf("other", "llama-f16") };

let residency: Residency;
let scratch: string;
const blobs = new Map<string, Uint8Array>();
beforeEach(async () => {
  // Room for one model at a time.
  residency = createResidency(1_050_000, "MEMORY_INSUFFICIENT");
  scratch = await mkdtemp(join(tmpdir(), "batch-handler-"));
});
afterEach(async () => {
  await residency.close();
  await rm(scratch, { recursive: true });
});

async function put(content: AsyncIterable<Uint8Array> | Uint8Array): Promise<StoredBlob> {
  const bytes = content instanceof Uint8Array ? content : await bytesOf(content);
  const digest = createHash("sha256").update(bytes).digest("hex");
  blobs.set(digest, bytes);
  return { digest, sizeBytes: bytes.length };
}
async function* get(digest: string): AsyncGenerator<Uint8Array> {
  // Chunks that split lines anywhere.
  const bytes = blobs.get(digest)!;
  for (let at = 0; at < bytes.length; at += 100_003) yield bytes.subarray(at, at + 100_003);
}

let uploaded: StoredBlob;
const artifact = async (id: string): Promise<ArtifactRow> => ({ id, ...uploaded, contentType: "application/jsonl" });
const absent = async () => {
  throw new Problem("VARIANT_NOT_FOUND");
};
const jsonl = (lines: readonly unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

async function run(
  text: string,
  input: Partial<SteeringBatchInput> = {},
  changes: Partial<JobContext> = {},
): Promise<JobOutput> {
  uploaded = await put(Buffer.from(text));
  const context = {
    workspaceId: "workspace",
    jobId: "job",
    blobs: { put, get: async (name: string) => get(name) },
    catalog: {
      model: async (id: string) => models[id] ?? Promise.reject(new Problem("MODEL_NOT_FOUND")),
      variant: absent,
      artifact,
    },
    residency,
    settings: {
      device: "cpu",
      threads: 1,
      memoryBytes: 1e9,
      maxBatch: 4,
      cacheBytes: 2 ** 24,
      modelRoots: [],
      cacheFolder: scratch,
    },
    log: { info() {}, warn() {}, error() {} },
    signal: new AbortController().signal,
    checkpoint: null,
    scratch,
    step: async () => {},
    progress: () => {},
    saveCheckpoint: () => Promise.reject(new Error("no checkpoint was due")),
    ...changes,
  } as unknown as JobContext;
  return await steeringBatch({ artifact_id: "file", ...input } as never, context);
}

function linesOf(output: JobOutput | null, name: string): BatchOutputLine[] {
  const artifact = output?.artifacts?.find((one) => one.name === name);
  const text = artifact ? Buffer.from(blobs.get(artifact.blob.digest)!).toString("utf8") : "";
  return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
}
const rowsOf = (output: JobOutput | null, name: string) => linesOf(output, name).map(({ row }) => row);

const lineOf = (index: number) => ({
  custom_id: `${index}`,
  prompt: [3 + (index % 300), 5, 7],
  max_tokens: 2 + (index % 5),
});
const greedy = { model: "one", temperature: 0 };

test("lines of models that do not fit together are run one after the other, none is refused for its company", async () => {
  const lines = Array.from({ length: 12 }, (_, index) => ({
    ...lineOf(index),
    model: index % 3 === 1 ? "other" : "one",
  }));
  const output = await run(jsonl(lines), { body: { temperature: 0 } });
  expect(output.metrics).toMatchObject({ total: 12, completed: 12, failed: 0 });
  expect(rowsOf(output, "output.jsonl")).toEqual(lines.map((_, index) => index + 1));
});

test("a database that is away for a moment costs no line", async () => {
  let asked = 0;
  const model = async (id: string) => {
    if (++asked === 2) throw new Error("the connection was lost");
    return models[id] ?? Promise.reject(new Problem("MODEL_NOT_FOUND"));
  };
  const lines = [
    { ...lineOf(0), model: "one" },
    { ...lineOf(1), model: "other" },
    { ...lineOf(2), model: "nobody" },
  ];
  const catalog = { model, variant: absent, artifact } as unknown as JobContext["catalog"];
  const output = await run(jsonl(lines), { body: { temperature: 0 } }, { catalog });
  expect([rowsOf(output, "output.jsonl"), rowsOf(output, "errors.jsonl")]).toEqual([[1, 2], [3]]);
  expect(asked).toBeGreaterThan(3);
});

test("however often it is interrupted, each line is there once, and checkpoints stay few", async () => {
  const count = 60;
  const lines = Array.from({ length: count }, (_, index) => (index % 8 === 3 ? { prompt: "no id" } : lineOf(index)));
  const undisturbed = await run(jsonl(lines), { body: greedy });
  let checkpoint: CheckpointPointer | null = null;
  const kept: number[] = [];
  let output: JobOutput | null = null;
  let attempts = 0;
  for (const stopAt of [7, 16, 31, 44, count + 1]) {
    attempts += 1;
    const abort = new AbortController();
    const attempt = await run(
      jsonl(lines),
      { body: greedy, checkpoint_every_lines: 3 },
      {
        signal: abort.signal,
        checkpoint,
        progress: ({ done }) => done >= stopAt && abort.abort("cancel"),
        async saveCheckpoint(bytes, step, made = []) {
          checkpoint = { ...(await put(bytes)), step };
          kept.push(made.length);
          return checkpoint;
        },
      },
    ).catch((error) => {
      if (!(error instanceof Stopped)) throw error;
      return error.output;
    });
    output = attempt;
    const there = [...rowsOf(output, "output.jsonl"), ...rowsOf(output, "errors.jsonl")];
    expect(new Set(there).size).toBe(there.length);
    expect(there.length).toBeGreaterThanOrEqual(Math.min(stopAt, count));
  }
  expect(attempts).toBe(5);
  expect(Math.max(...kept)).toBeLessThanOrEqual(Math.log2(count) + 1);
  for (const name of ["output.jsonl", "errors.jsonl"]) {
    const told = (from: JobOutput | null) =>
      linesOf(from, name).map(({ row, custom_id, response, error }) => ({
        ...{ row, custom_id, error, choices: (response?.body as { choices: unknown } | undefined)?.choices },
      }));
    expect(told(output)).toEqual(told(undisturbed));
  }
  expect(output!.metrics).toEqual(undisturbed.metrics);
});

test("a line that is too long is an error line, and a file of too many lines or none is refused", async () => {
  const long = { custom_id: "long", prompt: "x".repeat(maximumBatchLineBytes) };
  const output = await run(jsonl([long, lineOf(1)]), { body: greedy });
  expect(linesOf(output, "errors.jsonl")).toMatchObject([
    { row: 1, custom_id: null, error: { message: expect.stringContaining(`may have ${maximumBatchLineBytes}`) } },
  ]);
  expect(rowsOf(output, "output.jsonl")).toEqual([2]);
  await expect(run("{}\n".repeat(maximumBatchLines + 1))).rejects.toMatchObject({ code: "DATASET_TOO_LARGE" });
  await expect(run("\n \r\n\n")).rejects.toMatchObject({ code: "DATASET_TOO_SMALL" });
});
