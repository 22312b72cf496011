// The queue carries an id; the row carries the rest. pg-boss claims, times out and redelivers; every call that settles
// or renews names the attempt it was given, so that a claim that lapsed settles nothing.
import { fromPrisma, PgBoss } from "pg-boss";
import type { Logger } from "pino";
import type { Transaction } from "./database.ts";
import type { Notifications } from "./notifications.ts";
import { notify } from "./notifications.ts";

export type Device = "cpu" | "cuda" | "webgpu";

/** Work that any batch worker may take, or only one with that device. */
export function batchQueue(device: Device | "any"): string {
  return `batch.${device}`;
}

/** Completions and encodes of one model. */
export function interactiveQueue(modelId: string): string {
  return `interactive.${modelId}`;
}

/** One claim of one queued id. `attempt` fences it: when the claim lapses and another worker takes it, the old one settles nothing. */
export interface Delivery {
  readonly id: string;
  readonly queue: string;
  readonly attempt: number;
  /** The id of the job or request. */
  readonly subject: string;
}

export interface SendOptions {
  readonly priority?: number | undefined;
  readonly delaySeconds?: number | undefined;
}

export interface Consumer {
  /** Also takes from this queue from now on. */
  add(queue: string): Promise<void>;
  /** Takes no more; resolves when the handlers that run have returned. */
  stop(): Promise<void>;
}

export interface Queue {
  /** Creates the queue unless it exists. */
  ensure(queue: string): Promise<void>;
  /** In the caller's transaction; wakes consumers when that commits. Returns the delivery's id. */
  send(tx: Transaction, queue: string, subject: string, options?: SendOptions): Promise<string>;
  /**
   * Runs at most `concurrency` handlers at a time over all its queues. The handler settles the delivery through `claims`
   * or `requests`; when it returns the delivery is completed in any case, when it throws it is retried with backoff.
   */
  consume(
    options: { queues: readonly string[]; concurrency: number },
    handler: (delivery: Delivery) => Promise<void>,
  ): Promise<Consumer>;
  /** The next one that is ready, without a handler: whoever takes it has to settle it. */
  take(queue: string): Promise<Delivery | null>;
  /** Returns claims whose heartbeat or time is over to the queue now, instead of at the next turn. */
  supervise(queue: string): Promise<void>;
  /** Renews claims; returns the ids still held. */
  touch(deliveries: readonly Delivery[]): Promise<ReadonlySet<string>>;
  /** Ends the delivery, fenced by its attempt; part of `tx` when given. */
  complete(delivery: Delivery, tx?: Transaction): Promise<void>;
  close(): Promise<void>;
}

/** pg-boss gives a claim at most this long, whatever its heartbeat says; a longer job is preempted before. */
export const deliveryLimitSeconds = 86_400;

const queueOptions = {
  expireInSeconds: deliveryLimitSeconds,
  // Its smallest. A worker that dies is seen after at most this and one supervision.
  heartbeatSeconds: 10,
  // We decide what is poison (job-claims.ts), so the queue never gives up by itself.
  retryLimit: 1_000_000,
  retryDelay: 1,
  retryBackoff: true,
  retryDelayMax: 60,
  retentionSeconds: 30 * 86_400,
  deleteAfterSeconds: 3600,
} as const;

/** Consumers are woken by NOTIFY; this is how often they look all the same. */
const pollMs = 2000;

export async function createQueue(
  url: string,
  options: { log: Logger; notifications: Notifications; supervise: boolean },
): Promise<Queue> {
  const { log, notifications } = options;
  const boss = new PgBoss({
    connectionString: url,
    application_name: "qwen-scope queue",
    max: 3,
    schedule: false,
    supervise: options.supervise,
    superviseIntervalSeconds: 3,
    monitorIntervalSeconds: 3,
    maintenanceIntervalSeconds: 60,
    monitorVacuum: false,
  });
  boss.on("error", (error) => log.error({ err: error }, "queue"));
  boss.on("warning", (warning) => log.warn({ warning }, "queue"));
  await boss.start();

  const known = new Map<string, Promise<void>>();
  const consumers = new Set<Consumer>();
  const asAttempt = ({ id, attempt }: Delivery) => ({ id, retryCount: attempt });

  function ensure(queue: string): Promise<void> {
    const made = known.get(queue) ?? boss.createQueue(queue, queueOptions);
    known.set(queue, made);
    made.catch(() => known.delete(queue));
    return made;
  }

  const queue: Queue = {
    ensure,
    async send(tx, name, subject, { priority = 0, delaySeconds = 0 } = {}) {
      await ensure(name);
      const id = await boss.send(name, { subject }, { priority, startAfter: delaySeconds, db: fromPrisma(tx) });
      if (id === null) throw new Error(`the queue ${name} refused ${subject}`);
      await notify(tx, `queue:${name}`);
      return id;
    },
    async consume(options, handler) {
      const consumer = createConsumer(
        options.concurrency,
        { boss, log, notifications, ensure, settle: queue.complete },
        handler,
      );
      consumers.add(consumer);
      for (const name of options.queues) await consumer.add(name);
      return consumer;
    },
    take: (name) => take(boss, name),
    supervise: (name) => boss.supervise(name),
    async touch(deliveries) {
      const held = new Set<string>();
      for (const [name, group] of Map.groupBy(deliveries, (delivery) => delivery.queue)) {
        const { settled } = (await boss.touch(name, group.map(asAttempt))) as { settled?: string[] | null };
        for (const id of settled ?? []) held.add(id);
      }
      return held;
    },
    async complete(delivery, tx) {
      await boss.complete(delivery.queue, asAttempt(delivery), null, tx === undefined ? {} : { db: fromPrisma(tx) });
    },
    async close() {
      await Promise.all([...consumers].map((consumer) => consumer.stop()));
      await boss.stop({ graceful: false, close: true });
    },
  };
  return queue;
}

async function take(boss: PgBoss, queue: string): Promise<Delivery | null> {
  const [job] = await boss.fetch<{ subject: string }>(queue);
  return job === undefined ? null : { id: job.id, queue, attempt: job.retryCount, subject: job.data.subject };
}

interface ConsumerParts {
  readonly boss: PgBoss;
  readonly log: Logger;
  readonly notifications: Notifications;
  readonly ensure: (queue: string) => Promise<void>;
  readonly settle: (delivery: Delivery) => Promise<void>;
}

/** Own loop instead of `work()`, which renews heartbeats by itself: ours must lapse when the device hangs. */
function createConsumer(
  concurrency: number,
  parts: ConsumerParts,
  handler: (delivery: Delivery) => Promise<void>,
): Consumer {
  const { boss, log, notifications, ensure, settle } = parts;
  const names = new Map<string, () => void>();
  const running = new Set<Promise<void>>();
  let stopped = false;
  let fetching: Promise<void> | undefined;
  let again = false;

  async function handle(delivery: Delivery): Promise<void> {
    try {
      await handler(delivery);
      await settle(delivery);
    } catch (error) {
      log.error(
        { err: error, queue: delivery.queue, subject: delivery.subject },
        "a delivery failed and will be retried",
      );
      await boss.fail(delivery.queue, { id: delivery.id, retryCount: delivery.attempt }).catch(() => {});
    }
  }

  async function fetchOnce(): Promise<void> {
    for (let found = true; found && !stopped; ) {
      found = false;
      for (const [name, unsubscribe] of [...names]) {
        if (stopped || running.size >= concurrency) return;
        const delivery = await take(boss, name);
        if (delivery === null) continue;
        found = true;
        // To the end of the row: a queue that is always full does not starve the others.
        names.delete(name);
        names.set(name, unsubscribe);
        const work = handle(delivery).finally(() => {
          running.delete(work);
          look();
        });
        running.add(work);
      }
    }
  }

  function look(): void {
    if (stopped) return;
    if (fetching !== undefined) {
      again = true;
      return;
    }
    fetching = fetchOnce()
      .catch((error) => log.error({ err: error }, "the queue could not be read"))
      .finally(() => {
        fetching = undefined;
        if (again) {
          again = false;
          look();
        }
      });
  }

  const timer = setInterval(look, pollMs);
  return {
    async add(name) {
      await ensure(name);
      if (stopped || names.has(name)) return;
      names.set(name, notifications.subscribe(`queue:${name}`, look));
      look();
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      for (const unsubscribe of names.values()) unsubscribe();
      await fetching;
      await Promise.all(running);
    },
  };
}
