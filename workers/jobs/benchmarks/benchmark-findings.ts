/** Everything that follows from the measured features of a suite, computed in memory. */
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import { type Association, associateMatrices } from "../../../engine/features/association.ts";
import type { BenchmarkFeatures } from "../../../engine/features/benchmark-features.ts";
import { unitedSets } from "../../../engine/features/benchmark-features.ts";
import { type Coreset, greedyCoreset } from "../../../engine/features/coreset.ts";
import { featureRedundancy } from "../../../engine/features/coverage.ts";
import { type CountedFeature, sharedByPair, uniqueFeatures } from "../../../engine/features/feature-lists.ts";
import type { FeatureSets } from "../../../engine/features/feature-sets.ts";
import { type MergePlan, suggestMerges } from "../../../engine/features/merge-suggestions.ts";
import { type OverlapMatrices, overlapMatrices } from "../../../engine/features/overlap.ts";
import { type StabilityFigures, stabilityOf } from "../../../engine/features/stability.ts";
import {
  analyzeSuite,
  type ReducedBenchmark,
  reduceBenchmark,
  type SuiteAnalysis,
} from "../../../engine/features/suite.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { SaeRow } from "../../records.ts";
import type { MeasuredByAll } from "./benchmark-run.ts";
import type { PromptCounts } from "./benchmark-samples.ts";
import type { NeutralCounts } from "./neutral-text.ts";

/** A benchmark as it is held until all are measured. */
export interface CollectedBenchmark {
  readonly reduced: ReducedBenchmark;
  /** Over the union of the saes; null once all sets together would not fit. */
  readonly sets: FeatureSets | null;
  readonly prompts: PromptCounts;
  readonly reused: boolean;
  /** By sae. */
  readonly bySae: readonly Pick<BenchmarkFeatures, "examples" | "levels">[];
}

export interface Variant {
  readonly sae: SaeRow;
  readonly k: number | null;
}

export interface Findings {
  readonly suite: SuiteAnalysis;
  /** 1 for features left out of the second set of figures. */
  readonly common_F: Uint8Array;
  readonly neutralTokens: number;
  readonly tokens: OverlapMatrices & { readonly redundancy: readonly (number | null)[] };
  readonly coreset: Coreset | null;
  readonly merge: MergePlan;
  readonly unique: readonly (readonly CountedFeature[])[];
  readonly shared: readonly {
    readonly pair: readonly [number, number];
    readonly features: readonly CountedFeature[];
  }[];
  readonly stability: (StabilityFigures & { readonly of: readonly Variant[] }) | null;
  readonly baselines: { readonly tokens: Association; readonly random: Association };
}

/** Feature numbers in all sets together, at 4 bytes each: 512 MiB. Beyond, the suite has no coreset of its own. */
const MAXIMUM_ENTRIES = 2 ** 27;
/** Bits of active features of all draws together: 128 MiB. */
const MAXIMUM_BITS = 2 ** 30;
const MOST_DRAWS = 64;
const UNIQUE_FEATURES = 20;
const SHARED_FEATURES = 12;
export const defaults = { commonAbove: 0.5, mergeAbove: 0.6, permutations: 9999, subsets: 200 } as const;

/** Reduces each benchmark as it comes, so that only what the suite needs stays in memory. */
export function createCollection(benchmarks: number, width: number, seed: number) {
  const collected: CollectedBenchmark[] = [];
  let entries = 0;
  const keptDraws = Math.max(8, Math.min(MOST_DRAWS, Math.floor(MAXIMUM_BITS / (width * benchmarks))));
  return {
    collected,
    /** @returns also its sets, whether they are kept or not */
    add(name: string, datasetDigest: string, { bySae, reused }: MeasuredByAll) {
      const sets = unitedSets(bySae.map(({ features }) => features.sets));
      entries += sets.indices_Z.length;
      // Named by content: a benchmark's intervals do not depend on which others there are.
      const random = createRandom(seed).fork(`halves/${datasetDigest}`);
      const one: CollectedBenchmark = {
        reduced: reduceBenchmark(name, sets, { random, keptDraws }),
        sets: entries > MAXIMUM_ENTRIES ? null : sets,
        prompts: bySae[0]!.prompts,
        reused,
        bySae: bySae.map(({ features: { examples, levels } }) => ({ examples, levels })),
      };
      collected.push(one);
      return { one, sets };
    },
  };
}

/** @param registers by sae, features that its index found to be always on */
export function findAll(
  input: BenchmarkAnalyzeInput,
  saes: readonly SaeRow[],
  collected: readonly CollectedBenchmark[],
  neutral: readonly NeutralCounts[],
  registers: readonly (readonly number[])[],
): Findings {
  const { common_above: above = defaults.commonAbove, merge_above: mergeAbove = defaults.mergeAbove, seed = 0 } = input;
  const reduced = collected.map((one) => one.reduced);
  const counts = reduced.map(({ counts_F }) => counts_F);
  const samples = reduced.map((one) => one.samples);
  const common_F = commonFeatures(saes, neutral, registers, above);
  const suite = analyzeSuite(reduced, common_F);
  const { overlapMin_DD, overlap_DD, size } = suite.matrices;
  const tokens = tokenFigures(collected);
  const sets = collected.flatMap((one) => one.sets ?? []);
  const variants = variantsOf(saes, collected);
  const permutations = input.scores?.permutations ?? defaults.permutations;
  const against = (name: string, other_DD: Float64Array) => {
    const random = createRandom(seed).fork(`baseline/${name}`);
    return associateMatrices(overlapMin_DD, other_DD, size, { permutations, random, method: "spearman" });
  };
  return {
    suite,
    common_F,
    neutralTokens: neutral[0]?.tokens ?? 0,
    tokens,
    coreset: sets.length === collected.length ? greedyCoreset(sets) : null,
    merge: suggestMerges(counts, overlap_DD, mergeAbove),
    unique: counts.map((_, i) => uniqueFeatures(counts, i, UNIQUE_FEATURES)),
    shared: counts.flatMap((a, i) =>
      counts.slice(i + 1).map((b, offset) => {
        const j = i + 1 + offset;
        const features = sharedByPair([a, b], [samples[i]!, samples[j]!], common_F, SHARED_FEATURES);
        return { pair: [i, j] as const, features };
      }),
    ),
    stability: variants.length < 2 ? null : { ...stabilityOf(variants, samples), of: variants },
    baselines: {
      tokens: against("tokens", tokens.overlapMin_DD),
      random: against("random", suite.random.overlapMin_DD),
    },
  };
}

function commonFeatures(
  saes: readonly SaeRow[],
  neutral: readonly NeutralCounts[],
  registers: readonly (readonly number[])[],
  above: number,
): Uint8Array {
  const common_F = new Uint8Array(saes.reduce((sum, { width }) => sum + width, 0));
  let first = 0;
  for (const [i, { width }] of saes.entries()) {
    const { counts_F, tokens } = neutral[i]!;
    for (let f = 0; f < width; f++) if (counts_F[f]! > above * tokens) common_F[first + f] = 1;
    for (const feature of registers[i]!) common_F[first + feature] = 1;
    first += width;
  }
  return common_F;
}

/** Tokens in the place of features: what a look at the vocabulary alone would say. */
function tokenFigures(collected: readonly CollectedBenchmark[]): Findings["tokens"] {
  const width = 1 + collected.reduce((most, { prompts }) => Math.max(most, prompts.tokens_A.at(-1) ?? 0), 0);
  const counts = collected.map(({ prompts }) => dense(width, prompts.tokens_A, prompts.tokenSamples_A));
  return {
    ...overlapMatrices(counts),
    redundancy: counts.map((own, i) => featureRedundancy(own, collected[i]!.reduced.samples)),
  };
}

/** Every sae, and each with only its half and its quarter strongest features of a token. */
function variantsOf(saes: readonly SaeRow[], collected: readonly CollectedBenchmark[]) {
  let first = 0;
  return saes.flatMap((sae, s) => {
    const from = first;
    first += sae.width;
    const whole = collected.map(({ reduced }) => reduced.counts_F.subarray(from, from + sae.width));
    const levels = collected[0]!.bySae[s]!.levels.map(({ k }, level) => ({
      sae,
      k,
      counts: collected.map(({ bySae }) => {
        const { features_A, counts_A } = bySae[s]!.levels[level]!;
        return dense(sae.width, features_A, counts_A);
      }),
    }));
    return [{ sae, k: sae.k, counts: whole }, ...levels];
  });
}

function dense(width: number, numbers_A: Uint32Array, counts_A: Uint32Array): Uint32Array {
  const counts = new Uint32Array(width);
  numbers_A.forEach((number, a) => {
    counts[number] = counts_A[a]!;
  });
  return counts;
}
