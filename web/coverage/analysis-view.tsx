import { isOver, type Job } from "../api/follow-job.ts";
import { useJob } from "../api/use-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { StateBadge } from "../elements/state-badge.tsx";
import { linkTo } from "../shell/router.ts";
import { AnalysisProgress } from "./analysis-progress.tsx";
import { AnalysisReport } from "./analysis-report.tsx";
import { CopyLink } from "./copy-link.tsx";

/** One analysis: while it runs, and then its report. The address opens it again. */
export function AnalysisView({ id }: { readonly id: string }) {
  const { job, events, problem, cancel } = useJob(id);
  return (
    <>
      <p class="crumb">
        <a href={linkTo("coverage")}>Coverage</a>
      </p>
      {problem && <ProblemNotice problem={problem} />}
      {job === null && problem === null && <p class="loading">Loading…</p>}
      {job && (
        <>
          <div class="page-head">
            <div>
              <h1>{titleOf(job)}</h1>
              <p class="small">
                {job.state !== "succeeded" && <StateBadge state={job.state} />}{" "}
                <a href={linkTo("jobs", [job.id])}>The job</a>
              </p>
            </div>
            <div class="button-row">
              {job.state === "succeeded" && <CopyLink />}
              {!isOver(job) && (
                <button
                  type="button"
                  class="button danger"
                  disabled={job.cancel_requested_at !== null}
                  onClick={() => cancel()}
                >
                  Cancel
                </button>
              )}
            </div>
          </div>
          {job.error && <ProblemNotice problem={job.error} />}
          {!isOver(job) && <AnalysisProgress job={job} events={events} />}
          {job.state === "canceled" && <p class="empty">It was canceled before it was done.</p>}
          {job.state === "succeeded" && <AnalysisReport job={job} />}
        </>
      )}
    </>
  );
}

function titleOf({ input, kind, state }: Job): string {
  if (kind !== "benchmark.analyze") return "This job is no analysis of benchmarks";
  const { benchmarks } = input;
  const names = Array.isArray(benchmarks) ? benchmarks.map(({ name }: { name?: string }) => name) : [];
  return names.length === 1 ? `${names[0]}` : `${names.length} benchmarks${state === "succeeded" ? " compared" : ""}`;
}
