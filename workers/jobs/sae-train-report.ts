/** The end of a training run: held-out metrics, the saes as artifacts and rows, and a report that says how it went. */
import { newId } from "../../domain/id.ts";
import type { MetricName } from "../../domain/metric.ts";
import { harvest } from "../../engine/llm/harvest.ts";
import { spliceScores } from "../../engine/llm/splice-scores.ts";
import { createEvaluation, type Evaluation, type SaeEvaluation } from "../../engine/sae/metrics.ts";
import { type OpenedSae, openSae } from "../../engine/sae/open-sae.ts";
import { measureSpliceCosts, type ScoreSplices } from "../../engine/sae/splice-cost.ts";
import type { FeatureStatistics } from "../feature-statistics.ts";
import type { WorkerModel } from "../open-models.ts";
import type { JobOutput, ProducedArtifact, ProducedSae } from "../protocol.ts";
import type { DatasetRow, ModelRow } from "../records.ts";
import { storeSae } from "../sae-files.ts";
import type { TokenOrder } from "../token-order.ts";
import { stepOrStop } from "./handler.ts";
import type { TrainingRun } from "./training-run.ts";

/** The whole vocabulary's logits of every position are in memory at once: fewer tokens than for the activations. */
const CROSS_ENTROPY_TOKENS = 4096;

type Metrics = Partial<Record<MetricName, number>>;

interface FinishedRun extends TrainingRun {
  readonly model: WorkerModel;
  readonly row: ModelRow;
  readonly dataset: DatasetRow;
  readonly order: TokenOrder;
}

export async function finishedOutput(run: FinishedRun): Promise<JobOutput> {
  const { settings, context, row } = run;
  const sequences = await heldOutSequences(run);
  const releaseId = settings.release_id ?? newId("release");
  const reportId = newId("artifact");
  const artifacts: ProducedArtifact[] = [];
  const saes: ProducedSae[] = [];
  const evaluated = await evaluate(run, sequences);
  for (const [index, { layer, suffix }] of run.saes.entries()) {
    const { metrics, statistics } = evaluated[index]!;
    const sae = run.trainer.sae(index);
    const name = `${saePrefix(run)}${suffix}`;
    const stored = await storeSae({ sae, modelName: row.name, layer, statistics }, name, context);
    artifacts.push(...stored.artifacts);
    saes.push({
      id: newId("sae"),
      name,
      releaseId,
      modelId: row.id,
      layer,
      architecture: settings.architecture,
      width: sae.width,
      dModel: sae.dModel,
      k: sae.rule.kind === "topk" ? sae.rule.k : null,
      digest: stored.digest,
      sizeBytes: stored.sizeBytes,
      weightsArtifactId: stored.weightsArtifactId,
      configArtifactId: stored.configArtifactId,
      source: { type: "job", job_id: context.jobId },
      config: { settings, statistics_artifact_id: stored.statisticsArtifactId },
      metrics,
      metadata: {},
    });
    await context.step();
  }
  const layers = saes.map(({ id, name, layer, digest, metrics }) => ({ sae_id: id, name, layer, digest, ...metrics }));
  const report = {
    model: { id: row.id, name: row.name, digest: row.digest },
    dataset: { id: run.dataset.id, name: run.dataset.name, digest: run.dataset.digest },
    samples: { training: run.order.trainingSamples, held_out: run.order.heldOutSamples },
    settings,
    runtime: run.runtime,
    left_out: run.recovery,
    release_id: releaseId,
    saes: layers,
    curve: run.curve.points,
  };
  artifacts.push(await storeReport(run, reportId, "report.json", report));
  return {
    result: { sae_ids: saes.map((sae) => sae.id), release_id: releaseId, report_artifact_id: reportId },
    metrics: { layers },
    artifacts,
    saes,
  };
}

/** What a canceled run leaves: the weights as they are and the course so far, without held-out metrics and without sae rows. */
export async function partialOutput(run: TrainingRun): Promise<JobOutput> {
  const { settings, context, trainer } = run;
  const artifacts: ProducedArtifact[] = [];
  // The step is part of the names: a job may be resumed and canceled again.
  const prefix = `partial-step${Math.floor(trainer.progress.done / run.saes.length)}`;
  if (trainer.progress.done >= run.saes.length) {
    for (const [index, { layer, suffix }] of run.saes.entries()) {
      const sae = { sae: trainer.sae(index), modelName: settings.model_id, layer, statistics: null };
      artifacts.push(...(await storeSae(sae, `${prefix}${suffix}`, context)).artifacts);
    }
  }
  const report = { settings, progress: trainer.progress, curve: run.curve.points };
  artifacts.push(await storeReport(run, newId("artifact"), `${prefix}-report.json`, report));
  return { result: {}, artifacts };
}

async function storeReport(run: TrainingRun, id: string, name: string, report: object): Promise<ProducedArtifact> {
  const blob = await run.context.blobs.put(Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
  return { id, name, contentType: "application/json", blob };
}

export function saePrefix({ settings, context }: Pick<TrainingRun, "settings" | "context">): string {
  return settings.name ?? context.jobId;
}

async function heldOutSequences(run: FinishedRun): Promise<Int32Array[]> {
  const sequences: Int32Array[] = [];
  let tokens = 0;
  for await (const { ids } of run.order.heldOut()) {
    sequences.push(ids);
    tokens += ids.length;
    if (tokens >= run.settings.evaluation_tokens) break;
  }
  return sequences;
}

interface Evaluated {
  readonly metrics: Metrics;
  readonly statistics: FeatureStatistics;
}

async function evaluate(run: FinishedRun, sequences: readonly Int32Array[]): Promise<Evaluated[]> {
  const { context, trainer } = run;
  const { threads } = context.settings;
  const opened: OpenedSae[] = [];
  try {
    for (const index of run.saes.keys()) opened.push(await openSae(trainer.sae(index), { threads }));
    const evaluations = opened.map((sae, index) => {
      return createEvaluation(sae, outliersOf(run, index));
    });
    await addHeldOut(run, sequences, evaluations);
    const evaluated: Evaluated[] = [];
    for (const [index, sae] of opened.entries()) {
      const result = evaluations[index]!.result();
      const costs = await crossEntropies(run, sequences, index, sae);
      evaluated.push({ metrics: { ...metricsOf(run, index, result), ...costs }, statistics: statisticsOf(result) });
    }
    return evaluated;
  } finally {
    for (const sae of opened) await sae.close();
  }
}

async function addHeldOut(run: FinishedRun, sequences: readonly Int32Array[], evaluations: readonly Evaluation[]) {
  for await (const batch of harvest(run.model.language, sequences, { layers: run.settings.layers })) {
    for (const [index, evaluation] of evaluations.entries()) {
      const at = batch.layers.indexOf(run.saes[index]!.layer);
      await evaluation.add(batch.activations[at]!, batch.position);
      await pause(run);
    }
  }
}

async function crossEntropies(
  run: FinishedRun,
  sequences: readonly Int32Array[],
  index: number,
  sae: OpenedSae,
): Promise<Metrics> {
  const { layer } = run.saes[index]!;
  const few: Int32Array[] = [];
  for (let tokens = 0; tokens < CROSS_ENTROPY_TOKENS && few.length < sequences.length; ) {
    const next = sequences[few.length]!;
    few.push(next);
    tokens += next.length;
  }
  const score: ScoreSplices = (splices) => {
    return spliceScores(run.model.language, few, layer, splices, () => pause(run));
  };
  const { clean, all, withoutOutliers } = await measureSpliceCosts(sae, score, outliersOf(run, index));
  return {
    cross_entropy_nats: clean,
    cross_entropy_spliced_nats: all.spliced,
    cross_entropy_spliced_inliers_nats: withoutOutliers.spliced,
    cross_entropy_ablated_nats: all.zeroed,
    cross_entropy_ablated_inliers_nats: withoutOutliers.zeroed,
    cross_entropy_recovered: all.recovered,
    cross_entropy_recovered_inliers: withoutOutliers.recovered,
    kl_divergence_spliced_nats: all.splicedDivergence,
    kl_divergence_spliced_inliers_nats: withoutOutliers.splicedDivergence,
    kl_divergence_ablated_nats: all.zeroedDivergence,
    kl_divergence_ablated_inliers_nats: withoutOutliers.zeroedDivergence,
  };
}

/** What training left out as outliers of a layer, for the metrics. */
function outliersOf({ trainer }: TrainingRun, index: number) {
  return { medianNorm: trainer.medianNorm(index), normFactor: trainer.configs[index]!.normFactor };
}

function metricsOf(run: FinishedRun, index: number, { all, withoutOutliers }: SaeEvaluation): Metrics {
  const { learner, config } = run.trainer.snapshot().saes[index]!;
  const dead = learner ? learner.silentRows_F.filter((rows) => rows > config.deadAfterRows).length : 0;
  return {
    fraction_variance_unexplained: withoutOutliers.fractionVarianceUnexplained,
    fraction_variance_unexplained_all: all.fractionVarianceUnexplained,
    cosine_similarity: withoutOutliers.meanCosine,
    l0_per_token: withoutOutliers.l0PerRow,
    dead_fraction: dead / config.width,
  };
}

function statisticsOf({ maxActivation_F, firingRate_F, withoutOutliers }: SaeEvaluation): FeatureStatistics {
  return { maxActivation_F, firingRate_F: Float32Array.from(firingRate_F), tokens: withoutOutliers.rows };
}

/** The trained weights are in the last checkpoint already: an evaluation that must stop is simply made again. */
async function pause({ context }: TrainingRun): Promise<void> {
  await stepOrStop(context);
}
