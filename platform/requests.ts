// Interactive requests: text events in rows, NOTIFY as a pointer, gone after the replay window.
import { isTerminal } from "../domain/job.ts";
import { Problem, toProblemDetails } from "../domain/problem.ts";
import type { Prisma, PrismaClient, Request, RequestEvent } from "../prisma/client/client.ts";
import type { Json, Transaction } from "./database.ts";
import type { Metrics } from "./metrics.ts";
import { followRows, type Notifications } from "./notifications.ts";
import { type Delivery, interactiveQueue, type Queue } from "./queue.ts";
import { workerAliveSeconds } from "./worker-registry.ts";

export type RequestRow = Request;
export type RequestEventRow = RequestEvent;

export interface NewRequest {
  readonly id: string;
  readonly workspaceId: string;
  readonly apiKeyId?: string | undefined;
  readonly kind: string;
  readonly modelId: string;
  readonly input: Json;
  readonly priority?: number | undefined;
}

export interface RequestClaim {
  readonly request: RequestRow;
  readonly requestId: string;
  readonly epoch: number;
  readonly delivery: Delivery;
}

export interface RequestEventInput {
  readonly type: string;
  readonly data: Json;
}

/** The type of the event that ends a stream; its data is `{state, error?}`. Every other type is the worker's own. */
export const REQUEST_END = "end";

export interface Requests {
  // the API's side
  /** Writes the row and its delivery on the model's queue in one transaction. The caller wants it from now on for the lease. */
  create(request: NewRequest, tx?: Transaction): Promise<RequestRow>;
  /** Rows after `after` as they come, ending after the event of type REQUEST_END. Renews `wanted_until` while it is read; a reader that leaves (return, abort) lets the lease lapse at once. */
  subscribe(requestId: string, options: { after?: number; signal: AbortSignal }): AsyncIterable<RequestEventRow>;
  /** Nobody wants it any more. */
  release(requestId: string): Promise<void>;
  /** True when a live, not draining worker serves the model's queue. */
  hasWorker(modelId: string): Promise<boolean>;

  // the worker's side
  /** Null: ended, unwanted, or lost after its first event (which this call ends with an error event); the delivery is settled. */
  admit(delivery: Delivery, workerId: string): Promise<RequestClaim | null>;
  /** Writes a batch of events in one statement. `wanted: false` means: stop, free the slot (stale epoch, or the client left). */
  append(claim: RequestClaim, events: readonly RequestEventInput[]): Promise<{ readonly wanted: boolean }>;
  /** The last events and the end. False when another epoch or an end was first. */
  finish(
    claim: RequestClaim,
    end: { state: "succeeded" | "failed" | "canceled"; error?: Json; events?: readonly RequestEventInput[] },
  ): Promise<boolean>;
  /** Of these claims, those that are still wanted (one query), and renews their queue heartbeat. Call every 1–2 s. */
  stillWanted(claims: readonly RequestClaim[]): Promise<ReadonlySet<string>>;
  /** Back on the queue (the worker drains before it wrote an event), else ended with an error event. */
  giveBack(claim: RequestClaim): Promise<void>;
  /** Ends requests nobody wants, ends those of dead workers, deletes text older than the replay window. */
  sweep(): Promise<void>;
  close(): void;
}

/** How long a request is wanted after the last renewal; readers renew three times as often. */
const leaseSeconds = 6;

const workerLost = toProblemDetails(
  new Problem("WORKER_LOST", "The worker that computed this stopped; what came before this event is all there is."),
) as unknown as Json;

export function createRequests(parts: {
  db: PrismaClient;
  queue: Queue;
  notifications: Notifications;
  metrics: Metrics;
  retentionMinutes: number;
}): Requests {
  const { db, queue, notifications, metrics, retentionMinutes } = parts;
  const read = new Map<string, number>();
  const topic = (id: string) => `request:${id}`;

  const renewal = setInterval(
    () => {
      if (read.size > 0) renew([...read.keys()]).catch(() => {});
    },
    (leaseSeconds * 1000) / 3,
  );
  renewal.unref();

  const renew = (ids: string[]) => db.$executeRaw`
    UPDATE requests SET wanted_until = now() + make_interval(secs => ${leaseSeconds})
    WHERE id = ANY(${ids}) AND state IN ('queued', 'running')`;

  /** One statement: the fence, the cursor, the rows and the pointer. Null: the fence did not hold. */
  async function write(
    tx: Transaction,
    fence: { id: string; epoch: number; from: readonly string[] },
    events: readonly RequestEventInput[],
    end?: { state: string; error?: Json | undefined },
  ): Promise<{ wanted: boolean; kind: string } | null> {
    const all = events.map(storable);
    if (end !== undefined) all.push({ type: REQUEST_END, data: endData(end) });
    const error = end?.error === undefined ? null : JSON.stringify(end.error);
    const [row] = await tx.$queryRaw<{ wanted: boolean; kind: string; first_seconds: number | null }[]>`
      WITH fence AS (
        UPDATE requests SET event_seq = event_seq + ${all.length}::int,
          state = coalesce(${end?.state ?? null}::text, state), error = coalesce(${error}::jsonb, error),
          finished_at = CASE WHEN ${end !== undefined}::boolean THEN now() ELSE finished_at END
        WHERE id = ${fence.id} AND epoch = ${fence.epoch}::int AND state = ANY(${[...fence.from]})
        RETURNING id, kind, event_seq, epoch, wanted_until > now() AS wanted, extract(epoch FROM now() - created_at)::float8 AS age
      ), written AS (
        INSERT INTO request_events (request_id, seq, epoch, type, data)
        SELECT fence.id, fence.event_seq - ${all.length}::int + item.position, fence.epoch, item.event->>'type', item.event->'data'
        FROM fence, jsonb_array_elements(${JSON.stringify(all)}::jsonb) WITH ORDINALITY AS item(event, position)
        RETURNING seq
      )
      SELECT wanted, kind, CASE WHEN event_seq = ${all.length}::int THEN age END AS first_seconds,
        pg_notify('qwen_scope', ${topic(fence.id)})::text AS notified, (SELECT count(*)::int FROM written) AS rows
      FROM fence`;
    if (row === undefined) return null;
    if (row.first_seconds !== null) metrics.requestFirstEventSeconds.observe({ kind: row.kind }, row.first_seconds);
    if (end !== undefined) metrics.requestsEnded.inc({ kind: row.kind, state: end.state });
    return row;
  }

  const endRow = (tx: Transaction, request: Pick<RequestRow, "id" | "epoch">, state: string, error?: Json) =>
    write(tx, { id: request.id, epoch: request.epoch, from: ["queued", "running"] }, [], { state, error });

  const fenceOf = (claim: RequestClaim) => ({ id: claim.requestId, epoch: claim.epoch, from: ["running"] });

  const requests: Requests = {
    async create(request, outer) {
      const insert = async (tx: Transaction) => {
        const name = interactiveQueue(request.modelId);
        const delivery = await queue.send(tx, name, request.id, { priority: request.priority });
        return tx.request.create({
          data: {
            id: request.id,
            workspace_id: request.workspaceId,
            api_key_id: request.apiKeyId ?? null,
            kind: request.kind,
            model_id: request.modelId,
            queue: name,
            state: "queued",
            input: request.input,
            delivery_id: delivery,
            // Longer than a lease, since the reader begins only after this has committed.
            wanted_until: new Date(Date.now() + 2 * leaseSeconds * 1000),
          },
        });
      };
      return outer === undefined ? db.$transaction(insert) : insert(outer);
    },

    async *subscribe(requestId, { after = 0, signal }) {
      read.set(requestId, (read.get(requestId) ?? 0) + 1);
      let ended = false;
      try {
        await renew([requestId]);
        const rows = followRows({
          notifications,
          topic: topic(requestId),
          after,
          read: async (cursor) => {
            const where = { request_id: requestId, seq: { gt: cursor } };
            const stored = await db.requestEvent.findMany({ where, orderBy: { seq: "asc" }, take: 200 });
            return stored.map((row) => (typeof row.data === "string" ? { ...row, data: JSON.parse(row.data) } : row));
          },
          isLast: (event) => event.type === REQUEST_END,
          signal,
        });
        for await (const event of rows) {
          ended = event.type === REQUEST_END;
          yield event;
        }
      } finally {
        const readers = (read.get(requestId) ?? 1) - 1;
        if (readers > 0) read.set(requestId, readers);
        else {
          read.delete(requestId);
          if (!ended) await requests.release(requestId);
        }
      }
    },

    async release(requestId) {
      await db.$executeRaw`
        UPDATE requests SET wanted_until = now() - interval '1 second' WHERE id = ${requestId} AND state IN ('queued', 'running')`;
    },

    async hasWorker(modelId) {
      const rows = await db.$queryRaw<unknown[]>`
        SELECT 1 AS found FROM workers WHERE ${interactiveQueue(modelId)} = ANY(queues) AND NOT draining
        AND heartbeat_at > now() - make_interval(secs => ${workerAliveSeconds}) LIMIT 1`;
      return rows.length > 0;
    },

    async admit(delivery, workerId) {
      // Lapsed before it came to this (a slow start, a pause): the queue gives it out again, and that one counts.
      if (!(await queue.touch([delivery])).has(delivery.id)) return null;
      return db.$transaction(async (tx) => {
        const [locked] = await tx.$queryRaw<{ wanted: boolean }[]>`
          SELECT wanted_until > now() AS wanted FROM requests WHERE id = ${delivery.subject} FOR UPDATE`;
        const request =
          locked === undefined ? null : await tx.request.findUniqueOrThrow({ where: { id: delivery.subject } });
        const giveUp = async () => {
          await queue.complete(delivery, tx);
          return null;
        };
        if (
          locked === undefined ||
          request === null ||
          isTerminal(request.state) ||
          request.delivery_id !== delivery.id
        )
          return giveUp();
        if (!locked.wanted) {
          await endRow(tx, request, "canceled");
          return giveUp();
        }
        // Never a silent replay: who has seen the first token would see another text continue it.
        if (request.state === "running" && request.event_seq > 0) {
          await endRow(tx, request, "failed", workerLost);
          return giveUp();
        }
        const admitted = await tx.request.update({
          where: { id: request.id },
          data: { state: "running", epoch: { increment: 1 }, worker_id: workerId, admitted_at: new Date() },
        });
        return { request: admitted, requestId: admitted.id, epoch: admitted.epoch, delivery };
      });
    },

    async append(claim, events) {
      const row = await write(db, fenceOf(claim), events);
      return { wanted: row?.wanted ?? false };
    },

    async finish(claim, { state, error, events = [] }) {
      return db.$transaction(async (tx) => {
        const row = await write(tx, fenceOf(claim), events, { state, error });
        await queue.complete(claim.delivery, tx);
        return row !== null;
      });
    },

    async stillWanted(claims) {
      if (claims.length === 0) return new Set();
      const held = await queue.touch(claims.map((claim) => claim.delivery));
      const rows = await db.$queryRaw<{ id: string; epoch: number }[]>`
        SELECT id, epoch FROM requests
        WHERE id = ANY(${claims.map((claim) => claim.requestId)}) AND state = 'running' AND wanted_until > now()`;
      const epochs = new Map(rows.map((row) => [row.id, row.epoch]));
      const wanted = claims.filter(
        (claim) => held.has(claim.delivery.id) && epochs.get(claim.requestId) === claim.epoch,
      );
      return new Set(wanted.map((claim) => claim.requestId));
    },

    async giveBack(claim) {
      await db.$transaction(async (tx) => {
        const [row] = await tx.$queryRaw<{ event_seq: number }[]>`
          SELECT event_seq FROM requests WHERE id = ${claim.requestId} AND epoch = ${claim.epoch}::int AND state = 'running' FOR UPDATE`;
        await queue.complete(claim.delivery, tx);
        if (row === undefined) return;
        if (row.event_seq > 0) {
          await endRow(tx, { id: claim.requestId, epoch: claim.epoch }, "failed", workerLost);
          return;
        }
        const delivery = await queue.send(tx, claim.delivery.queue, claim.requestId);
        await tx.request.update({
          where: { id: claim.requestId },
          data: { state: "queued", delivery_id: delivery, worker_id: null },
        });
      });
    },

    async sweep() {
      // A live worker ends what nobody wants within a step; these have none, or one that does not look any more.
      const left = await db.$queryRaw<{ id: string; epoch: number }[]>`
        SELECT id, epoch FROM requests WHERE state = 'queued' AND wanted_until < now()
        UNION ALL SELECT id, epoch FROM requests WHERE state = 'running' AND wanted_until < now() - interval '30 seconds' LIMIT 500`;
      for (const request of left) await endRow(db, request, "canceled");
      const orphaned = await db.$queryRaw<{ id: string; epoch: number }[]>`
        SELECT r.id, r.epoch FROM requests r WHERE r.state = 'running' AND r.admitted_at < now() - make_interval(secs => ${workerAliveSeconds})
        AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = r.worker_id AND w.heartbeat_at > now() - make_interval(secs => ${workerAliveSeconds}))
        LIMIT 500`;
      for (const request of orphaned) await endRow(db, request, "failed", workerLost);
      await db.$executeRaw`
        DELETE FROM request_events WHERE request_id IN (
          SELECT id FROM requests WHERE finished_at < now() - make_interval(mins => ${retentionMinutes}::int) AND input IS NOT NULL)`;
      await db.$executeRaw`
        UPDATE requests SET input = NULL WHERE finished_at < now() - make_interval(mins => ${retentionMinutes}::int) AND input IS NOT NULL`;
      await db.$executeRaw`DELETE FROM requests WHERE finished_at < now() - interval '7 days'`;
    },

    close: () => clearInterval(renewal),
  };
  return requests;
}

/** jsonb takes no U+0000, and a sampled token may well stand for it: such an event is kept as its own JSON text. */
function storable({ type, data }: RequestEventInput): RequestEventInput {
  const text = JSON.stringify(data);
  return typeof data === "string" || text.includes("\\u0000") ? { type, data: text } : { type, data };
}

function endData(end: { state: string; error?: Json | undefined }): Json {
  return end.error === undefined
    ? { state: end.state }
    : { state: end.state, error: end.error as Prisma.InputJsonValue };
}
