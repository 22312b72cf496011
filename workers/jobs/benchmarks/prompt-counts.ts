/** Every prompt of a benchmark rendered and counted once: how long, how often the same, which tokens. */
import { createHash } from "node:crypto";
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import { fieldProblem, isProblem, Problem } from "../../../domain/problem.ts";
import { sparseCounts } from "../../../engine/features/benchmark-features.ts";
import { createFeatureCounter } from "../../../engine/features/feature-sets.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import type { OpenBenchmark, PromptCounts } from "./benchmark-samples.ts";

export interface PromptRules {
  encode(text: string): Int32Array;
  isSpecial(id: number): boolean;
  readonly contextLength: number;
  readonly vocabulary: number;
  readonly overlong: NonNullable<BenchmarkAnalyzeInput["overlong"]>;
}

/** Between two signs of life. */
const STEP_EVERY_SAMPLES = 100;

export interface MeasuredPrompts {
  readonly prompts: PromptCounts;
  promptIds(sample: number): Promise<Int32Array>;
}

export async function measurePrompts(
  open: OpenBenchmark,
  chosen: Int32Array,
  rules: PromptRules,
  context: JobContext,
): Promise<MeasuredPrompts> {
  const { resolved, samples } = open;
  const { contextLength, overlong } = rules;
  const where = `/input/benchmarks/${resolved.index}`;
  const lengths = new Map<number, number>();
  const prompts = new Set<string>();
  const ids = new Set<string>();
  const seen = createFeatureCounter(rules.vocabulary);
  const counts = { tokens: 0, cut: 0, duplicates: 0, duplicateIds: 0 };
  for (const [i, sample] of chosen.entries()) {
    if (i % STEP_EVERY_SAMPLES === 0) await stepOrStop(context);
    const text = await open.render(sample).catch((error) => rethrowNamed(error, resolved.name));
    const whole = rules.encode(text);
    const row = `row ${sample + 1} of "${resolved.name}"`;
    if (whole.length === 0) throw fieldProblem("DATASET_INVALID", where, `the prompt of ${row} has no tokens`);
    if (whole.length > contextLength && overlong === "refuse") {
      const detail = `the prompt of ${row} has ${whole.length} tokens, the model's context is ${contextLength}; "overlong": "cut" would measure its end`;
      throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", where, detail);
    }
    const kept = cutLeft(whole, rules);
    seen.add(kept, new Uint8Array(kept.length).fill(1));
    lengths.set(sample, kept.length);
    counts.tokens += kept.length;
    if (kept.length < whole.length) counts.cut += 1;
    if (isRepeated(prompts, digestOf(text))) counts.duplicates += 1;
    const { id } = await samples.read(sample);
    if (id !== undefined && id !== null && isRepeated(ids, JSON.stringify(id))) counts.duplicateIds += 1;
  }
  const { features_A: tokens_A, counts_A: tokenSamples_A } = sparseCounts(seen.counts_F);
  return {
    prompts: {
      ...counts,
      // Longest first: what needs the most memory fails at once, and the rate of the progress only gets better.
      rows_S: chosen.toSorted((a, b) => lengths.get(b)! - lengths.get(a)! || a - b),
      tokens_A,
      tokenSamples_A,
    },
    promptIds: async (sample) => cutLeft(rules.encode(await open.render(sample)), rules),
  };
}

/** The end of a prompt is what is measured, so its beginning goes; the token that begins every text stays. */
function cutLeft(ids: Int32Array, { contextLength, isSpecial }: PromptRules): Int32Array {
  if (ids.length <= contextLength) return ids;
  const kept = ids.slice(ids.length - contextLength);
  if (isSpecial(ids[0]!) && contextLength > 1) kept[0] = ids[0]!;
  return kept;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

/** And from now on it is. */
function isRepeated(before: Set<string>, text: string): boolean {
  if (before.has(text)) return true;
  before.add(text);
  return false;
}

function rethrowNamed(error: unknown, name: string): never {
  if (!isProblem(error)) throw error;
  throw new Problem(error.code, `"${name}": ${error.detail}`, { errors: error.errors });
}
