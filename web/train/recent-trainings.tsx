import { answered, client } from "../api/client.ts";
import { useResource } from "../api/use-resource.ts";
import { formatTime } from "../elements/format.ts";
import { ProblemNotice } from "../elements/problem-notice.tsx";
import { StateBadge } from "../elements/state-badge.tsx";
import { linkTo } from "../shell/router.ts";

export function RecentTrainings() {
  const recent = useResource("trainings", (signal) =>
    answered(client.GET("/v1/jobs", { params: { query: { kind: "sae.train", limit: 10 } }, signal })),
  );
  return (
    <section class="panel" aria-label="Recent trainings">
      <h2>Recent</h2>
      {recent.problem && <ProblemNotice problem={recent.problem} retry={recent.reload} />}
      {recent.value?.data.length === 0 && <p class="soft">None yet.</p>}
      <ul class="recent-trainings">
        {recent.value?.data.map((job) => (
          <li key={job.id}>
            <a href={linkTo("train", [job.id])}>{titleOf(job.input)}</a>
            <StateBadge state={job.state} />
            <span class="small soft">{formatTime(job.created_at)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** "3 layers, width 2,048, k 24", or the name it was given. */
export function titleOf(input: Readonly<Record<string, unknown>>): string {
  if (typeof input.name === "string") return input.name;
  const layers = Array.isArray(input.layers) ? input.layers : [];
  const where = layers.length === 1 ? `Layer ${layers[0]}` : `Layers ${layers.join(", ")}`;
  return `${where}, width ${Number(input.width).toLocaleString("en")}, k ${input.k}`;
}
