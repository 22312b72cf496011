import type { Job, JobEvent } from "../api/follow-job.ts";
import { formatCount } from "../elements/format.ts";
import { ProgressBar } from "../elements/progress-bar.tsx";

interface Props {
  readonly job: Job;
  readonly events: readonly JobEvent[];
}

export function AnalysisProgress({ job, events }: Props) {
  const counted = new Map(
    events.filter(({ type }) => type === "benchmark_counted").map(({ data }) => [data.name, data]),
  );
  const namesOf = (wanted: string) =>
    new Set(events.filter(({ type }) => type === wanted).map(({ data }) => data.name));
  const [read, started] = [namesOf("benchmark_read"), namesOf("benchmark_started")];
  const { benchmarks } = job.input;
  const names = Array.isArray(benchmarks) ? benchmarks.map(({ name }: { name?: string }) => name ?? "?") : [];
  return (
    <section class="panel" aria-label="Progress">
      <ProgressBar label="Progress of the analysis" progress={job.progress} />
      <ol class="benchmark-progress">
        {names.map((name) => {
          const done = counted.get(name);
          const state = done ? "done" : started.has(name) ? "running" : read.has(name) ? "read" : "waiting";
          return (
            <li key={name} class={state}>
              <span>{name}</span>
              <span class="small soft">{done ? `${formatCount(Number(done.features))} features` : state}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
