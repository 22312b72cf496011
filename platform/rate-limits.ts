// Rate limits live in the database, so that they hold over all API processes. A leaky bucket whose whole state is the
// moment at which it is full again: one row, one statement, no window edges at which twice the limit slips through.
import type { PrismaClient } from "../prisma/client/client.ts";

export interface RateLimitResult {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Until the bucket is full again. */
  readonly resetSeconds: number;
  /** 0 when allowed. */
  readonly retryAfterSeconds: number;
}

export interface RateLimits {
  take(bucket: string, options: { limit: number; windowSeconds: number; cost?: number }): Promise<RateLimitResult>;
  sweep(): Promise<void>;
}

export function createRateLimits(db: PrismaClient): RateLimits {
  return {
    async take(bucket, { limit, windowSeconds, cost = 1 }) {
      const price = (cost * windowSeconds) / limit;
      // The update happens only when the bucket would not run dry; otherwise no row comes back.
      const [taken] = await db.$queryRaw<{ reset: number }[]>`
        INSERT INTO rate_limits AS b (bucket, full_at, updated_at)
        SELECT ${bucket}, now() + make_interval(secs => ${price}), now() WHERE ${price}::float8 <= ${windowSeconds}::float8
        ON CONFLICT (bucket) DO UPDATE
        SET full_at = greatest(b.full_at, now()) + make_interval(secs => ${price}), updated_at = now()
        WHERE greatest(b.full_at, now()) + make_interval(secs => ${price}) <= now() + make_interval(secs => ${windowSeconds})
        RETURNING extract(epoch FROM full_at - now())::float8 AS reset`;
      if (taken !== undefined) {
        const remaining = Math.max(0, Math.floor(((windowSeconds - taken.reset) * limit) / windowSeconds + 1e-6));
        return { allowed: true, limit, remaining, resetSeconds: Math.ceil(taken.reset), retryAfterSeconds: 0 };
      }
      const [row] = await db.$queryRaw<{ reset: number }[]>`
        SELECT greatest(0, extract(epoch FROM full_at - now()))::float8 AS reset FROM rate_limits WHERE bucket = ${bucket}`;
      const reset = row?.reset ?? 0;
      const wait = Math.max(0, reset + price - windowSeconds);
      const remaining = Math.max(0, Math.floor(((windowSeconds - reset) * limit) / windowSeconds));
      return {
        allowed: false,
        limit,
        remaining,
        resetSeconds: Math.ceil(reset),
        retryAfterSeconds: Math.max(1, Math.ceil(wait)),
      };
    },
    async sweep() {
      await db.$executeRaw`DELETE FROM rate_limits WHERE full_at < now()`;
    },
  };
}
