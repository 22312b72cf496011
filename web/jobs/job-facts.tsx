import type { ComponentChildren } from "preact";
import type { Job } from "../api/follow-job.ts";
import { formatBytes, formatSeconds, formatTime } from "../elements/format.ts";
import { ScrollBox } from "../elements/scroll-box.tsx";
import { linkTo } from "../shell/router.ts";
import { secondsOf } from "./job-times.ts";

export function JobFacts({ job }: { readonly job: Job }) {
  const took = secondsOf(job);
  const checkpoint = job.checkpoint;
  return (
    <section class="panel job-facts">
      <div class="panel-head">
        <h2>About</h2>
      </div>
      <dl class="facts">
        <Fact name="Kind">
          <code>{job.kind}</code>
        </Fact>
        <Fact name="Created">{formatTime(job.created_at)}</Fact>
        {job.started_at && <Fact name="Started">{formatTime(job.started_at)}</Fact>}
        {job.finished_at && <Fact name="Finished">{formatTime(job.finished_at)}</Fact>}
        {took !== null && <Fact name="Took">{formatSeconds(took)}</Fact>}
        {job.attempt > 1 && <Fact name="Attempt">{job.attempt}</Fact>}
        {job.preemptions > 0 && <Fact name="Preempted">{job.preemptions} times</Fact>}
        {checkpoint && (
          <Fact name="Checkpoint">
            step {checkpoint.step}, {formatBytes(checkpoint.size_bytes)}
          </Fact>
        )}
        {job.parent_id && (
          <Fact name="Part of">
            <a href={linkTo("jobs", [job.parent_id])}>{job.parent_id}</a>
          </Fact>
        )}
      </dl>
      <details>
        <summary>Input</summary>
        <CodeBox label="Input" value={job.input} />
      </details>
      {job.result && (
        <details>
          <summary>Result</summary>
          <CodeBox label="Result" value={job.result} />
        </details>
      )}
    </section>
  );
}

function CodeBox({ label, value }: { readonly label: string; readonly value: unknown }) {
  return (
    <ScrollBox label={label} class="json-box">
      <pre>{JSON.stringify(value, null, 2)}</pre>
    </ScrollBox>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
