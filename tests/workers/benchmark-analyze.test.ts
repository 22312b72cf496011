import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BenchmarkAnalyzeInput, BenchmarkAnalyzeResult } from "../../domain/benchmark.ts";
import { BenchmarkAnalyzeResult as ResultSchema } from "../../domain/benchmark.ts";
import { Problem } from "../../domain/problem.ts";
import { checkSchema } from "../../domain/schema.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../../engine/llm/model.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { createDiskStore } from "../../platform/artifacts/disk.ts";
import { createOutbound } from "../../platform/outbound.ts";
import { createBlobs } from "../../workers/blobs.ts";
import { bytesOf } from "../../workers/bytes.ts";
import { benchmarkAnalyze } from "../../workers/jobs/benchmark-analyze.ts";
import type { Blobs, JobContext } from "../../workers/jobs/handler.ts";
import { Stopped } from "../../workers/jobs/handler.ts";
import type { CheckpointPointer, JobOutput } from "../../workers/protocol.ts";
import type { DatasetRow, ModelRow, SaeRow } from "../../workers/records.ts";
import { createResidency, type Residency } from "../../workers/residency.ts";
import { storeSae } from "../../workers/sae-files.ts";

const MODEL = join(import.meta.dirname, "../fixtures/models/qwen3-tied-f32");
const LAYERS = [0, 1] as const;
const WIDTH = 48;
const K = 4;

const GREETINGS = [
  "Good morning.",
  "Hello there",
  "How are you today?",
  "你好",
  "Hi",
  "Good evening, everyone",
  "Bye now",
];
const SUMS = ["1 + 1", "2 + 3 =", "10 - 4", "7 times 8", "What is 9 / 3?"];

let folder: string;
let blobs: Blobs;
let residency: Residency;
let language: LanguageModel;
let model: ModelRow;
const saes = new Map<string, SaeRow>();
const opened = new Map<string, OpenedSae>();
const datasets = new Map<string, DatasetRow>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "analyze-"));
  blobs = createBlobs(await createDiskStore(join(folder, "store")), "workspace_a");
  residency = createResidency(1e9);
  language = await openModel(MODEL, { threads: 1 });
  const { layers, dModel, vocabulary, contextLength } = language.config;
  model = {
    id: "model_a",
    name: "tiny",
    source: { type: "directory", path: MODEL, files: [] },
    quantized: null,
    digest: "tiny",
    sizeBytes: 1e6,
    layers,
    dModel,
    vocab: vocabulary,
    context: contextLength,
    residualNorms: [],
  };
  for (const layer of LAYERS) await addSae(`sae_${layer}`, layer, dModel);
  await addDataset(
    "dataset_greetings",
    "greetings",
    GREETINGS.map((text) => ({ text })),
  );
  await addDataset(
    "dataset_sums",
    "sums",
    SUMS.map((question) => ({ text: question, question })),
  );
});

afterAll(async () => {
  await residency.close();
  await language.close();
  for (const sae of opened.values()) await sae.close();
  await rm(folder, { recursive: true, force: true });
});

async function addSae(id: string, layer: number, dModel: number): Promise<void> {
  const random = createRandom(layer + 1);
  const normal = (length: number) => Float32Array.from({ length }, () => random.normal());
  const sae = {
    dModel,
    width: WIDTH,
    rule: { kind: "topk", k: K } as const,
    W_enc_FD: normal(WIDTH * dModel),
    b_enc_F: normal(WIDTH),
    W_dec_FD: normal(WIDTH * dModel),
    b_dec_D: normal(dModel),
  };
  const stored = await storeSae({ sae, modelName: "tiny", layer, statistics: null }, id, { scratch: folder, blobs });
  opened.set(id, await openSae(sae, { threads: 1 }));
  saes.set(id, {
    id,
    name: `tiny-layer${layer}`,
    modelId: "model_a",
    layer,
    architecture: "topk",
    width: WIDTH,
    dModel,
    k: K,
    digest: stored.digest,
    sizeBytes: stored.sizeBytes,
    files: stored.artifacts.map(({ name, blob }) => ({
      path: name.slice(name.lastIndexOf("/") + 1),
      digest: blob.digest,
      sizeBytes: blob.sizeBytes,
    })),
  });
}

async function addDataset(id: string, name: string, samples: readonly object[]): Promise<void> {
  const { digest } = await blobs.put(Buffer.from(samples.map((sample) => `${JSON.stringify(sample)}\n`).join("")));
  datasets.set(id, { id, name, samples: samples.length, digest });
}

interface Ran {
  readonly result: BenchmarkAnalyzeResult;
  readonly output: JobOutput;
  readonly events: readonly { name: string; data: unknown }[];
  readonly progress: readonly { done: number; total: number }[];
}

async function run(input: Partial<BenchmarkAnalyzeInput>, change: Partial<JobContext> = {}): Promise<Ran> {
  const events: { name: string; data: unknown }[] = [];
  const progress: { done: number; total: number }[] = [];
  const found = async <T>(value: T | undefined, code: "DATASET_NOT_FOUND" | "SAE_NOT_FOUND"): Promise<T> => {
    if (value === undefined) throw new Problem(code);
    return value;
  };
  const scratch = await mkdtemp(join(folder, "scratch-"));
  const output = await benchmarkAnalyze(
    {
      model_id: "model_a",
      sae_ids: ["sae_1"],
      benchmarks: [
        { dataset_id: "dataset_greetings" },
        { dataset_id: "dataset_sums", template: "Question: {question}" },
      ],
      ...input,
    },
    {
      workspaceId: "workspace_a",
      jobId: "job_a",
      blobs,
      residency,
      catalog: {
        model: async () => model,
        sae: (id) => found(saes.get(id), "SAE_NOT_FOUND"),
        dataset: (id) => found(datasets.get(id), "DATASET_NOT_FOUND"),
        variant: () => Promise.reject(new Problem("VARIANT_NOT_FOUND")),
        artifact: () => Promise.reject(new Problem("ARTIFACT_NOT_FOUND")),
        children: async () => [],
        taken: async () => [],
      },
      settings: {
        device: "cpu",
        threads: 1,
        memoryBytes: 1e9,
        maxBatch: 4,
        cacheBytes: 1e8,
        modelRoots: [],
        cacheFolder: join(folder, "cache"),
      },
      log: { info() {}, warn() {}, error() {} },
      outbound: createOutbound([]),
      secret: () => Promise.reject(new Problem("SECRET_NOT_FOUND")),
      signal: new AbortController().signal,
      checkpoint: null,
      scratch,
      step: async () => {},
      progress: (report) => progress.push(report),
      event: (name, data) => events.push({ name, data }),
      saveCheckpoint: async (_, step) => ({ digest: "none", sizeBytes: 0, step }),
      ...change,
    },
  );
  return { result: output.result as unknown as BenchmarkAnalyzeResult, output, events, progress };
}

async function textOf({ output, result }: Ran, key: string): Promise<string> {
  const artifact = output.artifacts?.find(({ id }) => id === result.artifacts[key]);
  return Buffer.from(await bytesOf(await blobs.get(artifact!.blob.digest))).toString();
}

/** The features of one prompt alone, by the engine's parts without the job: one forward pass, one encode, the last row. */
async function featuresOf(prompt: string, sae: string, rows: "last" | "any" = "last"): Promise<Set<number>> {
  const ids = Int32Array.from(language.tokenizer.encode(prompt, { addSpecial: true }));
  const { layer } = saes.get(sae)!;
  const found = new Set<number>();
  for await (const { activations } of harvest(language, [ids], { layers: [layer] })) {
    const { dModel } = language.config;
    const [acts] = activations;
    const wanted = rows === "last" ? acts!.subarray(-dModel) : acts!.subarray(dModel);
    const sparse = await opened.get(sae)!.encode(wanted);
    for (const feature of sparse.features) found.add(feature);
  }
  return found;
}

/** Σ_n c_n / |F(D)| by the mean over every subset (Eqs. 7 and 9). */
function redundancyByEnumeration(sets: readonly Set<number>[]): number {
  const all = new Set(sets.flatMap((set) => [...set])).size;
  const sums = new Float64Array(sets.length + 1);
  const subsets = new Float64Array(sets.length + 1);
  for (let mask = 1; mask < 2 ** sets.length; mask++) {
    const chosen = sets.filter((_, i) => (mask >> i) & 1);
    sums[chosen.length]! += new Set(chosen.flatMap((set) => [...set])).size / all;
    subsets[chosen.length]! += 1;
  }
  let sum = 0;
  for (let n = 1; n <= sets.length; n++) sum += sums[n]! / subsets[n]!;
  return sum / all;
}

describe("benchmark.analyze", () => {
  it("gives the figures that enumeration gives for each prompt run alone", async () => {
    const { result } = await run({});
    expect(checkSchema(ResultSchema, result)).toEqual([]);
    const greetings = await Promise.all(GREETINGS.map((text) => featuresOf(text, "sae_1")));
    const sums = await Promise.all(SUMS.map((text) => featuresOf(`Question: ${text}`, "sae_1")));
    const [a, b] = [greetings, sums].map((sets) => new Set(sets.flatMap((set) => [...set])));
    const shared = [...a!].filter((feature) => b!.has(feature)).length;
    expect(result.benchmarks.map(({ name, samples, features }) => ({ name, samples, features }))).toEqual([
      { name: "greetings", samples: 7, features: a!.size },
      { name: "sums", samples: 5, features: b!.size },
    ]);
    expect(result.benchmarks[0]!.redundancy).toBeCloseTo(redundancyByEnumeration(greetings), 12);
    expect(result.benchmarks[1]!.redundancy).toBeCloseTo(redundancyByEnumeration(sums), 12);
    expect(result.overlap).toEqual([
      [1, shared / a!.size],
      [shared / b!.size, 1],
    ]);
    expect(result.overlap_min[0]![1]).toBe(shared / Math.min(a!.size, b!.size));
  });

  it("leaves the report, the tables and the pictures as artifacts, and the sets when asked", async () => {
    const ran = await run({ feature_sets: true });
    const report = JSON.parse(await textOf(ran, "report"));
    expect(report).toMatchObject({ model: { id: "model_a" }, position: "last", seed: 0 });
    expect(report.benchmarks[0].redundancy).toBe(ran.result.benchmarks[0]!.redundancy);
    expect(report.benchmarks[0].coverage.coverage.at(-1)).toBe(1);
    expect(await textOf(ran, "overlap_csv")).toMatch(/^benchmark,greetings,sums\r\ngreetings,1,/);
    for (const key of ["heat_map_svg", "heat_map_min_svg", "coverage_svg"]) {
      expect(await textOf(ran, key)).toMatch(/^<svg [^>]*>\n<title>/);
    }
    const sets = ran.output.artifacts?.find(({ id }) => id === ran.result.artifacts.feature_sets);
    const lines = gunzipSync(await bytesOf(await blobs.get(sets!.blob.digest)))
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(12);
    for (const { benchmark, sample, features } of lines) {
      const prompt = benchmark === "sums" ? `Question: ${SUMS[sample]}` : GREETINGS[sample]!;
      expect(new Set(features)).toEqual(await featuresOf(prompt, "sae_1"));
    }
  });

  it("takes the union of all tokens' features with position any, and of several saes", async () => {
    const { result } = await run({
      position: "any",
      sae_ids: ["sae_1", "sae_0"],
      benchmarks: [{ dataset_id: "dataset_sums" }],
    });
    let features = 0;
    for (const sae of ["sae_0", "sae_1"]) {
      const sets = await Promise.all(SUMS.map((text) => featuresOf(text, sae, "any")));
      features += new Set(sets.flatMap((set) => [...set])).size;
    }
    expect(result.benchmarks[0]!.features).toBe(features);
    expect((await run({ position: "mean" })).result.benchmarks[0]!.features).toBeGreaterThan(0);
  });

  it("draws the same subset for a seed, and another for another", async () => {
    const sampled = async (seed: number) => {
      const ran = await run({ max_samples: 3, seed, feature_sets: true });
      const sets = ran.output.artifacts?.find(({ id }) => id === ran.result.artifacts.feature_sets);
      return gunzipSync(await bytesOf(await blobs.get(sets!.blob.digest))).toString();
    };
    expect((await sampled(1)).trim().split("\n")).toHaveLength(6);
    expect(await sampled(1)).toBe(await sampled(1));
    expect(await sampled(1)).not.toBe(await sampled(2));
  });

  it("reports progress in tokens up to the total, and each benchmark's figures as they are known", async () => {
    const { progress, events, result } = await run({});
    expect(progress.at(-1)!.done).toBe(progress.at(-1)!.total);
    const counted = events.filter(({ name }) => name === "benchmark_counted");
    expect(counted.map(({ data }) => (data as { redundancy: number }).redundancy)).toEqual(
      result.benchmarks.map(({ redundancy }) => redundancy),
    );
  });

  it("goes on from a checkpoint without running the finished benchmarks again", async () => {
    const counts_F = new Uint32Array(WIDTH).fill(1);
    const saved = { name: "greetings", samples: 7, counts: Buffer.from(counts_F.buffer).toString("base64") };
    const blob = await blobs.put(Buffer.from(JSON.stringify({ width: WIDTH, benchmarks: [saved] })));
    const checkpoint: CheckpointPointer = { ...blob, step: 1 };
    const { result, progress, events } = await run({}, { checkpoint });
    expect(result.benchmarks[0]!.features).toBe(WIDTH);
    expect(events.filter(({ name }) => name === "benchmark_started")).toHaveLength(1);
    expect(progress[0]!.done).toBeGreaterThan(0);
    expect(result.benchmarks[1]).toEqual((await run({})).result.benchmarks[1]);
  });

  it("stops when it is told to, and leaves nothing open", async () => {
    const stop = new AbortController();
    stop.abort("cancel");
    await expect(run({}, { signal: stop.signal })).rejects.toThrow(Stopped);
  });
});

describe("benchmark.analyze refuses, before any forward pass,", () => {
  async function refusal(input: Partial<BenchmarkAnalyzeInput>): Promise<Problem> {
    const progress: unknown[] = [];
    const error = await run(input, { progress: (report) => progress.push(report) }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(Problem);
    expect(progress).toEqual([]);
    return error;
  }

  it("an sae of another model", async () => {
    const other = { ...saes.get("sae_1")!, id: "sae_x", modelId: "model_b" };
    saes.set("sae_x", other);
    const problem = await refusal({ sae_ids: ["sae_1", "sae_x"] });
    expect(problem.code).toBe("SAE_MODEL_MISMATCH");
    expect(problem.errors[0]?.pointer).toBe("/input/sae_ids/1");
  });

  it("two benchmarks of one name", async () => {
    const problem = await refusal({ benchmarks: [{ dataset_id: "dataset_sums" }, { dataset_id: "dataset_sums" }] });
    expect(problem.code).toBe("SETTINGS_CONTRADICTORY");
    expect(problem.errors[0]?.pointer).toBe("/input/benchmarks/1/name");
  });

  it("a template that asks for a field that a sample lacks", async () => {
    const problem = await refusal({ benchmarks: [{ dataset_id: "dataset_greetings", template: "question_answer" }] });
    expect(problem.code).toBe("DATASET_INVALID");
    expect(problem.detail).toBe('"greetings": row 1 has no field "question"; its fields are text');
  });

  it("a prompt beyond the model's context, with the row", async () => {
    const { contextLength } = language.config;
    await addDataset("dataset_long", "long", [{ text: "a" }, { text: "word ".repeat(contextLength * 2) }]);
    const problem = await refusal({ benchmarks: [{ dataset_id: "dataset_sums" }, { dataset_id: "dataset_long" }] });
    expect(problem.code).toBe("CONTEXT_LENGTH_EXCEEDED");
    expect(problem.errors[0]?.pointer).toBe("/input/benchmarks/1");
    expect(problem.detail).toContain('the prompt of row 2 of "long" has');
  });
});
