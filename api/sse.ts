// Server-sent events: a comment every 15 s keeps proxies from closing the connection, nothing is compressed, and a
// client that does not read is dropped instead of filling our memory (a chunk is only made when the last one left).
import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";

const heartbeatMs = 15_000;
const stalledMs = 60_000;

export interface ServerSentEvent {
  readonly id?: number;
  readonly event?: string;
  readonly data: string;
}

export function formatEvent(event: ServerSentEvent): string {
  const lines = event.data.split("\n").map((line) => `data: ${line}\n`);
  const id = event.id === undefined ? "" : `id: ${event.id}\n`;
  const name = event.event === undefined ? "" : `event: ${event.event}\n`;
  return `${id}${name}${lines.join("")}\n`;
}

/** Sends the events as they come. `abandon` must make them end; it is called when the client left or stopped reading,
 *  and when the server closes. */
export function sendEvents(
  reply: FastifyReply,
  events: AsyncIterable<ServerSentEvent>,
  abandon: () => void,
): FastifyReply {
  const { signal } = reply.server.closing;
  // Abandoned before it is destroyed: a stream that waits for its next event is only closed when that comes.
  const drop = () => {
    abandon();
    stream.destroy();
  };
  const stream = Readable.from(chunks(events, drop), { objectMode: false, highWaterMark: 16_384 });
  signal.addEventListener("abort", abandon, { once: true });
  reply.raw.once("close", () => {
    signal.removeEventListener("abort", abandon);
    abandon();
  });
  return reply
    .header("Content-Type", "text/event-stream; charset=utf-8")
    .header("Cache-Control", "no-cache, no-transform")
    .header("X-Accel-Buffering", "no")
    .send(stream);
}

async function* chunks(events: AsyncIterable<ServerSentEvent>, drop: () => void): AsyncGenerator<string> {
  const iterator = events[Symbol.asyncIterator]();
  let next = iterator.next();
  let stalled: NodeJS.Timeout | undefined;
  try {
    // The head goes out now, not with the first event.
    yield ": open\n\n";
    for (;;) {
      const result = await orHeartbeat(next);
      const text = result === "heartbeat" ? ": still here\n\n" : result.done ? null : formatEvent(result.value);
      if (text === null) return;
      stalled = setTimeout(drop, stalledMs);
      yield text;
      clearTimeout(stalled);
      if (result !== "heartbeat") next = iterator.next();
    }
  } finally {
    clearTimeout(stalled);
    next.catch(() => {});
    await iterator.return?.();
  }
}

async function orHeartbeat<T>(next: Promise<T>): Promise<T | "heartbeat"> {
  let timer: NodeJS.Timeout | undefined;
  const beat = new Promise<"heartbeat">((resolve) => {
    timer = setTimeout(() => resolve("heartbeat"), heartbeatMs);
  });
  try {
    return await Promise.race([next, beat]);
  } finally {
    clearTimeout(timer);
  }
}

/** A controller that is aborted when the client goes away before the answer was finished, or the server closes. */
export function clientAbort(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  const { signal } = reply.server.closing;
  const abort = () => controller.abort();
  signal.addEventListener("abort", abort, { once: true });
  reply.raw.once("close", () => {
    signal.removeEventListener("abort", abort);
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller;
}
