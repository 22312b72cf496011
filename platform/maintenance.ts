// What has to happen now and then, in any number of processes at once: each step is safe to run beside itself.
import type { Platform } from "./platform.ts";

export interface Maintenance {
  stop(): Promise<void>;
}

const everyMs = { jobs: 5000, requests: 5000, tables: 60_000, blobs: 3_600_000, uploads: 3_600_000 };

export function startMaintenance(platform: Omit<Platform, "close">): Maintenance {
  const { log, claims, requests, idempotency, rateLimits, workers, artifacts, store } = platform;
  const steps: Record<keyof typeof everyMs, () => Promise<unknown>> = {
    async jobs() {
      const requeued = await claims.reconcile();
      if (requeued.length > 0) log.warn({ jobs: requeued }, "jobs without a delivery were queued again");
    },
    requests: () => requests.sweep(),
    tables: () => Promise.all([idempotency.sweep(), rateLimits.sweep(), workers.sweep()]),
    blobs: () => artifacts.collect(),
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
