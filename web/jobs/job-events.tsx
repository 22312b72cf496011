import type { JobEvent } from "../api/follow-job.ts";
import { formatCount } from "../elements/format.ts";

/** Progress is shown as a bar, and would bury the rest. */
const quiet = new Set(["progress", "metrics"]);

export function JobEvents({ events }: { readonly events: readonly JobEvent[] }) {
  const shown = events.filter(({ type }) => !quiet.has(type)).toReversed();
  if (shown.length === 0) return null;
  return (
    <section class="panel">
      <div class="panel-head">
        <h2>Events</h2>
      </div>
      <ol class="event-list">
        {shown.map((event) => (
          <li key={event.id}>
            <time class="small soft" dateTime={event.created_at}>
              {new Date(event.created_at).toLocaleTimeString("en-GB")}
            </time>
            <span>{event.type.replaceAll("_", " ")}</span>
            <span class="small soft">{wordsOf(event.data)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function wordsOf(data: Readonly<Record<string, unknown>>): string {
  return Object.entries(data)
    .filter(([, value]) => value !== null && (typeof value !== "object" || Array.isArray(value)))
    .map(([key, value]) => `${key.replaceAll("_", " ")} ${shown(value)}`)
    .join(", ");
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return String(value.length);
  return typeof value === "number" ? formatCount(value) : String(value);
}
