import { answered, client } from "../api/client.ts";
import { useResource } from "../api/use-resource.ts";
import { formatTime } from "../elements/format.ts";
import { StateBadge } from "../elements/state-badge.tsx";
import { linkTo } from "../shell/router.ts";

export function RecentAnalyses() {
  const { value } = useResource("analyses", (signal) =>
    answered(client.GET("/v1/jobs", { params: { query: { limit: 5, kind: "benchmark.analyze" } as object }, signal })),
  );
  if (!value || value.data.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="recent-title">
      <div class="panel-head">
        <h2 id="recent-title">Recent</h2>
      </div>
      <ul class="recent">
        {value.data.map(({ id, input, state, created_at }) => (
          <li key={id}>
            <a href={linkTo("coverage", [id])}>{namesOf(input)}</a>
            <span class="small soft">{formatTime(created_at)}</span>
            {state !== "succeeded" && <StateBadge state={state} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

function namesOf({ benchmarks }: Readonly<Record<string, unknown>>): string {
  const names = Array.isArray(benchmarks) ? benchmarks.map(({ name }: { name?: string }) => name ?? "?") : [];
  const more = names.length - 3;
  return `${names.slice(0, 3).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
