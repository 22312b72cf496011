/**
 * benchmark.analyze: which features the samples of each benchmark activate, and from that, in closed form, how redundant each
 * benchmark is and how much they overlap (Qwen-Scope, section 4). With several saes the feature space is their disjoint union.
 */
import type { Readable } from "node:stream";
import type { BenchmarkAnalyzeInput } from "../../../domain/benchmark.ts";
import type { UniqueFeature } from "../../../domain/benchmark-analysis.ts";
import { newId } from "../../../domain/id.ts";
import { coverageAuc, featureRedundancy } from "../../../engine/features/coverage.ts";
import { countActive, type FeatureSets } from "../../../engine/features/feature-sets.ts";
import { analyzeScores, type ScoreFigures } from "../../../engine/features/score-analysis.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { JobOutput, ProducedArtifact } from "../../protocol.ts";
import type { SaeRow } from "../../records.ts";
import { runtimeName } from "../../runtime-name.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { type Analyzed, analysisDocument, analysisResult } from "./benchmark-document.ts";
import { benchmarkFiles } from "./benchmark-files.ts";
import { type CollectedBenchmark, createCollection, defaults, type Findings, findAll } from "./benchmark-findings.ts";
import { checkSaes, resolveBenchmarks } from "./benchmark-plan.ts";
import { measureSuite } from "./benchmark-run.ts";
import { closeBenchmarks, type OpenBenchmark, openBenchmark } from "./benchmark-samples.ts";
import { readScores } from "./benchmark-scores.ts";
import { readNames, uniqueMentions } from "./feature-mentions.ts";
import { createFeatureSetFile, type FeatureSetFile } from "./feature-set-file.ts";
import { openSuiteStore, type SuiteRows } from "./suite-store.ts";

export const benchmarkAnalyze: JobHandler<BenchmarkAnalyzeInput> = async (input, context) => {
  const rows = await readRows(input, context);
  const store = await openSuiteStore(input, rows, context);
  const sets = input.feature_sets ? await createFeatureSetFile(context.scratch) : null;
  const reader = createReader(rows, context);
  try {
    const width = rows.saes.reduce((sum, sae) => sum + sae.width, 0);
    const { collected, add } = createCollection(rows.benchmarks.length, width, input.seed ?? 0);
    const neutral = await measureSuite({ input, rows, store, context }, async (benchmark, measured) => {
      const { name, dataset } = rows.benchmarks[benchmark]!;
      const { one, sets: own } = add(name, dataset.digest, measured);
      await writeSets(sets, name, own, one.prompts.rows_S);
      context.event("benchmark_counted", { name, ...figuresOf(one), reused: one.reused });
      await stepOrStop(context);
    });
    const registers = await Promise.all(rows.saes.map(({ id }) => context.catalog.registers(id)));
    const findings = findAll(input, rows.saes, collected, neutral, registers);
    await stepOrStop(context);
    const names = await readNames(rows.saes, findings, context);
    const unique: UniqueFeature[][] = [];
    for (const [i, one] of collected.entries()) {
      const render = (row: number) => reader.prompt(i, row);
      unique.push(await uniqueMentions(rows.saes, one, findings.unique[i]!, names, render, context));
    }
    const scores = await scoresOf(input, rows, collected, findings, reader);
    return await output({ input, rows, collected, findings, names, unique, scores }, sets, context);
  } finally {
    await reader.close();
    await sets?.close();
  }
};

async function readRows(input: BenchmarkAnalyzeInput, context: JobContext): Promise<SuiteRows> {
  const { catalog, settings } = context;
  const model = await catalog.model(input.model_id);
  const saes: SaeRow[] = [];
  for (const id of input.sae_ids) saes.push(await catalog.sae(id));
  checkSaes(model, saes);
  const neutral = input.neutral_dataset_id === undefined ? null : await catalog.dataset(input.neutral_dataset_id);
  const benchmarks = await resolveBenchmarks(input, context);
  return { model, saes, benchmarks, neutral, runtime: runtimeName(settings.device) };
}

interface Reader {
  prompt(benchmark: number, row: number): Promise<string>;
  open(benchmark: number): Promise<OpenBenchmark>;
  close(): Promise<void>;
}

/** Samples of any benchmark, also of those whose features were known: opened when first asked for. */
function createReader({ benchmarks }: SuiteRows, context: JobContext): Reader {
  const opened = new Map<number, Promise<OpenBenchmark>>();
  const open = (benchmark: number) => {
    const found = opened.get(benchmark) ?? openBenchmark(benchmarks[benchmark]!, context);
    opened.set(benchmark, found);
    return found;
  };
  return {
    open,
    prompt: async (benchmark, row) => (await open(benchmark)).render(row),
    close: async () => closeBenchmarks(await Promise.all(opened.values())),
  };
}

function figuresOf({ reduced: { samples, counts_F } }: CollectedBenchmark) {
  return {
    samples,
    features: countActive(counts_F),
    redundancy: featureRedundancy(counts_F, samples),
    coverage_auc: coverageAuc(counts_F, samples),
  };
}

async function writeSets(file: FeatureSetFile | null, name: string, sets: FeatureSets, rows_S: Int32Array) {
  if (file === null) return;
  for (let s = 0; s < sets.samples; s++) {
    await file.add(name, rows_S[s]!, [...sets.indices_Z.subarray(sets.offsets_S1[s]!, sets.offsets_S1[s + 1]!)]);
  }
}

async function scoresOf(
  input: BenchmarkAnalyzeInput,
  rows: SuiteRows,
  collected: readonly CollectedBenchmark[],
  { suite, tokens }: Findings,
  reader: Reader,
): Promise<ScoreFigures | null> {
  const { scores, seed = 0 } = input;
  if (scores === undefined) return null;
  const prompts = collected.map((one) => one.prompts);
  const scored = await readScores(scores, rows.benchmarks, prompts, async (benchmark, row) =>
    (await reader.open(benchmark)).samples.read(row),
  );
  const given = rows.benchmarks.findIndex(({ name }) => name === scores.given);
  return analyzeScores(
    scored,
    {
      redundancy_D: suite.benchmarks.map(({ redundancy }) => redundancy),
      overlapMin_DD: suite.matrices.overlapMin_DD,
      tokensOverlapMin_DD: tokens.overlapMin_DD,
      randomOverlapMin_DD: suite.random.overlapMin_DD,
    },
    {
      given: given < 0 ? null : given,
      orders: scores.subsets ?? defaults.subsets,
      permutations: scores.permutations ?? defaults.permutations,
      random: createRandom(seed).fork("scores"),
    },
  );
}

async function output(analyzed: Analyzed, sets: FeatureSetFile | null, context: JobContext): Promise<JobOutput> {
  const artifacts: ProducedArtifact[] = [];
  const links: Record<string, string> = {};
  const keep = async (key: string, name: string, contentType: string, bytes: Uint8Array | Readable) => {
    const id = newId("artifact");
    artifacts.push({ id, name, contentType, blob: await context.blobs.put(bytes) });
    links[key] = id;
  };
  const files = benchmarkFiles(analysisDocument(analyzed), analyzed.findings.suite);
  for (const file of files) await keep(file.key, file.name, file.contentType, Buffer.from(file.text));
  if (sets) await keep("feature_sets", "feature-sets.jsonl.gz", "application/gzip", await sets.finish());
  return { result: analysisResult(analyzed, links), artifacts };
}
