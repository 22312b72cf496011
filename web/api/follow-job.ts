// A job as it goes: its row, and its events as they come. A lost connection is taken up where it broke.
import { answered, client, type Schemas } from "./client.ts";
import { readEvents } from "./event-stream.ts";
import { RequestFailed } from "./problem.ts";

export type Job = Schemas["Job"];
export type JobEvent = Schemas["JobEvent"];

const reconnectMs = 1500;

export const isOver = (job: Job): boolean => ["succeeded", "failed", "canceled"].includes(job.state);

export const getJob = (id: string): Promise<Job> => answered(client.GET("/v1/jobs/{id}", { params: { path: { id } } }));

/** Gives every event from the first one on, and the row anew whenever it may have changed; ends when the job has ended. */
export async function followJob(
  id: string,
  signal: AbortSignal,
  seen: { readonly row: (job: Job) => void; readonly event?: (event: JobEvent) => void },
): Promise<void> {
  let after = "0";
  for (;;) {
    const job = await getJob(id);
    if (signal.aborted) return;
    seen.row(job);
    if (isOver(job) && seen.event === undefined) return;
    try {
      for await (const { data } of readEvents(`/v1/jobs/${id}/events`, {
        signal,
        headers: { "last-event-id": after },
      })) {
        const event = JSON.parse(data) as JobEvent;
        after = String(event.id);
        seen.event?.(event);
        if (event.type !== "metrics") seen.row(await getJob(id));
      }
      const ended = await getJob(id);
      seen.row(ended);
      if (isOver(ended)) return;
    } catch (error) {
      if (signal.aborted) return;
      // A refusal will not change; a broken connection may mend.
      if (error instanceof RequestFailed && error.problem.status !== 0) throw error;
    }
    await new Promise((resume) => setTimeout(resume, reconnectMs));
    if (signal.aborted) return;
  }
}
