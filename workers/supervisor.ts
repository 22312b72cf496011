/**
 * A worker: one supervisor in this process with one device process beside it, for one class of work. The supervisor
 * holds the database and the queue and never touches a tensor.
 */
import { availableParallelism, hostname, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { newId } from "../domain/id.ts";
import type { Platform } from "../platform/platform.ts";
import { batchQueue, type Consumer, interactiveQueue } from "../platform/queue.ts";
import { createBatchWorker } from "./batch.ts";
import type { DeviceConfig } from "./protocol.ts";
import { createServingWorker } from "./serving.ts";

/** Requests that one interactive worker has admitted at a time; more wait in the queue, where others may take them. */
const ADMITTED_REQUESTS = 64;
/** Sequences generated in one step; more would slow every stream without more tokens in total on two cores. */
const MAX_BATCH = 16;
/** How soon a model that was just registered is served. */
const LOOK_FOR_MODELS_MS = 1_000;
const REGISTER_MS = 2_000;

export interface Worker {
  readonly id: string;
  /** Running jobs give way, running requests end; then the device ends. */
  stop(): Promise<void>;
}

export interface WorkerOptions {
  readonly class: "interactive" | "batch";
  /** Share of the machine when several workers live on it. */
  readonly threads?: number;
}

export async function createWorker(platform: Platform, options: WorkerOptions): Promise<Worker> {
  const config = deviceConfig(platform, options);
  return options.class === "batch" ? await startBatch(platform, config) : await startServing(platform, config);
}

function deviceConfig(platform: Platform, options: WorkerOptions): DeviceConfig {
  const { config } = platform;
  const memory = config.WORKER_MEMORY_BYTES || totalmem();
  return {
    workerId: newId("worker"),
    class: options.class,
    threads: options.threads ?? (config.THREADS || availableParallelism()),
    // The rest is for what a run allocates and for everybody else on the machine.
    residentBytes: Math.floor(memory / 2),
    maxBatch: MAX_BATCH,
    stepDeadlineMs: config.STEP_DEADLINE_SECONDS * 1000,
    cacheFolder: resolve(join(config.DATA_DIR, "cache")),
    platform: config,
  };
}
