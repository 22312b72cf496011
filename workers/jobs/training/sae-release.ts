/** sae.release: its jobs have trained the saes and registered them; what is left is one report over all of them. */
import { newId } from "../../../domain/id.ts";
import type { SaeTrainResult } from "../../../domain/job.ts";
import { Problem } from "../../../domain/problem.ts";
import type { SaeReleaseResult, SaeReleaseSettings } from "../../../domain/release.ts";
import { bytesOf } from "../../bytes.ts";
import type { JobOutput } from "../../protocol.ts";
import type { ChildRow } from "../../records.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { type PageReport, reportPage } from "./report-page.ts";

/** What a training's report says, as far as the release's repeats it. */
interface TrainingReport extends PageReport {
  readonly saes: readonly (PageReport["saes"][number] & { readonly sae_id: string })[];
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
  const store = async (name: string, contentType: string, text: string) => {
    return { id: newId("artifact"), name, contentType, blob: await context.blobs.put(Buffer.from(text)) };
  };
  const json = await store("report.json", "application/json", `${JSON.stringify(report, null, 2)}\n`);
  const page = await store("report.html", "text/html; charset=utf-8", reportPage(report));
  const result: SaeReleaseResult = {
    release_id: settings.release_id,
    sae_ids: saes.map((sae) => sae.sae_id),
    report_artifact_id: json.id,
    report_page_artifact_id: page.id,
    job_ids: jobs.map((job) => job.id),
  };
  return {
    result,
    metrics: { layers: saes.map(({ firing_rate_histogram: _, ...metrics }) => metrics) },
    artifacts: [json, page],
  };
}
