// Idempotency keys: the first request holds the key while it runs, its answer is kept for a day.
import { Prisma, type PrismaClient } from "../prisma/client/client.ts";

export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type IdempotencyOutcome =
  | { readonly outcome: "new" }
  | ({ readonly outcome: "replay" } & StoredAnswer)
  /** The same key with another body. */
  | { readonly outcome: "conflict" }
  /** The first request with this key has not been answered yet. */
  | { readonly outcome: "running" };

export interface Idempotency {
  begin(scope: string, key: string, requestHash: string): Promise<IdempotencyOutcome>;
  complete(scope: string, key: string, answer: StoredAnswer): Promise<void>;
  /** The request failed in a way that a repetition may mend: the key is free again. */
  abandon(scope: string, key: string): Promise<void>;
  sweep(): Promise<void>;
}

export function createIdempotency(db: PrismaClient): Idempotency {
  return {
    async begin(scope, key, requestHash) {
      // Takes the key when it is new, expired, or held by a process that died (its lock ran out).
      const [taken] = await db.$queryRaw<unknown[]>`
        INSERT INTO idempotency_keys AS k (scope, key, request_hash, locked_until, expires_at)
        VALUES (${scope}, ${key}, ${requestHash}, now() + interval '2 minutes', now() + interval '24 hours')
        ON CONFLICT (scope, key) DO UPDATE
        SET request_hash = excluded.request_hash, locked_until = excluded.locked_until, expires_at = excluded.expires_at,
          status = NULL, headers = NULL, body = NULL, created_at = now()
        WHERE k.expires_at < now() OR (k.status IS NULL AND k.locked_until < now())
        RETURNING 1 AS taken`;
      if (taken !== undefined) return { outcome: "new" };
      const row = await db.idempotencyKey.findUnique({ where: { scope_key: { scope, key } } });
      // Abandoned between the two statements: whoever asks again gets it.
      if (row === null) return { outcome: "running" };
      if (row.request_hash !== requestHash) return { outcome: "conflict" };
      if (row.status === null) return { outcome: "running" };
      return {
        outcome: "replay",
        status: row.status,
        headers: (row.headers ?? {}) as Record<string, string>,
        body: row.body ?? "",
      };
    },
    async complete(scope, key, { status, headers, body }) {
      await db.idempotencyKey.updateMany({ where: { scope, key }, data: { status, headers, body } });
    },
    async abandon(scope, key) {
      await db.idempotencyKey.deleteMany({ where: { scope, key, status: null, headers: { equals: Prisma.DbNull } } });
    },
    async sweep() {
      await db.$executeRaw`DELETE FROM idempotency_keys WHERE expires_at < now()`;
    },
  };
}
