// NOTIFY carries a pointer, never the thing: who is woken reads rows. One LISTEN connection per process; while it is
// down nothing is lost, since everyone is woken on reconnect and reads every few seconds anyway.
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { Prisma } from "../prisma/client/client.ts";
import { type Connection, openConnection } from "./connection.ts";
import type { Transaction } from "./database.ts";

const channel = "qwen_scope";

export interface Notifications {
  /** Calls `wake` when the topic is notified and after every reconnect. Returns the way to stop. */
  subscribe(topic: string, wake: () => void): () => void;
  close(): Promise<void>;
}

/** In the caller's transaction: sent when it commits. */
export async function notify(tx: Transaction, topic: string): Promise<void> {
  await tx.$queryRaw(notifySql(topic));
}

/** The same as an expression of a larger statement. */
export const notifySql = (topic: string) => Prisma.sql`SELECT pg_notify(${channel}, ${topic})::text`;

export function createNotifications(url: string, log: Logger): Notifications {
  const wakers = new Map<string, Set<() => void>>();
  let connection: Connection | null = null;
  let closed = false;
  let running: Promise<void> | undefined;

  async function listen(): Promise<void> {
    for (let failures = 0; !closed; ) {
      try {
        const current = await openConnection(url, "qwen-scope listen");
        // Closed while it opened: nobody would end it any more, and closing would wait for it.
        if (closed) return void (await current.end());
        connection = current;
        const gone = new Promise<void>((done) => current.once("end", () => done()));
        current.on("notification", ({ payload }) => {
          for (const wake of wakers.get(payload ?? "") ?? []) wake();
        });
        await current.query(`LISTEN ${channel}`);
        failures = 0;
        for (const set of wakers.values()) for (const wake of set) wake();
        const beat = setInterval(() => keepAlive(current), 10_000);
        await gone;
        clearInterval(beat);
      } catch (error) {
        failures++;
        if (!closed) log.warn({ err: error, failures }, "the notification connection is down");
      }
      connection = null;
      if (!closed) await pause(Math.min(100 * 2 ** failures, 2000), undefined, { ref: false });
    }
  }

  return {
    subscribe(topic, wake) {
      running ??= listen();
      const set = wakers.get(topic) ?? new Set();
      wakers.set(topic, set.add(wake));
      return () => {
        set.delete(wake);
        if (set.size === 0 && wakers.get(topic) === set) wakers.delete(topic);
      };
    },
    async close() {
      closed = true;
      await connection?.end().catch(() => {});
      await running;
    },
  };
}

/** A silent network drop shows only when something is sent: a query without an answer in 5 s ends the connection. */
function keepAlive(connection: Connection): void {
  const late = setTimeout(
    () => (connection as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy(),
    5000,
  );
  connection.query("SELECT 1").then(
    () => clearTimeout(late),
    () => clearTimeout(late),
  );
}

/**
 * Rows of a growing list as they come: reads after the last one when woken, and every 2 s in any case. The consumer
 * pulls, so a slow one buffers one page. Ends when `isLast` says so or the signal aborts.
 */
export async function* followRows<Row extends { readonly seq: number }>(options: {
  notifications: Notifications;
  topic: string;
  after: number;
  read: (after: number) => Promise<readonly Row[]>;
  isLast: (row: Row) => boolean;
  signal: AbortSignal;
}): AsyncGenerator<Row, void, void> {
  const { notifications, topic, read, isLast, signal } = options;
  let after = options.after;
  let woken = true;
  let wake = () => {};
  const unsubscribe = notifications.subscribe(topic, () => {
    woken = true;
    wake();
  });
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      woken = false;
      const rows = await read(after);
      for (const row of rows) {
        if (signal.aborted) return;
        after = row.seq;
        yield row;
        if (isLast(row)) return;
      }
      if (rows.length === 0 && !woken && !signal.aborted) await wait();
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    unsubscribe();
  }

  function wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => wake(), 2000);
      wake = () => {
        clearTimeout(timer);
        wake = () => {};
        resolve();
      };
    });
  }
}
