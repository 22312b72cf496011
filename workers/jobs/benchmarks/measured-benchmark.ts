/** What one sae did in one benchmark, as it is kept: key, contents, and the way back. */
import { createHash } from "node:crypto";
import { readyTemplates } from "../../../domain/ready-templates.ts";
import type { BenchmarkFeatures, FeatureLevel } from "../../../engine/features/benchmark-features.ts";
import type { ModelRow, SaeRow } from "../../records.ts";
import type { PromptCounts, ResolvedBenchmark } from "./benchmark-samples.ts";
import type { MeasuredBlob } from "./measured-blob.ts";

export interface MeasuredBenchmark {
  readonly prompts: PromptCounts;
  readonly features: BenchmarkFeatures;
}

/** Changes whenever the same samples would give other contents. */
const VERSION = 1;

export interface Measurement {
  readonly model: ModelRow;
  readonly position: string;
  readonly maxSamples: number | undefined;
  readonly seed: number;
  readonly overlong: string;
  readonly runtime: string;
}

/** Equal keys, equal contents: ids name rows, digests name contents. */
export function benchmarkKey(
  { model, position, maxSamples, seed, overlong, runtime }: Measurement,
  sae: SaeRow,
  { dataset, ref, shotsDigest }: ResolvedBenchmark,
): string {
  const drawn = maxSamples === undefined || maxSamples >= dataset.samples ? null : { maxSamples, seed };
  const { shots, template } = ref;
  const examples = shots && { ...shots, dataset_id: shotsDigest };
  // A ready template's name could mean another text in a later version.
  const text = readyTemplates[template]?.template ?? template;
  const prompts = [dataset.digest, text, examples, drawn, overlong];
  return keyOf(["benchmark", weightsOf(model), sae.digest, prompts, position, runtime]);
}

export function keyOf(decided: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([VERSION, ...decided]))
    .digest("hex");
}

/** Names the weights as they run. */
export function weightsOf(model: ModelRow): readonly (string | null)[] {
  return [model.digest, model.quantized?.digest ?? null];
}

export function benchmarkBlob({ prompts, features }: MeasuredBenchmark): MeasuredBlob {
  const { rows_S, tokens_A, tokenSamples_A, ...counts } = prompts;
  const { sets, examples, levels } = features;
  return {
    header: { width: sets.width, ...counts, levels: levels.map(({ k }) => k) },
    arrays: {
      rows_S,
      tokens_A,
      tokenSamples_A,
      offsets_S1: sets.offsets_S1,
      indices_Z: sets.indices_Z,
      features_A: examples.features_A,
      samples_AE: examples.samples_AE,
      activations_AE: examples.activations_AE,
      ...Object.fromEntries(
        levels.flatMap(({ k, features_A, counts_A }) => [
          [`features_${k}`, features_A],
          [`counts_${k}`, counts_A],
        ]),
      ),
    },
  };
}

export function benchmarkOfBlob({ header, arrays }: MeasuredBlob): MeasuredBenchmark {
  const unsigned = (name: string) => arrays[name] as Uint32Array;
  const number = (name: string) => header[name] as number;
  const rows_S = arrays.rows_S as Int32Array;
  const levels = (header.levels as number[]).map(
    (k): FeatureLevel => ({ k, features_A: unsigned(`features_${k}`), counts_A: unsigned(`counts_${k}`) }),
  );
  return {
    prompts: {
      rows_S,
      tokens: number("tokens"),
      cut: number("cut"),
      duplicates: number("duplicates"),
      duplicateIds: number("duplicateIds"),
      tokens_A: unsigned("tokens_A"),
      tokenSamples_A: unsigned("tokenSamples_A"),
    },
    features: {
      sets: {
        width: number("width"),
        samples: rows_S.length,
        offsets_S1: unsigned("offsets_S1"),
        indices_Z: unsigned("indices_Z"),
      },
      examples: {
        features_A: unsigned("features_A"),
        samples_AE: arrays.samples_AE as Int32Array,
        activations_AE: arrays.activations_AE as Float32Array,
      },
      levels,
    },
  };
}
