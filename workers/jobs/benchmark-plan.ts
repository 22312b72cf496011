/**
 * What a benchmark.analyze job will run: every input resolved and every prompt rendered once and counted in tokens before the
 * first forward pass, so that a bad template or an overlong prompt in the last benchmark does not cost an hour of the first.
 */
import { join } from "node:path";
import type { BenchmarkAnalyzeInput, BenchmarkRef } from "../../domain/benchmark.ts";
import { fieldProblem, isProblem, Problem } from "../../domain/problem.ts";
import { type PromptTemplate, parsePromptTemplate } from "../../domain/prompt-template.ts";
import { createRandom } from "../../engine/runtime/random.ts";
import type { DatasetRow, ModelRow, SaeRow } from "../records.ts";
import { openSampleFile, type SampleFile } from "../sample-file.ts";
import { planShots } from "./benchmark-shots.ts";
import { type JobContext, stepOrStop } from "./handler.ts";

export interface BenchmarkPlan {
  readonly name: string;
  readonly template: string;
  readonly dataset: DatasetRow;
  readonly samples: SampleFile;
  /** Which samples are used, ordered by the length of their prompts, longest first. */
  readonly chosen: Int32Array;
  /** Tokens of all chosen prompts. */
  readonly tokens: number;
  promptIds(sample: number): Promise<Int32Array>;
}

interface Tokens {
  encode(text: string): Int32Array;
  readonly contextLength: number;
}

const DEFAULT_TEMPLATE = "text";
/** Between two signs of life while prompts are counted. */
const STEP_EVERY_SAMPLES = 100;

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

/**
 * @throws Problem naming the benchmark in the input: an unknown template or dataset, two benchmarks of one name, a sample without a
 * field of the template, a prompt without tokens or beyond the model's context
 */
export async function planBenchmarks(
  input: BenchmarkAnalyzeInput,
  tokens: Tokens,
  context: JobContext,
): Promise<BenchmarkPlan[]> {
  // Cheap things first, for all benchmarks: templates, datasets, names.
  const resolved = [];
  const names = new Map<string, number>();
  for (const [i, ref] of input.benchmarks.entries()) {
    await stepOrStop(context);
    const template = parsePromptTemplate(ref.template ?? DEFAULT_TEMPLATE, `/input/benchmarks/${i}/template`);
    const dataset = await context.catalog.dataset(ref.dataset_id);
    const name = ref.name ?? dataset.name;
    const earlier = names.get(name);
    if (earlier !== undefined) {
      const detail = `benchmarks ${earlier} and ${i} are both called "${name}": give one of them another name`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", `/input/benchmarks/${i}/name`, detail);
    }
    names.set(name, i);
    resolved.push({ ref, template, dataset, name });
  }
  const plans: BenchmarkPlan[] = [];
  try {
    for (const [i, benchmark] of resolved.entries())
      plans.push(await planBenchmark(benchmark, i, input, tokens, context));
    return plans;
  } catch (error) {
    await closePlans(plans);
    throw error;
  }
}

interface Resolved {
  readonly ref: BenchmarkRef;
  readonly template: PromptTemplate;
  readonly dataset: DatasetRow;
  readonly name: string;
}

async function planBenchmark(
  { ref, template, dataset, name }: Resolved,
  index: number,
  input: BenchmarkAnalyzeInput,
  tokens: Tokens,
  context: JobContext,
): Promise<BenchmarkPlan> {
  const samples = await openSampleFile(
    context.blobs,
    dataset.digest,
    join(context.scratch, `benchmark-${index}.jsonl`),
  );
  try {
    const shots = await planShots(ref.shots, { dataset, samples, index }, context);
    const promptIds = async (sample: number) =>
      tokens.encode(shots.prefix + template.render(await samples.read(sample), sample + 1));
    const chosen = chooseSamples(samples.count, shots.rows, input.max_samples, input.seed ?? 0, dataset.id);
    const plan = { name, template: ref.template ?? DEFAULT_TEMPLATE, dataset, samples, promptIds, chosen, tokens: 0 };
    return { ...plan, ...(await measure(plan, tokens, index, context)) };
  } catch (error) {
    await samples.close();
    throw error;
  }
}

export async function closePlans(plans: readonly BenchmarkPlan[]): Promise<void> {
  await Promise.all(plans.map((plan) => plan.samples.close()));
}

/** A fixed subset for a seed and dataset: the same whichever other benchmarks the job has. */
function chooseSamples(
  count: number,
  leftOut: ReadonlySet<number>,
  limit: number | undefined,
  seed: number,
  datasetId: string,
): Int32Array {
  const all = Int32Array.from({ length: count }, (_, sample) => sample).filter((sample) => !leftOut.has(sample));
  if (limit === undefined || limit >= all.length) return all;
  return createRandom(seed).fork(datasetId).shuffle(all).slice(0, limit).sort();
}

async function measure(
  plan: BenchmarkPlan,
  { contextLength }: Tokens,
  index: number,
  context: JobContext,
): Promise<{ chosen: Int32Array; tokens: number }> {
  const lengths = new Map<number, number>();
  let total = 0;
  for (const [i, sample] of plan.chosen.entries()) {
    if (i % STEP_EVERY_SAMPLES === 0) await stepOrStop(context);
    const where = `/input/benchmarks/${index}`;
    const ids = await plan.promptIds(sample).catch((error) => rethrowNamed(error, plan.name));
    const row = `row ${sample + 1} of "${plan.name}"`;
    if (ids.length === 0) throw fieldProblem("DATASET_INVALID", where, `the prompt of ${row} has no tokens`);
    if (ids.length > contextLength) {
      const detail = `the prompt of ${row} has ${ids.length} tokens, the model's context is ${contextLength}`;
      throw fieldProblem("CONTEXT_LENGTH_EXCEEDED", where, detail);
    }
    lengths.set(sample, ids.length);
    total += ids.length;
  }
  // Longest first: what needs the most memory fails at once, and the rate of the progress only gets better.
  const chosen = plan.chosen.toSorted((a, b) => lengths.get(b)! - lengths.get(a)! || a - b);
  return { chosen, tokens: total };
}

function rethrowNamed(error: unknown, name: string): never {
  if (!isProblem(error)) throw error;
  throw new Problem(error.code, `"${name}": ${error.detail}`, { errors: error.errors });
}
