/** Benchmarks and neutral text as measured by every sae: from what is known, and by running the model for the rest. */
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../../open-models.ts";
import type { Lease } from "../../residency.ts";
import { type JobContext, stepOrStop } from "../handler.ts";
import { createProgressMeter, type ProgressMeter } from "../progress.ts";
import { type OpenSae, runBenchmark } from "./benchmark-forward.ts";
import { type BenchmarkPlan, planBenchmarks } from "./benchmark-plan.ts";
import { closeBenchmarks } from "./benchmark-samples.ts";
import type { MeasuredBenchmark } from "./measured-benchmark.ts";
import { type NeutralCounts, readNeutral, runNeutral } from "./neutral-text.ts";
import type { SuiteRows, SuiteStore } from "./suite-store.ts";

const CHECKPOINT_EVERY_MS = 30_000;
/** Between two events that say how far a benchmark is. */
const PROGRESS_EVERY_MS = 2_000;

export interface MeasuredByAll {
  /** In the order of the saes. */
  readonly bySae: readonly MeasuredBenchmark[];
  /** The model did not run for it. */
  readonly reused: boolean;
}

type OnBenchmark = (benchmark: number, measured: MeasuredByAll) => Promise<void>;

interface Running {
  readonly input: BenchmarkAnalyzeInput;
  readonly rows: SuiteRows;
  readonly store: SuiteStore;
  readonly context: JobContext;
}

/**
 * @param onBenchmark called for each benchmark in the order of the input
 * @returns the neutral text's counts, in the order of the saes
 */
export async function measureSuite(run: Running, onBenchmark: OnBenchmark): Promise<readonly NeutralCounts[]> {
  const { input, rows, store, context } = run;
  const wanted = rows.benchmarks.filter(({ index }) => store.missing(index).length > 0);
  const neutral = store.neutral.filter((blob) => blob !== null);
  const readAll = () => Promise.all(neutral.map(({ digest }, i) => readNeutral(context, digest, rows.saes[i]!.width)));
  const isNeutralKnown = neutral.length === rows.saes.length;
  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  let plans: readonly BenchmarkPlan[] = [];
  try {
    if (wanted.length === 0 && isNeutralKnown) {
      const meter = createProgressMeter(rows.benchmarks.length, "benchmarks");
      for (const { index } of rows.benchmarks) {
        context.progress(meter.at(index));
        await onBenchmark(index, await readKnown(run, index));
      }
      context.progress(meter.at(rows.benchmarks.length));
      return await readAll();
    }
    const modelLease = await useModel(context, rows.model);
    leases.push(modelLease);
    const model = modelLease.value;
    const saes: OpenSae[] = [];
    for (const row of rows.saes) {
      const lease = await useSae(context, row);
      leases.push(lease);
      saes.push({ row, sae: lease.value });
    }
    plans = await planBenchmarks(wanted, input, promptRules(model, input), context);
    await runWanted(run, { model, saes, plans }, onBenchmark);
    if (isNeutralKnown) return await readAll();
    const question = { model: rows.model, runtime: rows.runtime, dataset: rows.neutral };
    return await runNeutral(question, store.neutralKeys, model, saes, context);
  } finally {
    for (const lease of leases) lease.release();
    await closeBenchmarks(plans.map(({ open }) => open));
  }
}

function promptRules({ language, encode }: WorkerModel, { overlong = "cut" }: BenchmarkAnalyzeInput) {
  const { contextLength, vocabulary } = language.config;
  return { encode, isSpecial: (id: number) => language.tokenizer.isSpecial(id), contextLength, vocabulary, overlong };
}

interface Opened {
  readonly model: WorkerModel;
  readonly saes: readonly OpenSae[];
  readonly plans: readonly BenchmarkPlan[];
}

async function runWanted(run: Running, opened: Opened, onBenchmark: OnBenchmark): Promise<void> {
  const { rows, store, context } = run;
  const total = opened.plans.reduce((sum, { prompts }) => sum + prompts.tokens, 0);
  const meter = createProgressMeter(total, "tokens");
  let before = 0;
  let checkpointAt = performance.now() + CHECKPOINT_EVERY_MS;
  for (const { index } of rows.benchmarks) {
    await stepOrStop(context);
    const plan = opened.plans.find(({ open }) => open.resolved.index === index);
    if (plan === undefined) {
      await onBenchmark(index, await readKnown(run, index));
      continue;
    }
    await runOne(run, opened, plan, { meter, before });
    before += plan.prompts.tokens;
    await onBenchmark(index, { ...(await readKnown(run, index)), reused: false });
    if (performance.now() < checkpointAt) continue;
    await store.saveCheckpoint();
    checkpointAt = performance.now() + CHECKPOINT_EVERY_MS;
  }
}

async function runOne(
  { input, rows, store, context }: Running,
  { model, saes }: Opened,
  plan: BenchmarkPlan,
  { meter, before }: { meter: ProgressMeter; before: number },
): Promise<void> {
  const { name, index } = plan.open.resolved;
  const { tokens, rows_S } = plan.prompts;
  const started = { name, benchmark: index + 1, of: rows.benchmarks.length, samples: rows_S.length, tokens };
  context.event("benchmark_started", started);
  const own = createProgressMeter(tokens, "tokens");
  own.at(0);
  context.progress(meter.at(before));
  let done = 0;
  let sayAt = performance.now() + PROGRESS_EVERY_MS;
  const missing = store.missing(index);
  const unseen = missing.map((sae) => saes[sae]!);
  const features = await runBenchmark(plan, model, unseen, input.position ?? "last", context, (count) => {
    done += count;
    context.progress(meter.at(before + done));
    const progress = own.at(done);
    if (performance.now() < sayAt) return;
    context.event("benchmark_progress", { name, ...progress });
    sayAt = performance.now() + PROGRESS_EVERY_MS;
  });
  for (const [i, sae] of missing.entries()) {
    await store.keep(index, sae, { prompts: plan.prompts, features: features[i]! });
  }
}

async function readKnown({ store }: Running, benchmark: number): Promise<MeasuredByAll> {
  return { bySae: await store.read(benchmark), reused: true };
}
