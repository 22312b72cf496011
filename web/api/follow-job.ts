// A job as it goes: its row, and its events as they come. A lost connection is taken up where it broke.
import { answered, client, type Schemas } from "./client.ts";
import { readEvents } from "./event-stream.ts";
import { RequestFailed } from "./problem.ts";

export type Job = Schemas["Job"];
export type JobEvent = Schemas["JobEvent"];

const reconnectMs = 1500;
/** Events come in bursts; the row is read once for each burst. */
const rowEveryMs = 300;

export const isOver = (job: Job): boolean => ["succeeded", "failed", "canceled"].includes(job.state);

export const getJob = (id: string): Promise<Job> => answered(client.GET("/v1/jobs/{id}", { params: { path: { id } } }));

interface Seen {
  readonly row: (job: Job) => void;
  readonly event?: (event: JobEvent) => void;
}

/** Gives every event from the first one on, and the row anew when it may have changed; resolves when the job has ended.
 *  Throws RequestFailed when the API refuses. */
export async function followJob(id: string, signal: AbortSignal, seen: Seen): Promise<void> {
  let after = "0";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const readRow = async (): Promise<Job> => {
    const job = await getJob(id);
    if (!signal.aborted) seen.row(job);
    return job;
  };
  const readRowSoon = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      readRow().catch(() => {});
    }, rowEveryMs);
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  while (!signal.aborted) {
    try {
      await readRow();
      const init = { signal, headers: { "last-event-id": after } };
      for await (const { data } of readEvents(`/v1/jobs/${id}/events`, init)) {
        const event = JSON.parse(data) as JobEvent;
        after = String(event.id);
        seen.event?.(event);
        readRowSoon();
      }
      clearTimeout(timer);
      if (isOver(await readRow())) return;
    } catch (error) {
      if (signal.aborted) return;
      // A refusal will not change; a broken connection may mend.
      if (error instanceof RequestFailed && error.problem.status !== 0) throw error;
    }
    await new Promise((resume) => setTimeout(resume, reconnectMs));
  }
}
