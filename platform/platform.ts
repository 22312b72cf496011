// Everything of the outside world that an API or a worker process holds, opened once and closed once.
import type { PrismaClient } from "../prisma/client/client.ts";
import { type Artifacts, createArtifacts } from "./artifacts/artifacts.ts";
import { openArtifactStore } from "./artifacts/open.ts";
import type { ArtifactStore } from "./artifacts/store.ts";
import { bootstrap } from "./bootstrap.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { ownersDatabaseUrl } from "./data-lock.ts";
import { createDatabase } from "./database.ts";
import { type FanOutJobs, withFanOut } from "./fan-out.ts";
import { createIdempotency, type Idempotency } from "./idempotency.ts";
import { createJobClaims } from "./job-claims.ts";
import { createJobs, type JobClaims } from "./jobs.ts";
import { createLog, type Logger } from "./log.ts";
import { startMaintenance } from "./maintenance.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { applyMigrations } from "./migrations.ts";
import { createNotifications, type Notifications } from "./notifications.ts";
import { createQueue, type Queue } from "./queue.ts";
import { createRateLimits, type RateLimits } from "./rate-limits.ts";
import { createRequests, type Requests } from "./requests.ts";
import { createSecrets, type Secrets } from "./secrets.ts";
import { createWorkerRegistry, type WorkerRegistry } from "./worker-registry.ts";

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
  readonly jobs: FanOutJobs;
  readonly claims: JobClaims;
  readonly requests: Requests;
  readonly idempotency: Idempotency;
  readonly rateLimits: RateLimits;
  readonly secrets: Secrets;
  readonly workers: WorkerRegistry;
  readonly metrics: Metrics;
  close(): Promise<void>;
}

export interface PlatformOptions {
  /** Names the process in logs and in the database's list of connections: api, worker-batch, … */
  readonly process: string;
  /**
   * `own`: without DATABASE_URL this process starts the embedded server and stops it at the end. `join`: it uses the
   * one that another process of this data folder runs. Default own.
   */
  readonly embedded?: "own" | "join" | undefined;
  /** Requeue lost jobs, end lost requests, collect garbage, supervise the queue. Any number of processes may. Default true. */
  readonly maintenance?: boolean | undefined;
  readonly log?: Logger | undefined;
  readonly clock?: Clock | undefined;
}

export async function createPlatform(config: Config, options: PlatformOptions): Promise<Platform> {
  const log = options.log ?? createLog({ level: config.LOG_LEVEL, process: options.process });
  const closers: (() => Promise<void> | void)[] = [];
  // Backwards, and all of them, so that a half-opened platform leaves neither a server nor a lock behind.
  const close = async () => {
    for (const closer of closers.splice(0).reverse())
      await Promise.resolve(closer()).catch((error: unknown) => log.error({ err: error }, "closing"));
  };
  const opened = <T>(value: T, closer: (value: T) => Promise<void> | void): T => {
    closers.push(() => closer(value));
    return value;
  };
  try {
    const maintenance = options.maintenance ?? true;
    const databaseUrl = config.DATABASE_URL ?? (await embeddedUrl(config, options.embedded ?? "own", log, opened));
    const applied = await applyMigrations(databaseUrl);
    if (applied.length > 0) log.info({ applied }, "the database was migrated");
    const metrics = createMetrics();
    const db = opened(
      createDatabase(databaseUrl, { poolSize: config.DATABASE_POOL_SIZE, process: options.process }),
      (client) => client.$disconnect(),
    );
    const notifications = opened(createNotifications(databaseUrl, log), (it) => it.close());
    const queue = opened(await createQueue(databaseUrl, { log, notifications, supervise: maintenance }), (it) =>
      it.close(),
    );
    const store = opened(await openArtifactStore(config), (it) => it.close());
    const parts = { db, queue, notifications, metrics, store };
    const requests = opened(createRequests({ ...parts, retentionMinutes: config.REQUEST_RETENTION_MINUTES }), (it) =>
      it.close(),
    );
    const platform: Platform = {
      config,
      log,
      clock: options.clock ?? systemClock,
      databaseUrl,
      ...parts,
      artifacts: createArtifacts(parts),
      ...withFanOut({ db, queue, jobs: createJobs(parts), claims: createJobClaims(parts) }),
      requests,
      idempotency: createIdempotency(db),
      rateLimits: createRateLimits(db),
      secrets: createSecrets(db, config),
      workers: createWorkerRegistry(db),
      close,
    };
    await bootstrap(db, config);
    if (maintenance) opened(startMaintenance(platform), (it) => it.stop());
    return platform;
  } catch (error) {
    await close();
    throw error;
  }
}

async function embeddedUrl(
  config: Config,
  mode: "own" | "join",
  log: Logger,
  opened: <T>(value: T, closer: (value: T) => Promise<void>) => T,
): Promise<string> {
  if (mode === "join") {
    const url = ownersDatabaseUrl(config.DATA_DIR);
    if (url !== null) return url;
    throw new Error(`No server runs on the data folder ${config.DATA_DIR}. Start the API first, or set DATABASE_URL.`);
  }
  // Imported only when needed: with DATABASE_URL no program of the embedded server has to be installed.
  const { startEmbeddedPostgres } = await import("./embedded-postgres.ts");
  return opened(await startEmbeddedPostgres(config.DATA_DIR, [], log), (server) => server.stop()).url;
}
