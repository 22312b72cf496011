/** The end of a training run: held-out metrics, the saes as artifacts and rows, and a report that says how it went. */
import { newId } from "../../../domain/id.ts";
import type { JobOutput, ProducedArtifact, ProducedSae } from "../../protocol.ts";
import type { DatasetRow, ModelRow } from "../../records.ts";
import { storeSae } from "../../sae-files.ts";
import { reportPage } from "./report-page.ts";
import { type EvaluatedRun, evaluateRun } from "./sae-evaluation.ts";
import type { TrainingRun } from "./training-run.ts";

interface FinishedRun extends EvaluatedRun {
  readonly row: ModelRow;
  readonly dataset: DatasetRow;
}

export async function finishedOutput(run: FinishedRun): Promise<JobOutput> {
  const { settings, context, row } = run;
  const releaseId = settings.release_id ?? newId("release");
  const [reportId, pageId] = [newId("artifact"), newId("artifact")];
  const artifacts: ProducedArtifact[] = [];
  const saes: ProducedSae[] = [];
  const evaluated = await evaluateRun(run);
  for (const [index, { layer, suffix }] of run.saes.entries()) {
    const { metrics, statistics, featuresCsv } = evaluated[index]!;
    const sae = run.trainer.sae(index);
    const name = `${saePrefix(run)}${suffix}`;
    const stored = await storeSae({ sae, modelName: row.name, layer, statistics }, name, context);
    artifacts.push(...stored.artifacts, await storeText(run, newId("artifact"), `${name}/features.csv`, featuresCsv));
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
  const measured = layers.map((one, index) => ({ ...one, firing_rate_histogram: evaluated[index]!.histogram }));
  const report = {
    model: { id: row.id, name: row.name, digest: row.digest },
    dataset: { id: run.dataset.id, name: run.dataset.name, digest: run.dataset.digest },
    samples: { training: run.order.trainingSamples, held_out: run.order.heldOutSamples },
    settings,
    runtime: run.runtime,
    left_out: run.recovery,
    release_id: releaseId,
    saes: measured,
    curve: run.curve.points,
  };
  artifacts.push(await storeReport(run, reportId, "report.json", report));
  artifacts.push(await storeText(run, pageId, "report.html", reportPage(report)));
  return {
    result: {
      sae_ids: saes.map((sae) => sae.id),
      release_id: releaseId,
      report_artifact_id: reportId,
      report_page_artifact_id: pageId,
    },
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
  return await storeText(run, id, name, `${JSON.stringify(report, null, 2)}\n`);
}

const contentTypes: Readonly<Record<string, string>> = {
  json: "application/json",
  html: "text/html; charset=utf-8",
  csv: "text/csv",
};

async function storeText(run: TrainingRun, id: string, name: string, text: string): Promise<ProducedArtifact> {
  const contentType = contentTypes[name.split(".").at(-1)!]!;
  return { id, name, contentType, blob: await run.context.blobs.put(Buffer.from(text)) };
}

export function saePrefix({ settings, context }: Pick<TrainingRun, "settings" | "context">): string {
  return settings.name ?? context.jobId;
}
