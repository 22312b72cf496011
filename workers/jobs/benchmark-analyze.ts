/**
 * benchmark.analyze: which features the samples of each benchmark activate, and from that, in closed form, how redundant each
 * benchmark is and how much they overlap (Qwen-Scope, section 4). With several saes the feature space is their disjoint union.
 * A checkpoint holds the counts of the benchmarks that are done.
 */
import type { Readable } from "node:stream";
import type { BenchmarkAnalyzeInput, BenchmarkAnalyzeResult } from "../../domain/benchmark.ts";
import { newId } from "../../domain/id.ts";
import { analyzeBenchmarks, type CountedBenchmark, reportFiles } from "../../engine/features/benchmark-report.ts";
import { createFeatureCounter, type FeatureCounter } from "../../engine/features/feature-sets.ts";
import { matrixRows } from "../../engine/features/overlap.ts";
import { type SamplePosition, sampleRows } from "../../engine/features/sample-rows.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import type { ActivationBatch } from "../../engine/runtime/activations.ts";
import { bytesOf } from "../bytes.ts";
import { useModel, useSae, type WorkerModel, type WorkerSae } from "../open-models.ts";
import type { JobOutput, ProducedArtifact } from "../protocol.ts";
import type { ModelRow, SaeRow } from "../records.ts";
import type { Lease } from "../residency.ts";
import { type BenchmarkPlan, checkSaes, closePlans, planBenchmarks } from "./benchmark-plan.ts";
import { createFeatureSetFile, type FeatureSetFile } from "./feature-set-file.ts";
import { type JobContext, type JobHandler, Stopped } from "./handler.ts";
import { createProgressMeter, type ProgressMeter } from "./progress.ts";

/** Prompts of similar length that are handed to the model together; it cuts them into batches of its own. */
const GROUP_SAMPLES = 256;
const CHECKPOINT_EVERY_MS = 30_000;

export const benchmarkAnalyze: JobHandler<BenchmarkAnalyzeInput> = async (input, context) => {
  const model = await context.catalog.model(input.model_id);
  const saes: SaeRow[] = [];
  for (const id of input.sae_ids) saes.push(await context.catalog.sae(id));
  checkSaes(model, saes);

  const leases: Lease<WorkerModel | WorkerSae>[] = [];
  let plans: BenchmarkPlan[] = [];
  let sets: FeatureSetFile | null = null;
  try {
    const modelLease = await useModel(context, model);
    leases.push(modelLease);
    const open: OpenSae[] = [];
    let width = 0;
    for (const row of saes) {
      const lease = await useSae(context, row);
      leases.push(lease);
      open.push({ sae: lease.value, layer: row.layer, firstFeature: width });
      width += row.width;
    }
    const { value: worker } = modelLease;
    const { contextLength } = worker.language.config;
    plans = await planBenchmarks(input, { encode: (text) => worker.encode(text), contextLength }, context);
    sets = input.feature_sets ? await createFeatureSetFile(context.scratch) : null;
    const counted = await countAll({ input, context, model: worker, saes: open, width, plans, sets });
    return await output(input, context, { model, saes, plans, counted, width, sets, runtime: worker.runtime });
  } finally {
    for (const lease of leases) lease.release();
    await closePlans(plans);
    await sets?.close();
  }
};

interface OpenSae {
  readonly sae: WorkerSae;
  readonly layer: number;
  /** Where this sae's features start in the union. */
  readonly firstFeature: number;
}

interface Run {
  readonly input: BenchmarkAnalyzeInput;
  readonly context: JobContext;
  readonly model: WorkerModel;
  readonly saes: readonly OpenSae[];
  readonly width: number;
  readonly plans: readonly BenchmarkPlan[];
  readonly sets: FeatureSetFile | null;
}

async function countAll(run: Run): Promise<CountedBenchmark[]> {
  const { context, plans } = run;
  const total = plans.reduce((sum, plan) => sum + plan.tokens, 0);
  const meter = createProgressMeter(total, "tokens");
  const counted = await loadCounts(run);
  let before = plans.slice(0, counted.length).reduce((sum, plan) => sum + plan.tokens, 0);
  let checkpointAt = performance.now() + CHECKPOINT_EVERY_MS;
  for (const [i, plan] of plans.entries()) {
    if (i < counted.length) continue;
    const { name, chosen, tokens } = plan;
    context.event("benchmark_started", { name, benchmark: i + 1, of: plans.length, samples: chosen.length, tokens });
    const counter = createFeatureCounter(run.width);
    await countBenchmark(run, plan, counter, meter, before);
    before += tokens;
    counted.push({ name, samples: counter.samples, counts_F: counter.counts_F });
    const [figures] = analyzeBenchmarks([counted[i]!]).benchmarks;
    context.event("benchmark_counted", {
      name,
      samples: counter.samples,
      features: figures!.features,
      redundancy: figures!.redundancy,
      coverage_auc: figures!.coverageAuc,
    });
    // A file of sets half written by another attempt cannot be continued, so such a job starts over.
    if (run.sets || i === plans.length - 1 || performance.now() < checkpointAt) continue;
    await context.saveCheckpoint(countsAsBytes(counted), counted.length);
    checkpointAt = performance.now() + CHECKPOINT_EVERY_MS;
  }
  return counted;
}

async function countBenchmark(
  run: Run,
  plan: BenchmarkPlan,
  counter: FeatureCounter,
  meter: ProgressMeter,
  tokensBefore: number,
): Promise<void> {
  const { context, model, saes, sets } = run;
  const layers = [...new Set(saes.map((sae) => sae.layer))].sort((a, b) => a - b);
  let tokens = tokensBefore;
  context.progress(meter.at(tokens));
  for (let start = 0; start < plan.chosen.length; start += GROUP_SAMPLES) {
    const group = plan.chosen.subarray(start, start + GROUP_SAMPLES);
    const sequences: Int32Array[] = [];
    for (const sample of group) sequences.push(await plan.promptIds(sample));
    for await (const batch of harvest(model.language, sequences, { layers })) {
      const samples = await encodeSamples(batch, saes, run.input.position ?? "last");
      for (const { sequence, features, values } of samples) {
        counter.add(features, values);
        await sets?.add(plan.name, group[sequence]!, features);
      }
      tokens += batch.rows;
      context.progress(meter.at(tokens));
      await context.step();
      if (context.signal.aborted) throw new Stopped(context.signal.reason === "preempt" ? "preempt" : "cancel");
    }
  }
}

interface EncodedSample {
  readonly sequence: number;
  /** Numbers in the union of the saes; a feature repeats for every token that fires it. */
  readonly features: number[];
  readonly values: number[];
}

async function encodeSamples(
  batch: ActivationBatch,
  saes: readonly OpenSae[],
  position: SamplePosition,
): Promise<EncodedSample[]> {
  const samples = new Map<number, EncodedSample>();
  for (const { sae, layer, firstFeature } of saes) {
    const { rows_RD, sequence_R } = sampleRows(batch, layer, position);
    const sparse = await sae.opened.encode(rows_RD);
    for (const [row, sequence] of sequence_R.entries()) {
      let sample = samples.get(sequence);
      if (sample === undefined) {
        sample = { sequence, features: [], values: [] };
        samples.set(sequence, sample);
      }
      for (let at = sparse.offsets[row]!; at < sparse.offsets[row + 1]!; at++) {
        sample.features.push(firstFeature + sparse.features[at]!);
        sample.values.push(sparse.values[at]!);
      }
    }
  }
  return [...samples.values()];
}

interface SavedCounts {
  readonly width: number;
  readonly benchmarks: readonly { readonly name: string; readonly samples: number; readonly counts: string }[];
}

function countsAsBytes(counted: readonly CountedBenchmark[]): Uint8Array {
  const benchmarks = counted.map(({ name, samples, counts_F }) => ({
    name,
    samples,
    counts: Buffer.from(counts_F.buffer, counts_F.byteOffset, counts_F.byteLength).toString("base64"),
  }));
  const saved: SavedCounts = { width: counted[0]!.counts_F.length, benchmarks };
  return Buffer.from(JSON.stringify(saved));
}

async function loadCounts({ context, width, sets }: Run): Promise<CountedBenchmark[]> {
  if (!context.checkpoint || sets) return [];
  const text = Buffer.from(await bytesOf(await context.blobs.get(context.checkpoint.digest))).toString();
  const saved = JSON.parse(text) as SavedCounts;
  if (saved.width !== width) throw new RangeError(`checkpoint: expected ${width} features, got ${saved.width}`);
  return saved.benchmarks.map(({ name, samples, counts }) => {
    const bytes = Uint8Array.from(Buffer.from(counts, "base64"));
    return { name, samples, counts_F: new Uint32Array(bytes.buffer) };
  });
}

interface Finished {
  readonly model: ModelRow;
  readonly saes: readonly SaeRow[];
  readonly plans: readonly BenchmarkPlan[];
  readonly counted: readonly CountedBenchmark[];
  readonly width: number;
  readonly sets: FeatureSetFile | null;
  readonly runtime: string;
}

async function output(input: BenchmarkAnalyzeInput, context: JobContext, finished: Finished): Promise<JobOutput> {
  const { model, saes, plans, counted, width, sets, runtime } = finished;
  const analysis = analyzeBenchmarks(counted);
  const position = input.position ?? "last";
  const provenance = {
    model: { id: model.id, name: model.name, digest: model.digest },
    saes: saes.map(({ id, name, layer, digest, width: own }) => ({ id, name, layer, digest, width: own })),
    position,
    max_samples: input.max_samples ?? null,
    seed: input.seed ?? 0,
    runtime,
    sources: plans.map(({ name, dataset, template }) => ({
      name,
      dataset_id: dataset.id,
      dataset_digest: dataset.digest,
      template,
    })),
  };
  const files = reportFiles(analysis, describeSetting(saes, width, position), provenance);
  const artifacts: ProducedArtifact[] = [];
  const links: Record<string, string> = {};
  const keep = async (key: string, name: string, contentType: string, bytes: Uint8Array | Readable) => {
    const id = newId("artifact");
    artifacts.push({ id, name, contentType, blob: await context.blobs.put(bytes) });
    links[key] = id;
  };
  for (const file of files) await keep(file.key, file.name, file.contentType, Buffer.from(file.text));
  if (sets) await keep("feature_sets", "feature-sets.jsonl.gz", "application/gzip", await sets.finish());
  const result: BenchmarkAnalyzeResult = {
    benchmarks: analysis.benchmarks.map((one, i) => ({
      name: one.name,
      dataset_id: plans[i]!.dataset.id,
      samples: one.samples,
      features: one.features,
      redundancy: one.redundancy,
      coverage_auc: one.coverageAuc,
    })),
    overlap: matrixRows(analysis.matrices.overlap_DD, counted.length),
    overlap_min: matrixRows(analysis.matrices.overlapMin_DD, counted.length),
    artifacts: links,
  };
  return { result, artifacts };
}

function describeSetting(saes: readonly SaeRow[], width: number, position: SamplePosition): string {
  const tokens = { last: "Last token", mean: "Mean over tokens", any: "Any token" }[position];
  const [first] = saes;
  const which = saes.length === 1 ? `${first!.name}, layer ${first!.layer}` : `${saes.length} saes together`;
  return `${tokens}; ${which}, ${width.toLocaleString("en")} features.`;
}
