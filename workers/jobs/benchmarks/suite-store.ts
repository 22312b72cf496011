/**
 * What is known of a suite's benchmarks from earlier jobs of the workspace and earlier attempts of this one. What was run is kept at once,
 * so that an eighteenth benchmark beside seventeen, or a job that stops half way, costs only what is new.
 */
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import type { StoredBlob } from "../../../platform/artifacts/store.ts";
import { bytesOf } from "../../bytes.ts";
import type { DatasetRow, ModelRow, SaeRow } from "../../records.ts";
import type { JobContext } from "../handler.ts";
import type { ResolvedBenchmark } from "./benchmark-samples.ts";
import { benchmarkBlob, benchmarkKey, benchmarkOfBlob, type MeasuredBenchmark } from "./measured-benchmark.ts";
import { measuredBytes, readMeasured } from "./measured-blob.ts";
import { neutralKeys } from "./neutral-text.ts";

export interface SuiteRows {
  readonly model: ModelRow;
  readonly saes: readonly SaeRow[];
  readonly benchmarks: readonly ResolvedBenchmark[];
  /** Null: our own text. */
  readonly neutral: DatasetRow | null;
  readonly runtime: string;
}

export interface SuiteStore {
  /** Numbers of the saes by which the benchmark was not measured yet. */
  missing(benchmark: number): number[];
  keep(benchmark: number, sae: number, measured: MeasuredBenchmark): Promise<void>;
  /** In the order of the saes; none may be missing. */
  read(benchmark: number): Promise<MeasuredBenchmark[]>;
  readonly neutralKeys: readonly string[];
  /** Contents of the neutral text's counts, by sae; null where they are not known. */
  readonly neutral: readonly (StoredBlob | null)[];
  /** Lets another attempt find what this one kept, whatever else is forgotten meanwhile. */
  saveCheckpoint(): Promise<void>;
}

type Known = readonly (readonly [key: string, blob: StoredBlob])[];

export async function openSuiteStore(
  input: BenchmarkAnalyzeInput,
  rows: SuiteRows,
  context: JobContext,
): Promise<SuiteStore> {
  const { model, saes, benchmarks, runtime } = rows;
  const { position = "last", max_samples: maxSamples, seed = 0, overlong = "cut", reuse = true } = input;
  const how = { model, position, maxSamples, seed, overlong, runtime };
  const keys = benchmarks.map((benchmark) => saes.map((sae) => benchmarkKey(how, sae, benchmark)));
  const neutral = neutralKeys({ model, runtime, dataset: rows.neutral }, saes);
  const own = new Map(await readCheckpoint(context));
  const known = new Map(own);
  const asked = [...neutral, ...(reuse ? keys.flat() : [])];
  for (const { key, blob } of await context.measured.find(asked)) known.set(key, blob);

  return {
    missing: (benchmark) => [...saes.keys()].filter((sae) => !known.has(keys[benchmark]![sae]!)),
    async keep(benchmark, sae, measured) {
      const key = keys[benchmark]![sae]!;
      const blob = await context.blobs.put(measuredBytes(benchmarkBlob(measured)));
      const datasetDigest = benchmarks[benchmark]!.dataset.digest;
      await context.measured.keep({ key, blob, saeDigest: saes[sae]!.digest, datasetDigest });
      known.set(key, blob);
      own.set(key, blob);
    },
    read: (benchmark) =>
      Promise.all(
        keys[benchmark]!.map(async (key) => benchmarkOfBlob(await readMeasured(context.blobs, known.get(key)!.digest))),
      ),
    neutralKeys: neutral,
    neutral: neutral.map((key) => known.get(key) ?? null),
    async saveCheckpoint() {
      const bytes = Buffer.from(JSON.stringify([...own] satisfies Known));
      await context.saveCheckpoint(bytes, own.size, [...own.values()]);
    },
  };
}

async function readCheckpoint({ checkpoint, blobs }: JobContext): Promise<Known> {
  if (!checkpoint) return [];
  return JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString()) as Known;
}
