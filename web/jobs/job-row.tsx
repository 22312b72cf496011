import type { Job } from "../api/follow-job.ts";
import { formatSeconds, formatShare, formatTime } from "../elements/format.ts";
import { StateBadge } from "../elements/state-badge.tsx";
import { linkTo } from "../shell/router.ts";
import { kindTitle } from "./job-kinds.ts";
import { secondsOf } from "./job-times.ts";

export function JobRow({ job }: { readonly job: Job }) {
  const took = secondsOf(job);
  return (
    <tr>
      <td>
        <a href={linkTo("jobs", [job.id])}>{kindTitle(job.kind)}</a>
        <div class="small soft">{subjectOf(job)}</div>
      </td>
      <td>
        <StateBadge state={job.state} />
      </td>
      <td>{progressOf(job)}</td>
      <td>
        <time dateTime={job.created_at}>{formatTime(job.created_at)}</time>
      </td>
      <td class="number">{took === null ? "–" : formatSeconds(took)}</td>
    </tr>
  );
}

function progressOf({ state, progress, queue_position, error }: Job): string {
  if (state === "failed") return error?.title ?? "";
  if (state === "queued") return queue_position === null ? "waiting" : `${queue_position} before it`;
  if (state !== "running" || progress === null) return "";
  const share = progress.total ? formatShare(progress.done / progress.total, 0) : `${progress.done} ${progress.unit}`;
  return progress.eta_s === null ? share : `${share}, ${formatSeconds(progress.eta_s)} left`;
}

/** A few words of what it works on: the name it was given, or how many benchmarks. */
function subjectOf({ input, metadata }: Job): string {
  const given = metadata.title ?? input.name;
  if (typeof given === "string") return given;
  const benchmarks = input.benchmarks;
  if (Array.isArray(benchmarks)) return benchmarks.length === 1 ? "1 benchmark" : `${benchmarks.length} benchmarks`;
  const layers = input.layers;
  return Array.isArray(layers) ? `layers ${layers.join(", ")}` : "";
}
