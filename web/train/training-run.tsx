import type { SaeTrainResult } from "../../domain/job.ts";
import { metricTable } from "../../domain/metric.ts";
import { useJob } from "../api/use-job.ts";
import { LineChart } from "../charts/line-chart.tsx";
import { ArtifactButton } from "../elements/artifact-button.tsx";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ProgressBar } from "../elements/progress-bar.tsx";
import { StateBadge } from "../elements/state-badge.tsx";
import { type CurveMetric, curveMetrics, curvesOf, happenings } from "./curves.ts";
import { titleOf } from "./recent-trainings.tsx";
import { TrainedSaes } from "./trained-saes.tsx";

export function TrainingRun({ id }: { readonly id: string }) {
  const training = useJob(id);
  const { job, events, problem, busy } = training;
  if (job === null) return problem ? <ProblemNotice problem={problem} /> : <p class="loading">Loading…</p>;
  const result = job.state === "succeeded" ? (job.result as SaeTrainResult) : null;
  const asked = job.cancel_requested_at !== null && busy;
  const tokens = Number(job.input.tokens);
  return (
    <>
      <header class="page-head">
        <div>
          <h1>
            {titleOf(job.input)} <StateBadge state={job.state} />
          </h1>
        </div>
        <div class="button-row">
          {busy && (
            <button type="button" class="button danger" disabled={asked} onClick={training.cancel}>
              {asked ? "Canceling…" : "Cancel"}
            </button>
          )}
          {!busy && job.state !== "succeeded" && job.checkpoint && (
            <button type="button" class="button primary" onClick={training.resume}>
              {`Resume from step ${job.checkpoint.step}`}
            </button>
          )}
          {result && <ArtifactButton id={result.report_page_artifact_id} name="report.html" />}
          {result && <ArtifactButton id={result.report_artifact_id} name="report.json" />}
        </div>
      </header>
      {problem && <ProblemNotice problem={problem} />}
      {job.error && <ProblemNotice problem={job.error} />}
      {busy && (
        <section class="panel" aria-label="Progress">
          <ProgressBar label="Training" progress={job.progress} />
        </section>
      )}
      {result && <TrainedSaes ids={result.sae_ids} />}
      <section class="panel" aria-label="Curves">
        {events.some(({ type }) => type === "metrics") ? (
          <div class="curves">
            {curveMetrics.map((metric) => (
              <LineChart
                key={metric}
                title={metricTable[metric].title}
                xTitle="tokens"
                series={curvesOf(events, metric)}
                scale={scaleOf(metric)}
                spanX={[0, tokens]}
                spanY={scaleOf(metric) === "linear" ? [0] : []}
              />
            ))}
          </div>
        ) : (
          <p class="soft">{busy ? "Curves appear with the first steps." : "There are no curves of this training."}</p>
        )}
      </section>
      <Happenings events={happenings(events)} />
    </>
  );
}

/** What falls by orders of magnitude, and never to zero. */
function scaleOf(metric: CurveMetric): "log" | "linear" {
  return metric === "fraction_variance_unexplained" || metric === "loss" ? "log" : "linear";
}

function Happenings({ events }: { readonly events: ReturnType<typeof happenings> }) {
  if (events.length === 0) return null;
  return (
    <section class="panel" aria-label="What happened">
      <h2>What happened</h2>
      <ol class="happenings">
        {events.map(({ id, words }) => (
          <li key={id}>{words}</li>
        ))}
      </ol>
    </section>
  );
}
