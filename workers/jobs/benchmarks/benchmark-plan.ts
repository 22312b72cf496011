/**
 * What a benchmark.analyze job will run: every input resolved and every prompt rendered once and counted in tokens before the
 * first forward pass, so that a bad template or an overlong prompt in the last benchmark does not cost an hour of the first.
 */
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import { fieldProblem } from "../../../domain/problem.ts";
import { parsePromptTemplate } from "../../../domain/prompt-template.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { ModelRow, SaeRow } from "../../records.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import {
  closeBenchmarks,
  type OpenBenchmark,
  openBenchmark,
  type PromptCounts,
  type ResolvedBenchmark,
} from "./benchmark-samples.ts";
import { measurePrompts, type PromptRules } from "./prompt-counts.ts";

export interface BenchmarkPlan {
  readonly open: OpenBenchmark;
  /** Of the samples that are used, ordered by the length of their prompts, longest first. */
  readonly prompts: PromptCounts;
  /** As the model gets it, cut where it is too long. */
  promptIds(sample: number): Promise<Int32Array>;
}

const DEFAULT_TEMPLATE = "text";

/** @throws Problem SAE_MODEL_MISMATCH or SETTINGS_CONTRADICTORY, pointing into the input */
export function checkSaes(model: ModelRow, saes: readonly SaeRow[]): void {
  const seen = new Set<string>();
  for (const [i, sae] of saes.entries()) {
    const pointer = `/input/sae_ids/${i}`;
    if (sae.modelId !== model.id) {
      throw fieldProblem(
        "SAE_MODEL_MISMATCH",
        pointer,
        `${sae.name} belongs to the model ${sae.modelId}, not ${model.id}`,
      );
    }
    if (seen.has(sae.id)) throw fieldProblem("SETTINGS_CONTRADICTORY", pointer, `${sae.name} is named twice`);
    seen.add(sae.id);
  }
}

/** @throws Problem naming the benchmark in the input: an unknown template or dataset, two benchmarks of one name */
export async function resolveBenchmarks(
  input: BenchmarkAnalyzeInput,
  context: JobContext,
): Promise<ResolvedBenchmark[]> {
  const resolved: ResolvedBenchmark[] = [];
  const names = new Map<string, number>();
  for (const [index, ref] of input.benchmarks.entries()) {
    await stepOrStop(context);
    const text = ref.template ?? DEFAULT_TEMPLATE;
    const template = parsePromptTemplate(text, `/input/benchmarks/${index}/template`);
    const dataset = await context.catalog.dataset(ref.dataset_id);
    const name = ref.name ?? dataset.name;
    const earlier = names.get(name);
    if (earlier !== undefined) {
      const detail = `benchmarks ${earlier} and ${index} are both called "${name}": give one of them another name`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", `/input/benchmarks/${index}/name`, detail);
    }
    names.set(name, index);
    const shotsFrom = ref.shots?.dataset_id;
    const examples = shotsFrom === undefined ? dataset : await context.catalog.dataset(shotsFrom);
    const shotsDigest = ref.shots === undefined ? null : examples.digest;
    resolved.push({ index, name, ref: { ...ref, template: text }, template, dataset, shotsDigest });
  }
  return resolved;
}

/**
 * @throws Problem naming the benchmark in the input: a sample without a field of the template, a prompt without tokens, or one beyond
 * the model's context where such are to be refused
 */
export async function planBenchmarks(
  benchmarks: readonly ResolvedBenchmark[],
  input: BenchmarkAnalyzeInput,
  rules: PromptRules,
  context: JobContext,
): Promise<BenchmarkPlan[]> {
  const plans: BenchmarkPlan[] = [];
  let open: OpenBenchmark | null = null;
  try {
    for (const resolved of benchmarks) {
      open = await openBenchmark(resolved, context);
      const chosen = chooseSamples(open, input);
      const measured = await measurePrompts(open, chosen, rules, context);
      plans.push({ open, ...measured });
      context.event("benchmark_read", { name: resolved.name, tokens: measured.prompts.tokens });
    }
    return plans;
  } catch (error) {
    await closeBenchmarks([...plans.map((plan) => plan.open), ...(open ? [open] : [])]);
    throw error;
  }
}

/** A fixed subset for a seed and a dataset's contents: the same whichever other benchmarks the job has. */
function chooseSamples(
  { resolved, samples, leftOut }: OpenBenchmark,
  { max_samples: limit, seed = 0 }: BenchmarkAnalyzeInput,
): Int32Array {
  const all = Int32Array.from({ length: samples.count }, (_, sample) => sample).filter((one) => !leftOut.has(one));
  if (all.length === 0) {
    const detail = `"${resolved.name}" has no samples`;
    throw fieldProblem("DATASET_TOO_SMALL", `/input/benchmarks/${resolved.index}`, detail);
  }
  if (limit === undefined || limit >= all.length) return all;
  return createRandom(seed).fork(resolved.dataset.digest).shuffle(all).slice(0, limit).sort();
}
