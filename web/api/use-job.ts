// Starting a job from a button, and following it to its end.
import { useCallback, useEffect, useState } from "preact/hooks";
import { answered, client, idempotencyKey } from "./client.ts";
import { followJob, isOver, type Job, type JobEvent } from "./follow-job.ts";
import { type ProblemDetails, problemOf } from "./problem.ts";

export interface RunningJob {
  /** null until it has been read */
  readonly job: Job | null;
  /** Oldest first. */
  readonly events: readonly JobEvent[];
  readonly problem: ProblemDetails | null;
  /** Being submitted, queued or running. */
  readonly busy: boolean;
  start(kind: string, input: object): Promise<string | null>;
  cancel(): Promise<void>;
  resume(): Promise<void>;
}

/** Follows `id`, or what `start` starts. */
export function useJob(id: string | null = null): RunningJob {
  const [followed, setFollowed] = useState(id);
  const [turn, setTurn] = useState(0);
  const [submitting, setSubmitting] = useState(false);
  const [seen, setSeen] = useState<{ job: Job | null; events: readonly JobEvent[] }>({ job: null, events: [] });
  const [problem, setProblem] = useState<ProblemDetails | null>(null);
  useEffect(() => setFollowed(id), [id]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `turn` begins anew after a resume.
  useEffect(() => {
    if (followed === null) return;
    const controller = new AbortController();
    setSeen((last) => (last.job?.id === followed ? { job: last.job, events: [] } : { job: null, events: [] }));
    followJob(followed, controller.signal, {
      row: (job) => setSeen((last) => ({ ...last, job })),
      event: (event) => setSeen((last) => ({ ...last, events: [...last.events, event] })),
    }).catch((error: unknown) => setProblem(problemOf(error)));
    return () => controller.abort();
  }, [followed, turn]);

  const attempt = useCallback(async <T>(action: () => Promise<T>): Promise<T | null> => {
    setProblem(null);
    try {
      return await action();
    } catch (error) {
      setProblem(problemOf(error));
      return null;
    }
  }, []);

  return {
    job: seen.job,
    events: seen.events,
    problem,
    busy: submitting || (followed !== null && problem === null && (seen.job === null || !isOver(seen.job))),
    async start(kind, input) {
      setSubmitting(true);
      const header = { "Idempotency-Key": idempotencyKey() };
      const body = { kind, input } as never;
      const job = await attempt(() => answered(client.POST("/v1/jobs", { params: { header }, body })));
      setSubmitting(false);
      if (job !== null) setFollowed(job.id);
      return job?.id ?? null;
    },
    async cancel() {
      const path = { id: followed ?? "" };
      await attempt(() => answered(client.POST("/v1/jobs/{id}/cancel", { params: { path } })));
    },
    async resume() {
      const path = { id: followed ?? "" };
      const job = await attempt(() => answered(client.POST("/v1/jobs/{id}/resume", { params: { path } })));
      if (job === null) return;
      setSeen((last) => ({ ...last, job }));
      setTurn((count) => count + 1);
    },
  };
}
