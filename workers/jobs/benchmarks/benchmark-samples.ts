/** The samples of a benchmark and the prompts they become. */
import { join } from "node:path";
import type { BenchmarkRef } from "../../../domain/benchmark.ts";
import type { PromptTemplate } from "../../../domain/prompt-template.ts";
import type { DatasetRow } from "../../records.ts";
import { openSampleFile, type SampleFile } from "../../sample-file.ts";
import type { JobContext } from "../handler.ts";
import { planShots } from "./benchmark-shots.ts";

/** A benchmark as the input means it; nothing of it was read yet. */
export interface ResolvedBenchmark {
  /** Place in the input. */
  readonly index: number;
  readonly name: string;
  /** `template` written out. */
  readonly ref: BenchmarkRef & { readonly template: string };
  readonly template: PromptTemplate;
  readonly dataset: DatasetRow;
  /** Of the dataset that the solved examples come from; null without examples. */
  readonly shotsDigest: string | null;
}

/** A benchmark whose samples can be read. */
export interface OpenBenchmark {
  readonly resolved: ResolvedBenchmark;
  readonly samples: SampleFile;
  /** Samples that serve as examples, and so are not measured. */
  readonly leftOut: ReadonlySet<number>;
  /** The prompt of the sample, examples included. */
  render(sample: number): Promise<string>;
}

/** Of the prompts, whichever sae looks at them. */
export interface PromptCounts {
  /** Rows of the dataset, from 0, in the order of the samples. */
  readonly rows_S: Int32Array;
  readonly tokens: number;
  /** Prompts cut on the left. */
  readonly cut: number;
  readonly duplicates: number;
  readonly duplicateIds: number;
  /** Distinct tokens of the prompts, and the samples that have each. */
  readonly tokens_A: Uint32Array;
  readonly tokenSamples_A: Uint32Array;
}

export async function openBenchmark(resolved: ResolvedBenchmark, context: JobContext): Promise<OpenBenchmark> {
  const { dataset, index, ref, template } = resolved;
  const path = join(context.scratch, `benchmark-${index}.jsonl`);
  const samples = await openSampleFile(context.blobs, dataset.digest, path);
  try {
    const shots = await planShots(ref.shots, { dataset, samples, index }, context);
    const render = async (sample: number) => shots.prefix + template.render(await samples.read(sample), sample + 1);
    return { resolved, samples, leftOut: shots.rows, render };
  } catch (error) {
    await samples.close();
    throw error;
  }
}

export async function closeBenchmarks(benchmarks: readonly OpenBenchmark[]): Promise<void> {
  await Promise.all(benchmarks.map(({ samples }) => samples.close()));
}
