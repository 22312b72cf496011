import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchmarkAnalyzeInput, BenchmarkAnalyzeResult } from "../../domain/benchmark.ts";
import { Problem } from "../../domain/problem.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../../engine/llm/model.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { createDiskStore } from "../../platform/artifacts/disk.ts";
import type { NewMeasuredFeatures } from "../../platform/measured-features.ts";
import { createOutbound } from "../../platform/outbound.ts";
import { createBlobs } from "../../workers/blobs.ts";
import { bytesOf } from "../../workers/bytes.ts";
import { benchmarkAnalyze } from "../../workers/jobs/benchmarks/benchmark-analyze.ts";
import type { Blobs, JobContext } from "../../workers/jobs/handler.ts";
import type { JobOutput } from "../../workers/protocol.ts";
import type { DatasetRow, ModelRow, SaeRow } from "../../workers/records.ts";
import { createResidency } from "../../workers/residency.ts";
import { storeSae } from "../../workers/sae-files.ts";

const MODEL = join(import.meta.dirname, "../fixtures/models/qwen3-tied-f32");
const LAYERS = [0, 1] as const;
export const WIDTH = 48;
const K = 4;

export const GREETINGS = [
  "Good morning.",
  "Hello there",
  "How are you today?",
  "你好",
  "Hi",
  "Good evening, everyone",
  "Bye now",
];
export const SUMS = ["1 + 1", "2 + 3 =", "10 - 4", "7 times 8", "What is 9 / 3?"];

/** A store, a tiny model and two saes on random weights; jobs run on them without a service. */
export interface Lab {
  readonly language: LanguageModel;
  readonly saes: Map<string, SaeRow>;
  readonly blobs: Blobs;
  /** What jobs kept, by key. */
  readonly measured: ReadonlyMap<string, NewMeasuredFeatures>;
  digestOf(dataset: string): string;
  addDataset(id: string, name: string, samples: readonly object[]): Promise<void>;
  run(input: Partial<BenchmarkAnalyzeInput>, change?: Partial<JobContext>): Promise<Ran>;
  textOf(ran: Ran, key: string): Promise<string>;
  /** The features of one prompt alone, by the engine's parts without the job: one forward pass, one encode, the last row. */
  featuresOf(prompt: string, sae: string, rows?: "last" | "any"): Promise<Set<number>>;
  forgetMeasured(): void;
  close(): Promise<void>;
}

export interface Ran {
  readonly result: BenchmarkAnalyzeResult;
  readonly output: JobOutput;
  readonly events: readonly { name: string; data: unknown }[];
  readonly progress: readonly { done: number; total: number }[];
}

export async function createLab(): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), "analyze-"));
  const blobs = createBlobs(await createDiskStore(join(folder, "store")), "workspace_a");
  const residency = createResidency(1e9);
  const language = await openModel(MODEL, { threads: 1 });
  const { layers, dModel, vocabulary, contextLength } = language.config;
  const model: ModelRow = {
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
  const saes = new Map<string, SaeRow>();
  const opened = new Map<string, OpenedSae>();
  const datasets = new Map<string, DatasetRow>();
  const measured = new Map<string, NewMeasuredFeatures>();
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
  return {
    language,
    saes,
    blobs,
    measured,
    digestOf: (name) => [...datasets.values()].find((row) => row.name === name)!.digest,
    addDataset,
    run,
    textOf,
    featuresOf,
    forgetMeasured: () => measured.clear(),
    async close() {
      await residency.close();
      await language.close();
      for (const sae of opened.values()) await sae.close();
      await rm(folder, { recursive: true, force: true });
    },
  };

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
        reuse: false,
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
          maxActivation: async () => null,
          labels: async (_, features) =>
            features.filter((f) => f % 2 === 0).map((f) => ({ feature: f, label: `label ${f}` })),
          registers: async () => [],
          featureEvidence: async () => ({ digest: null, features: [] }),
        },
        measured: {
          find: async (keys) => keys.flatMap((key) => measured.get(key) ?? []),
          keep: async (one) => measured.set(one.key, one),
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
        hubAccess: () => Promise.reject(new Problem("HUB_UNAVAILABLE")),
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
}
