// Everything of the outside world that an API or a worker process holds, opened once and closed once.
import type { Logger } from "pino";
import type { PrismaClient } from "../prisma/client/client.ts";
import type { ArtifactStore } from "./artifacts/store.ts";
import type { Artifacts } from "./artifacts/artifacts.ts";
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Idempotency } from "./idempotency.ts";
import type { JobClaims, Jobs } from "./jobs.ts";
import type { Metrics } from "./metrics.ts";
import type { Notifications } from "./notifications.ts";
import type { Queue } from "./queue.ts";
import type { RateLimits } from "./rate-limits.ts";
import type { Requests } from "./requests.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

export interface Platform {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly db: PrismaClient;
  /** The address that children (workers) get as DATABASE_URL. */
  readonly databaseUrl: string;
  readonly notifications: Notifications;
  readonly queue: Queue;
  readonly store: ArtifactStore;
  readonly artifacts: Artifacts;
  readonly jobs: Jobs;
  readonly claims: JobClaims;
  readonly requests: Requests;
  readonly idempotency: Idempotency;
  readonly rateLimits: RateLimits;
  readonly workers: WorkerRegistry;
  readonly metrics: Metrics;
  close(): Promise<void>;
}
