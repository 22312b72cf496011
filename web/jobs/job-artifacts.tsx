import { useState } from "preact/hooks";
import { saveFrom } from "../api/download.ts";
import type { Job } from "../api/follow-job.ts";
import { type ProblemDetails, problemOf } from "../api/problem.ts";
import { formatBytes } from "../elements/format.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";

export function JobArtifacts({ artifacts }: Pick<Job, "artifacts">) {
  const [problem, setProblem] = useState<ProblemDetails | null>(null);
  if (artifacts.length === 0) return null;
  const save = (url: string, name: string) => saveFrom(url, name).catch((error) => setProblem(problemOf(error)));
  return (
    <section class="panel">
      <div class="panel-head">
        <h2>Artifacts</h2>
      </div>
      {problem && <ProblemNotice problem={problem} />}
      <ul class="artifact-list">
        {artifacts.map(({ artifact_id, name, content_url, content_type, size_bytes }) => (
          <li key={artifact_id}>
            <button type="button" class="button quiet" onClick={() => save(content_url, name)}>
              <span class="visually-hidden">Download </span>
              {name}
            </button>
            <span class="small soft">
              {content_type} · {formatBytes(size_bytes)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
