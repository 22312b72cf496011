import { Type } from "typebox";
import { isTerminal, JobEvent } from "../../domain/job.ts";
import { maximumPageLimit, Page } from "../../domain/page.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { closed } from "../../domain/schema.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { found } from "../lookup.ts";
import { type ServerSentEvent, sendEvents } from "../sse.ts";
import { wireJobEvent } from "../wire/job.ts";
import { JobParams } from "./jobs.ts";

const EventsQuery = closed({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: maximumPageLimit, description: "100 if absent" })),
  cursor: Type.Optional(Type.String({ pattern: "^[0-9]{1,9}$", description: "events after this id" })),
});

export async function jobEventRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.get(
    "/v1/jobs/:id/events",
    {
      config: { scope: "read" },
      schema: {
        tags: ["jobs"],
        operationId: "listJobEvents",
        summary: "Read or follow a job's events",
        description:
          "Oldest first. With `Accept: text/event-stream` the events are sent as they come, from `Last-Event-ID` (or `cursor`) on, until the one that ends the job.",
        params: JobParams,
        querystring: EventsQuery,
        response: {
          200: {
            description: "a page of events, or the stream of them",
            content: {
              "application/json": { schema: Page(JobEvent, "JobEventPage") },
              "text/event-stream": { schema: Type.String() },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const job = found(await platform.jobs.find(request.caller.workspaceId, id), "JOB_NOT_FOUND", id);
      const after = Number(request.query.cursor ?? 0);
      if (!request.headers.accept?.includes("text/event-stream")) {
        const limit = request.query.limit ?? maximumPageLimit;
        const rows = await platform.jobs.events(id, after, limit + 1);
        const shown = rows.slice(0, limit);
        const hasMore = rows.length > limit;
        const nextCursor = hasMore ? String(shown.at(-1)?.seq) : null;
        return { object: "list" as const, data: shown.map(wireJobEvent), has_more: hasMore, next_cursor: nextCursor };
      }
      const from = Math.max(after, lastEventId(request.headers["last-event-id"]));
      // A browser's EventSource reconnects for ever after the end of a stream; 204 tells it that there is no more.
      if (isTerminal(job.state) && from >= job.event_seq) return sendEmpty(reply, 204);
      const controller = new AbortController();
      return sendEvents(reply, follow(from, controller.signal), () => controller.abort());

      async function* follow(position: number, signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
        for (let after = position; ; ) {
          for await (const row of platform.jobs.subscribe(id, after, signal)) {
            const event = wireJobEvent(row);
            yield { id: event.id, event: event.type, data: JSON.stringify(event) };
            after = row.seq;
          }
          // A resumed job has ended before: the stream goes on to the end that is its last.
          const now = await platform.jobs.find(request.caller.workspaceId, id);
          if (signal.aborted || now === null || (isTerminal(now.state) && after >= now.event_seq)) return;
        }
      }
    },
  );
}

function lastEventId(header: string | string[] | undefined): number {
  if (header === undefined || header === "") return 0;
  if (typeof header === "string" && /^\d{1,9}$/.test(header)) return Number(header);
  throw fieldProblem("CURSOR_INVALID", "/last-event-id", "Last-Event-ID must be the id of an event");
}
