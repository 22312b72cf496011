/** The saes of a finished training run measured on text that it did not learn from (docs/numerics/sae-evaluation.md). */
import type { MetricName } from "../../../domain/metric.ts";
import { crossEntropyTokens } from "../../../domain/training-cost.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { spliceScores } from "../../../engine/llm/splice-scores.ts";
import {
  type FeatureGeometry,
  featureGeometry,
  type RateHistogram,
  rateHistogram,
} from "../../../engine/sae/feature-table.ts";
import { createEvaluation, type Evaluation, type SaeEvaluation } from "../../../engine/sae/metrics.ts";
import { type OpenedSae, openSae } from "../../../engine/sae/open-sae.ts";
import { measureSpliceCosts, type ScoreSplices } from "../../../engine/sae/splice-cost.ts";
import { toCsv } from "../../../formats/csv-writer.ts";
import type { FeatureStatistics } from "../../feature-statistics.ts";
import type { WorkerModel } from "../../open-models.ts";
import type { TokenOrder } from "../../token-order.ts";
import { stepOrStop } from "../handler.ts";
import type { TrainingRun } from "./training-run.ts";

export type Metrics = Partial<Record<MetricName, number>>;

export interface EvaluatedRun extends TrainingRun {
  readonly model: WorkerModel;
  readonly order: TokenOrder;
}

export interface Evaluated {
  readonly metrics: Metrics;
  readonly statistics: FeatureStatistics;
  readonly histogram: RateHistogram;
  /** One row per feature. */
  readonly featuresCsv: string;
}

/** In the order of the run's saes. The trained weights are in the last checkpoint: an evaluation that must stop is made again. */
export async function evaluateRun(run: EvaluatedRun): Promise<Evaluated[]> {
  const sequences = await heldOutSequences(run);
  const { threads } = run.context.settings;
  const opened: OpenedSae[] = [];
  try {
    for (const index of run.saes.keys()) opened.push(await openSae(run.trainer.sae(index), { threads }));
    const evaluations = opened.map((sae, index) => createEvaluation(sae, outliersOf(run, index)));
    await addHeldOut(run, sequences, evaluations);
    const evaluated: Evaluated[] = [];
    for (const [index, sae] of opened.entries()) {
      const { layer } = run.saes[index]!;
      run.context.event("evaluating", { sae: index + 1, of: opened.length, layer });
      const result = evaluations[index]!.result();
      const geometry = featureGeometry(sae.sae);
      const costs = await spliceCosts(run, sequences, index, sae);
      evaluated.push({
        metrics: { ...metricsOf(run, index, result, geometry), ...costs },
        statistics: statisticsOf(result),
        histogram: rateHistogram(result.firingRate_F, result.withoutOutliers.rows),
        featuresCsv: featuresCsv(result, geometry),
      });
    }
    return evaluated;
  } finally {
    for (const sae of opened) await sae.close();
  }
}

async function heldOutSequences(run: EvaluatedRun): Promise<Int32Array[]> {
  const sequences: Int32Array[] = [];
  let tokens = 0;
  for await (const { ids } of run.order.heldOut()) {
    sequences.push(ids);
    tokens += ids.length;
    if (tokens >= run.settings.evaluation_tokens) break;
  }
  return sequences;
}

async function addHeldOut(run: EvaluatedRun, sequences: readonly Int32Array[], evaluations: readonly Evaluation[]) {
  for await (const batch of harvest(run.model.language, sequences, { layers: run.settings.layers })) {
    for (const [index, evaluation] of evaluations.entries()) {
      const at = batch.layers.indexOf(run.saes[index]!.layer);
      await evaluation.add(batch.activations[at]!, batch.position);
      await stepOrStop(run.context);
    }
  }
}

async function spliceCosts(
  run: EvaluatedRun,
  sequences: readonly Int32Array[],
  index: number,
  sae: OpenedSae,
): Promise<Metrics> {
  const { layer } = run.saes[index]!;
  const few: Int32Array[] = [];
  const enough = crossEntropyTokens(run.settings.evaluation_tokens);
  for (let tokens = 0; tokens < enough && few.length < sequences.length; ) {
    const next = sequences[few.length]!;
    few.push(next);
    tokens += next.length;
  }
  const score: ScoreSplices = (splices) => {
    const step = () => stepOrStop(run.context);
    return spliceScores(run.model.language, few, layer, splices, { threads: run.context.settings.threads, step });
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

function metricsOf(run: TrainingRun, index: number, result: SaeEvaluation, geometry: FeatureGeometry): Metrics {
  const { all, withoutOutliers, firingRate_F } = result;
  const { learner, config } = run.trainer.snapshot().saes[index]!;
  const dead = learner ? learner.silentRows_F.filter((rows) => rows > config.deadAfterRows).length : 0;
  const active = geometry.encoderDecoderCosine_F.filter((_, f) => firingRate_F[f]! > 0);
  return {
    fraction_variance_unexplained: withoutOutliers.fractionVarianceUnexplained,
    fraction_variance_unexplained_all: all.fractionVarianceUnexplained,
    mean_squared_error: withoutOutliers.meanSquaredError,
    cosine_similarity: withoutOutliers.meanCosine,
    cosine_similarity_all: all.meanCosine,
    l0_per_token: withoutOutliers.l0PerRow,
    l0_per_token_all: all.l0PerRow,
    dead_fraction: dead / config.width,
    inactive_fraction: result.deadFraction,
    dense_fraction: result.denseFraction,
    ...(active.length > 0 ? { encoder_decoder_cosine: active.reduce((sum, one) => sum + one, 0) / active.length } : {}),
  };
}

function statisticsOf({ maxActivation_F, firingRate_F, withoutOutliers }: SaeEvaluation): FeatureStatistics {
  return { maxActivation_F, firingRate_F: Float32Array.from(firingRate_F), tokens: withoutOutliers.rows };
}

function featuresCsv(result: SaeEvaluation, { decoderNorm_F, encoderDecoderCosine_F }: FeatureGeometry): string {
  const header = [
    "feature",
    "firing_rate",
    "mean_activation",
    "max_activation",
    "decoder_norm",
    "encoder_decoder_cosine",
  ];
  const short = (value: number) => Number(value.toPrecision(7));
  const rows = Array.from(result.firingRate_F, (rate, f) => [
    f,
    short(rate),
    short(result.meanActivation_F[f]!),
    short(result.maxActivation_F[f]!),
    short(decoderNorm_F[f]!),
    short(encoderDecoderCosine_F[f]!),
  ]);
  return toCsv(header, rows);
}
