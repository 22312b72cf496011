// One interactive request: handed to the model's workers, its events handed back as they come.
import { setTimeout as delay } from "node:timers/promises";
import { newId } from "../../domain/id.ts";
import { fromProblemDetails, Problem } from "../../domain/problem.ts";
import type { RequestEvent, RequestInput } from "../../domain/request.ts";
import type { Json } from "../../platform/database.ts";
import type { Platform } from "../../platform/platform.ts";
import type { Caller } from "../context.ts";

// A worker that restarts is back within seconds; longer than this a client should hear that there is none.
const workerGraceMs = 3000;
const workerPollMs = 250;
const firstEventMs = 60_000;

export interface Relay {
  readonly id: string;
  readonly createdAt: Date;
  /** Ends after the request's last text; throws a Problem when it failed. */
  readonly events: AsyncIterable<Exclude<RequestEvent, { type: "end" }>>;
}

/**
 * Resolves when the worker has accepted the request, so that a refusal can still be an error status.
 * Aborting the signal lets the request lapse.
 */
export async function startRequest(
  platform: Platform,
  caller: Caller,
  input: RequestInput,
  signal: AbortSignal,
): Promise<Relay> {
  await requireWorker(platform, input.model_id, signal);
  const row = await platform.requests.create({
    id: newId("request"),
    workspaceId: caller.workspaceId,
    apiKeyId: caller.keyId ?? undefined,
    kind: input.kind,
    modelId: input.model_id,
    input: input as unknown as Json,
  });
  const tooLate = new AbortController();
  const timer = setTimeout(() => tooLate.abort(), firstEventMs);
  const rows = platform.requests
    .subscribe(row.id, { signal: AbortSignal.any([signal, tooLate.signal]) })
    [Symbol.asyncIterator]();
  try {
    const first = await rows.next();
    if (first.done) throw workerUnavailable();
    const event = eventOf(first.value);
    if (event.type === "end") throwIfFailed(event);
    return { id: row.id, createdAt: row.created_at, events: relayed(event) };
  } catch (error) {
    await rows.return?.();
    throw error;
  } finally {
    clearTimeout(timer);
  }

  async function* relayed(first: RequestEvent): AsyncGenerator<Exclude<RequestEvent, { type: "end" }>> {
    try {
      for (let event = first; event.type !== "end"; ) {
        yield event;
        const next = await rows.next();
        // Without an end the subscription was cut: the client left, or the platform is closing.
        if (next.done) throw new Problem("SERVICE_UNAVAILABLE");
        event = eventOf(next.value);
        if (event.type === "end") throwIfFailed(event);
      }
    } finally {
      await rows.return?.();
    }
  }
}

function eventOf(row: { readonly type: string; readonly data: unknown }): RequestEvent {
  return { type: row.type, data: row.data } as RequestEvent;
}

function throwIfFailed(event: Extract<RequestEvent, { type: "end" }>): void {
  const { state, error } = event.data;
  if (state === "succeeded") return;
  throw error ? fromProblemDetails(error) : new Problem("WORKER_LOST", undefined, { retryAfterS: 5 });
}

async function requireWorker(platform: Platform, modelId: string, signal: AbortSignal): Promise<void> {
  for (let waitedMs = 0; !(await platform.requests.hasWorker(modelId)); waitedMs += workerPollMs) {
    if (waitedMs >= workerGraceMs || signal.aborted) throw workerUnavailable();
    await delay(workerPollMs);
  }
}

function workerUnavailable(): Problem {
  return new Problem("WORKER_UNAVAILABLE", "No interactive worker serves this model at the moment.", {
    retryAfterS: 5,
  });
}
