import { isOver } from "../api/follow-job.ts";
import { useJob } from "../api/use-job.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ProgressBar } from "../elements/progress-bar.tsx";
import { StateBadge } from "../elements/state-badge.tsx";
import { linkTo } from "../shell/router.ts";
import { JobActions } from "./job-actions.tsx";
import { JobArtifacts } from "./job-artifacts.tsx";
import { JobEvents } from "./job-events.tsx";
import { JobFacts } from "./job-facts.tsx";
import { kindTitle } from "./job-kinds.ts";
import { JobMetrics } from "./job-metrics.tsx";

export function JobDetail({ id }: { readonly id: string }) {
  const { job, events, problem, cancel, resume } = useJob(id);
  return (
    <>
      <p class="crumb">
        <a href={linkTo("jobs")}>Jobs</a>
      </p>
      {problem && <ProblemNotice problem={problem} />}
      {job === null && problem === null && <p class="loading">Loading…</p>}
      {job && (
        <>
          <div class="page-head">
            <div>
              <h1>
                {kindTitle(job.kind)} <StateBadge state={job.state} />
              </h1>
              <p class="mono small">{job.id}</p>
            </div>
            <JobActions job={job} cancel={cancel} resume={resume} />
          </div>
          {job.error && <ProblemNotice problem={job.error} />}
          {!isOver(job) && (
            <section class="panel" aria-label="Progress">
              <ProgressBar label="Progress of the job" progress={job.progress} />
            </section>
          )}
          <div class="job-columns">
            <div>
              <JobArtifacts artifacts={job.artifacts} />
              <JobMetrics metrics={job.metrics} />
              <JobEvents events={events} />
            </div>
            <JobFacts job={job} />
          </div>
        </>
      )}
    </>
  );
}
