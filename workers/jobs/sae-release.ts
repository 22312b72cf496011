/** sae.release: its jobs have trained the saes and registered them; what is left is one report over all of them. */
import { newId } from "../../domain/id.ts";
import type { SaeTrainResult } from "../../domain/job.ts";
import { Problem } from "../../domain/problem.ts";
import type { SaeReleaseResult, SaeReleaseSettings } from "../../domain/release.ts";
import { bytesOf } from "../bytes.ts";
import type { JobOutput } from "../protocol.ts";
import type { ChildRow } from "../records.ts";
import { type JobContext, type JobHandler, stepOrStop } from "./handler.ts";

/** What a training's report says, as far as the release's repeats it. */
interface TrainingReport {
  readonly saes: readonly { readonly sae_id: string; readonly layer: number }[];
  readonly curve: readonly unknown[];
  readonly [other: string]: unknown;
}

export const saeRelease: JobHandler<SaeReleaseSettings> = async (settings, context) => {
  const jobs = await context.catalog.children(context.jobId);
  expectAllSucceeded(jobs);
  const reports: TrainingReport[] = [];
  for (const job of jobs) {
    await stepOrStop(context);
    reports.push(await readReport(job, context));
  }
  return await releaseOutput(settings, jobs, reports, context);
};

function expectAllSucceeded(jobs: readonly ChildRow[]): void {
  const missing = jobs.filter((job) => job.state !== "succeeded");
  if (missing.length === 0) return;
  const named = missing.map(({ id, state, input }) => `${id} (layers ${layersOf(input).join(", ")}) ${state}`);
  throw new Problem(
    "RELEASE_INCOMPLETE",
    `${missing.length} of ${jobs.length} jobs did not succeed: ${named.join("; ")}`,
  );
}

function layersOf(input: unknown): number[] {
  return (input as { layers: number[] }).layers;
}

async function readReport(job: ChildRow, context: JobContext): Promise<TrainingReport> {
  const { report_artifact_id } = job.result as SaeTrainResult;
  const { digest } = await context.catalog.artifact(report_artifact_id);
  const bytes = await bytesOf(await context.blobs.get(digest));
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as TrainingReport;
}

async function releaseOutput(
  settings: SaeReleaseSettings,
  jobs: readonly ChildRow[],
  reports: readonly TrainingReport[],
  context: JobContext,
): Promise<JobOutput> {
  const saes = reports.flatMap((report) => report.saes).sort((a, b) => a.layer - b.layer);
  const { model, dataset, samples, runtime } = reports[0]!;
  const trainedBy = jobs.map((job) => ({ job_id: job.id, layers: layersOf(job.input) }));
  const report = {
    ...{ model, dataset, samples, settings, runtime },
    release_id: settings.release_id,
    jobs: trainedBy,
    saes,
    curve: reports.flatMap((one) => one.curve),
  };
  const blob = await context.blobs.put(Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
  const reportId = newId("artifact");
  const result: SaeReleaseResult = {
    release_id: settings.release_id,
    sae_ids: saes.map((sae) => sae.sae_id),
    report_artifact_id: reportId,
    job_ids: jobs.map((job) => job.id),
  };
  return {
    result,
    metrics: { layers: saes },
    artifacts: [{ id: reportId, name: "report.json", contentType: "application/json", blob }],
  };
}
