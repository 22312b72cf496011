// What has to happen now and then, in any number of processes at once: each step is safe to run beside itself.
import type { PrismaClient } from "../prisma/client/client.ts";
import type { Artifacts } from "./artifacts/artifacts.ts";
import type { ArtifactStore } from "./artifacts/store.ts";
import type { Idempotency } from "./idempotency.ts";
import { thinJobEvents } from "./job-events.ts";
import type { JobClaims } from "./jobs.ts";
import type { Logger } from "./log.ts";
import { forgetMeasured } from "./measured-features.ts";
import type { Metrics } from "./metrics.ts";
import type { RateLimits } from "./rate-limits.ts";
import type { Requests } from "./requests.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

interface Parts {
  readonly log: Logger;
  readonly db: PrismaClient;
  readonly claims: JobClaims;
  readonly requests: Requests;
  readonly idempotency: Idempotency;
  readonly rateLimits: RateLimits;
  readonly workers: WorkerRegistry;
  readonly artifacts: Artifacts;
  readonly store: ArtifactStore;
  readonly metrics: Metrics;
}

export interface Maintenance {
  stop(): Promise<void>;
}

const everyMs = { jobs: 5000, requests: 5000, tables: 60_000, blobs: 3_600_000, uploads: 3_600_000 };

export function startMaintenance(parts: Parts): Maintenance {
  const { log, db, claims, requests, idempotency, rateLimits, workers, artifacts, store, metrics } = parts;
  const steps: Record<keyof typeof everyMs, () => Promise<unknown>> = {
    async jobs() {
      const requeued = await claims.reconcile();
      if (requeued.length > 0) log.warn({ jobs: requeued }, "jobs without a delivery were queued again");
      const waiting = await db.job.groupBy({ by: ["queue"], where: { state: "queued" }, _count: true });
      metrics.queuedJobs.reset();
      for (const { queue, _count } of waiting) metrics.queuedJobs.set({ queue }, _count);
    },
    requests: () => requests.sweep(),
    tables: () => Promise.all([idempotency.sweep(), rateLimits.sweep(), workers.sweep(), thinJobEvents(db)]),
    async blobs() {
      await forgetMeasured(db);
      await artifacts.collect();
    },
    uploads: () => store.cleanUp(24 * 3_600_000),
  };
  const running = new Map<string, Promise<void>>();
  const timers = Object.entries(steps).map(([name, step]) => {
    const timer = setInterval(
      () => {
        if (running.has(name)) return;
        const run = step()
          .then(() => {})
          .catch((error: unknown) => log.error({ err: error, step: name }, "maintenance"))
          .finally(() => running.delete(name));
        running.set(name, run);
      },
      everyMs[name as keyof typeof everyMs],
    );
    timer.unref();
    return timer;
  });
  return {
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(running.values());
    },
  };
}
