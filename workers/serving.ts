/**
 * The interactive side of a supervisor: admits requests of its models, hands them to the device, and writes what
 * comes back in batches. How many batches there are follows the database's pace: while one write runs, the next
 * gathers.
 */
import { Problem, toProblemDetails } from "../domain/problem.ts";
import type { RequestEvent, Sequence } from "../domain/request.ts";
import type { Json } from "../platform/jobs.ts";
import type { Platform } from "../platform/platform.ts";
import type { Delivery } from "../platform/queue.ts";
import type { RequestClaim, RequestEventInput } from "../platform/requests.ts";
import { type DeviceExit, type DeviceLink, startDevice } from "./device-link.ts";
import { problemOf } from "./failure.ts";
import type { DeviceConfig, Failure } from "./protocol.ts";
import { readOnlyCalls } from "./rows.ts";

/** Between two questions which requests are still wanted: what a departed client costs at most, in seconds of work. */
const WANTED_MS = 1_000;
/** Requests that run when the worker is told to stop have this long to end by themselves. */
const DRAIN_MS = 20_000;
/** A request that took the device down this often is not tried again. */
const MAX_ATTEMPTS = 2;

export interface ServingWorker {
  readonly capability: DeviceLink["capability"];
  devicePid(): number | null;
  run(delivery: Delivery): Promise<void>;
  /** The model is gone. */
  forget(modelId: string): void;
  /** Lets running requests end, gives the others back, ends the device. Take no deliveries from here on. */
  stop(drainMs?: number): Promise<void>;
}

export async function createServingWorker(platform: Platform, config: DeviceConfig): Promise<ServingWorker> {
  const log = platform.log.child({ worker: config.workerId });
  const running = new Map<string, RunningRequest>();
  let device: Promise<DeviceLink> | null = null;
  let pid: number | null = null;
  let stopping = false;
  const { capability } = await useDevice();

  /** One start at a time, however many requests wait for it. */
  function useDevice(): Promise<DeviceLink> {
    device ??= startDevice({
      config,
      calls: { ...readOnlyCalls(platform), "job.checkpoint": () => Promise.reject(new Error("no jobs run here")) },
      onMessage: (message) => {
        if (message.type === "request_events") running.get(message.requestId)?.write(message.events as RequestEvent[]);
        if (message.type === "request_ended") running.get(message.requestId)?.end(message.failure);
      },
      onExit: (exit) => {
        device = null;
        pid = null;
        if (!exit.expected) log.warn({ code: exit.code, signal: exit.signal }, "the device process ended by itself");
        for (const request of running.values()) request.lose(exit);
      },
    }).then(
      (link) => {
        pid = link.pid;
        return link;
      },
      (error) => {
        device = null;
        throw error;
      },
    );
    return device;
  }

  const timer = setInterval(() => {
    void watch().catch((error) => log.warn({ err: error }, "could not ask which requests are wanted"));
  }, WANTED_MS);
  async function watch(): Promise<void> {
    if (running.size === 0 || !device) return;
    const link = await device;
    // Stuck: the kill comes back as a loss of everything that runs.
    if (!link.isAlive()) link.kill();
    // Only those that were asked about: a request admitted meanwhile is not in the answer.
    const asked = [...running.values()];
    const wanted = await platform.requests.stillWanted(asked.map((request) => request.claim));
    for (const request of asked) if (!wanted.has(request.claim.requestId)) request.stop();
  }

  return {
    capability,
    devicePid: () => pid,
    async run(delivery) {
      // Before the claim: a start may take longer than a claim lasts, and then the request would run twice.
      const link = stopping ? null : await useDevice();
      const claim = await platform.requests.admit(delivery, config.workerId);
      if (!claim) return;
      if (stopping || !link) return await platform.requests.giveBack(claim);
      const request = createRunningRequest(platform, claim, link);
      running.set(claim.requestId, request);
      // It died during the admission, when nobody could tell this request.
      if (!link.isAlive()) request.lose({ code: null, signal: null, expected: false });
      try {
        await request.ended;
      } catch (error) {
        // Its text could not be written: the device must not go on with what nobody will read.
        request.stop();
        throw error;
      } finally {
        running.delete(claim.requestId);
      }
    },
    forget(modelId) {
      // A device that is only starting keeps nothing yet.
      device?.then((link) => link.send({ type: "forget_model", modelId })).catch(() => {});
    },
    async stop(drainMs = DRAIN_MS) {
      stopping = true;
      const unfinished = setTimeout(() => {
        for (const request of running.values()) request.lose({ code: null, signal: null, expected: true });
      }, drainMs);
      await Promise.allSettled([...running.values()].map((request) => request.ended));
      clearTimeout(unfinished);
      clearInterval(timer);
      await (await device)?.stop();
    },
  };
}

interface RunningRequest {
  readonly claim: RequestClaim;
  readonly ended: Promise<void>;
  write(events: readonly RequestEvent[]): void;
  end(failure: Failure | null): void;
  /** The device is gone, or must not be waited for any longer. */
  lose(exit: DeviceExit): void;
  /** Nobody wants it any more. */
  stop(): void;
}

function createRunningRequest(platform: Platform, claim: RequestClaim, device: DeviceLink): RunningRequest {
  let waiting: RequestEvent[] = [];
  let last: (() => Promise<unknown>) | null = null;
  let wrote = false;
  let stopped = false;
  let news = Promise.withResolvers<void>();
  const count = createTokenCounter(platform, claim);

  async function writeUntilEnd(): Promise<void> {
    while (last === null) {
      if (waiting.length === 0) {
        await news.promise;
        news = Promise.withResolvers<void>();
        continue;
      }
      const batch = coalesce(waiting);
      waiting = [];
      wrote = true;
      const { wanted } = await platform.requests.append(claim, batch);
      if (!wanted) stop();
    }
    await last();
  }
  function finish(end: () => Promise<unknown>): void {
    last ??= end;
    news.resolve();
  }
  function stop(): void {
    stopped = true;
    device.send({ type: "stop_request", requestId: claim.requestId });
  }

  device.send({
    type: "run_request",
    request: { requestId: claim.requestId, workspaceId: claim.request.workspace_id, input: claim.request.input },
  });

  return {
    claim,
    ended: writeUntilEnd(),
    stop,
    write(events) {
      events.forEach(count);
      waiting.push(...events);
      news.resolve();
    },
    end(failure) {
      finish(async () => {
        const events = coalesce(waiting);
        if (failure === null) {
          await platform.requests.finish(claim, { state: stopped ? "canceled" : "succeeded", events });
          return;
        }
        if (failure.kind === "bug") platform.log.error({ request: claim.requestId, error: failure }, "a request threw");
        const error = problemOf(failure) as unknown as Json;
        await platform.requests.finish(claim, { state: "failed", error, events });
      });
    },
    lose() {
      finish(async () => {
        // Every admission takes the next epoch.
        if (!wrote && claim.epoch < MAX_ATTEMPTS) return await platform.requests.giveBack(claim);
        // Part of the text may have been read already: a replay could say something else.
        const error = toProblemDetails(new Problem("WORKER_LOST")) as unknown as Json;
        await platform.requests.finish(claim, { state: "failed", error });
      });
    },
  };
}

/** Counts what the events of one request tell of its tokens. */
function createTokenCounter({ metrics }: Platform, { request }: RequestClaim): (event: RequestEvent) => void {
  const model = request.model_id;
  const { sequences = [] } = request.input as { sequences?: readonly Sequence[] };
  let promptTokens: readonly number[] = [];
  return (event) => {
    if (event.type === "started") promptTokens = event.data.prompt_tokens;
    if (event.type !== "choice_ended") return;
    const { choice, completion_tokens, cached_tokens = 0 } = event.data;
    metrics.tokensGenerated.inc({ model }, completion_tokens);
    metrics.promptTokens.inc({ model }, promptTokens[sequences[choice]?.prompt ?? 0] ?? 0);
    metrics.promptTokensCached.inc({ model }, cached_tokens);
  };
}

/** Neighbouring pieces of one choice's text become one event: a client reads them as one anyway. */
export function coalesce(events: readonly RequestEvent[]): RequestEventInput[] {
  const merged: RequestEvent[] = [];
  for (const event of events) {
    const before = merged.at(-1);
    if (event.type === "delta" && before?.type === "delta" && before.data.choice === event.data.choice) {
      const logprobs = [...(before.data.logprobs ?? []), ...(event.data.logprobs ?? [])];
      const data = { ...before.data, text: before.data.text + event.data.text };
      merged[merged.length - 1] = { type: "delta", data: logprobs.length > 0 ? { ...data, logprobs } : data };
    } else merged.push(event);
  }
  return merged as unknown as RequestEventInput[];
}
