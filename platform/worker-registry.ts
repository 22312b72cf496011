// Which workers live, what they serve and what they can do: rows they renew every few seconds.
import type { PrismaClient, Worker } from "../prisma/client/client.ts";
import type { Json } from "./database.ts";

export type WorkerRow = Worker;

/** A worker that did not renew its row for so long counts as gone. */
export const workerAliveSeconds = 15;

export interface WorkerDescription {
  readonly id: string;
  readonly class: "interactive" | "batch";
  readonly device: "cpu" | "cuda" | "webgpu";
  readonly hostname: string;
  readonly pid: number;
  readonly version: string;
  readonly queues: readonly string[];
  /** What the cost model reads (domain): memory_bytes, cores, measured speeds. */
  readonly capability: Json;
}

export interface WorkerRegistry {
  register(worker: WorkerDescription): Promise<void>;
  /** Every ≤ 5 s. */
  beat(id: string, now?: { queues?: readonly string[]; models?: Json; draining?: boolean }): Promise<void>;
  remove(id: string): Promise<void>;
  live(): Promise<readonly WorkerRow[]>;
  /** Deletes rows of workers that have been gone for an hour. */
  sweep(): Promise<void>;
}

export function createWorkerRegistry(db: PrismaClient): WorkerRegistry {
  return {
    async register({ queues, ...worker }) {
      const row = { ...worker, queues: [...queues], draining: false };
      await db.worker.upsert({ where: { id: worker.id }, create: row, update: row });
      await db.$executeRaw`UPDATE workers SET heartbeat_at = now() WHERE id = ${worker.id}`;
    },
    async beat(id, now = {}) {
      const { queues, models, draining } = now;
      await db.$executeRaw`
        UPDATE workers SET heartbeat_at = now(), queues = coalesce(${queues === undefined ? null : [...queues]}::text[], queues),
          models = coalesce(${models === undefined ? null : JSON.stringify(models)}::jsonb, models),
          draining = coalesce(${draining ?? null}::boolean, draining)
        WHERE id = ${id}`;
    },
    async remove(id) {
      await db.worker.deleteMany({ where: { id } });
    },
    live: () => db.$queryRaw<WorkerRow[]>`
      SELECT * FROM workers WHERE heartbeat_at > now() - make_interval(secs => ${workerAliveSeconds}) ORDER BY started_at`,
    async sweep() {
      await db.$executeRaw`DELETE FROM workers WHERE heartbeat_at < now() - interval '1 hour'`;
    },
  };
}
