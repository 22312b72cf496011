import { useEffect, useState } from "preact/hooks";
import { answered, client } from "../api/client.ts";
import { isOver } from "../api/follow-job.ts";
import { useResource } from "../api/use-resource.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { JobFilters } from "./job-filters.tsx";
import { JobRow } from "./job-row.tsx";

const pageSize = 25;
const refreshMs = 3000;

export function JobList({ state, kind }: { readonly state: string; readonly kind: string }) {
  const [wanted, setWanted] = useState(pageSize);
  const { value, problem, reload } = useResource(`${state}/${kind}/${wanted}`, (signal) => {
    const query = { limit: Math.min(100, wanted), ...(state && { state: [state] }), ...(kind && { kind }) };
    return answered(client.GET("/v1/jobs", { params: { query: query as { limit: number } }, signal }));
  });
  const active = value?.data.some((job) => !isOver(job)) ?? false;
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => document.hidden || reload(), refreshMs);
    return () => clearInterval(timer);
  }, [active, reload]);
  return (
    <>
      <div class="page-head">
        <div>
          <h1>Jobs</h1>
          <p>Everything that takes longer than a request: imports, trainings, analyses.</p>
        </div>
        <JobFilters state={state} kind={kind} />
      </div>
      {problem && <ProblemNotice problem={problem} retry={reload} />}
      {value?.data.length === 0 && <NoJobs filtered={state !== "" || kind !== ""} />}
      {value && value.data.length > 0 && (
        <div class="panel">
          <ScrollBox label="Table of jobs">
            <table class="job-table">
              <thead>
                <tr>
                  <th scope="col">Job</th>
                  <th scope="col">State</th>
                  <th scope="col">Progress</th>
                  <th scope="col">Created</th>
                  <th scope="col" class="number">
                    Took
                  </th>
                </tr>
              </thead>
              <tbody>
                {value.data.map((job) => (
                  <JobRow key={job.id} job={job} />
                ))}
              </tbody>
            </table>
          </ScrollBox>
          {value.has_more && wanted < 100 && (
            <button type="button" class="button" onClick={() => setWanted((count) => count + pageSize)}>
              Show older
            </button>
          )}
        </div>
      )}
    </>
  );
}

function NoJobs({ filtered }: { readonly filtered: boolean }) {
  return (
    <div class="empty">
      <h2>{filtered ? "No job fits" : "Nothing has been started yet"}</h2>
      <p>
        {filtered ? "Choose another state or kind." : "Start an analysis or a training, or POST to "}
        {!filtered && <a href="/docs">/v1/jobs</a>}
      </p>
    </div>
  );
}
