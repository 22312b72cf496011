import { answered, client } from "../api/client.ts";
import { useResource } from "../api/use-resource.ts";
import { formatTime } from "../elements/format.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { StateBadge } from "../elements/state-badge.tsx";

export function JobList({ state, kind }: { readonly state: string; readonly kind: string }) {
  const { value, problem, reload } = useResource(`${state}/${kind}`, (signal) =>
    answered(client.GET("/v1/jobs", { params: { query: { limit: 50 } }, signal })),
  );
  return (
    <>
      <div class="page-head">
        <div>
          <h1>Jobs</h1>
          <p>Long work: imports, trainings, analyses.</p>
        </div>
        <button type="button" class="button" onClick={reload}>
          Refresh
        </button>
      </div>
      {problem && <ProblemNotice problem={problem} retry={reload} />}
      {value && value.data.length === 0 && <p class="empty">Nothing has been started yet.</p>}
      {value && value.data.length > 0 && (
        <section class="panel">
          <div class="table-box">
            <table>
              <thead>
                <tr>
                  <th scope="col">Kind</th>
                  <th scope="col">State</th>
                  <th scope="col">Started</th>
                  <th scope="col">Id</th>
                </tr>
              </thead>
              <tbody>
                {value.data.map((job) => (
                  <tr key={job.id}>
                    <td>{job.kind}</td>
                    <td>
                      <StateBadge state={job.state} />
                    </td>
                    <td>{formatTime(job.created_at)}</td>
                    <td class="mono">{job.id}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      )}
    </>
  );
}
