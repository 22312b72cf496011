/**
 * A worker: one supervisor in this process with one device process beside it, for one class of work. The supervisor
 * holds the database and the queue and never touches a tensor.
 */
import { readFileSync } from "node:fs";
import { availableParallelism, hostname, totalmem } from "node:os";
import { resolve } from "node:path";
import { newId } from "../domain/id.ts";
import type { Platform } from "../platform/platform.ts";
import { batchQueue, interactiveQueue } from "../platform/queue.ts";
import { createBatchWorker } from "./batch.ts";
import type { Capability, DeviceConfig } from "./protocol.ts";
import { createServingWorker } from "./serving.ts";

/** Requests that one interactive worker has admitted at a time; more wait in the queue, where others may take them. */
const ADMITTED_REQUESTS = 64;
/** How soon a model that was just registered is served. */
const LOOK_FOR_MODELS_MS = 1_000;
/** A row that is not renewed for 15 s counts as a worker that is gone. */
const BEAT_MS = 3_000;
const VERSION: string = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;

export interface Worker {
  readonly id: string;
  /** The process that computes; null while there is none (between a crash and the next piece of work). */
  devicePid(): number | null;
  /** Running jobs give way, running requests end; then the device ends. */
  stop(): Promise<void>;
}

export interface WorkerOptions {
  readonly class: "interactive" | "batch";
  /** Workers of this deployment on this machine, which share its memory. Default 1. */
  readonly neighbours?: number;
}

export async function createWorker(platform: Platform, options: WorkerOptions): Promise<Worker> {
  const config = deviceConfig(platform, options);
  const served = options.class === "batch" ? await startBatch(platform, config) : await startServing(platform, config);
  const memory = memoryBytes(platform, options);
  await platform.workers.register({
    id: config.workerId,
    class: config.class,
    device: platform.config.DEVICE,
    hostname: hostname(),
    pid: process.pid,
    version: VERSION,
    queues: served.queues(),
    capability: { ...served.capability, memory_bytes: memory, kinds: [...served.capability.kinds] },
  });
  let stopping = false;
  const beat = () =>
    platform.workers
      .beat(config.workerId, { queues: served.queues(), draining: stopping })
      .catch((error) => platform.log.warn({ err: error }, "the worker's row could not be renewed"));
  const timer = setInterval(beat, BEAT_MS);
  return {
    id: config.workerId,
    devicePid: served.devicePid,
    async stop() {
      if (stopping) return;
      stopping = true;
      await beat();
      await served.stop();
      clearInterval(timer);
      await platform.workers.remove(config.workerId);
    },
  };
}

interface Served {
  readonly capability: Capability;
  queues(): readonly string[];
  devicePid(): number | null;
  stop(): Promise<void>;
}

async function startBatch(platform: Platform, config: DeviceConfig): Promise<Served> {
  const worker = await createBatchWorker(platform, config);
  const queues = [batchQueue("any"), batchQueue(platform.config.DEVICE)];
  const consumer = await platform.queue.consume({ queues, concurrency: 1 }, (delivery) => worker.run(delivery));
  return {
    capability: worker.capability,
    queues: () => queues,
    devicePid: () => worker.devicePid(),
    async stop() {
      // Both at once: the consumer waits for the handler, and the handler for the job to give way.
      await Promise.all([consumer.stop(), worker.stop()]);
    },
  };
}

async function startServing(platform: Platform, config: DeviceConfig): Promise<Served> {
  const worker = await createServingWorker(platform, config);
  const queues = new Set<string>();
  const consumer = await platform.queue.consume({ queues: [], concurrency: ADMITTED_REQUESTS }, (delivery) =>
    worker.run(delivery),
  );
  let known: readonly string[] = [];
  const look = async () => {
    const models = await servedModels(platform);
    for (const id of known) if (!models.includes(id)) worker.forget(id);
    known = models;
    for (const id of models) {
      const queue = interactiveQueue(id);
      if (queues.has(queue)) continue;
      await consumer.add(queue);
      queues.add(queue);
      await platform.workers.beat(config.workerId, { queues: [...queues] });
    }
  };
  await look();
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look).catch((error) => platform.log.warn({ err: error }, "could not look for new models"));
  }, LOOK_FOR_MODELS_MS);
  return {
    capability: worker.capability,
    queues: () => [...queues],
    devicePid: () => worker.devicePid(),
    async stop() {
      clearInterval(timer);
      await looking;
      await Promise.all([consumer.stop(), worker.stop()]);
    },
  };
}

/** Every registered model, or those that the configuration names. */
async function servedModels(platform: Platform): Promise<string[]> {
  const wanted = [...platform.config.WORKER_MODELS];
  const where = wanted.length > 0 ? { OR: [{ id: { in: wanted } }, { name: { in: wanted } }] } : {};
  return (await platform.db.model.findMany({ where, select: { id: true } })).map((row) => row.id);
}

function memoryBytes(platform: Platform, { neighbours = 1 }: WorkerOptions): number {
  return platform.config.WORKER_MEMORY_BYTES || Math.floor(totalmem() / neighbours);
}

function deviceConfig(platform: Platform, options: WorkerOptions): DeviceConfig {
  const { config } = platform;
  return {
    workerId: newId("worker"),
    class: options.class,
    threads: config.THREADS || availableParallelism(),
    // The rest is for what a run allocates and for everybody else on the machine.
    residentBytes: Math.floor(memoryBytes(platform, options) / 2),
    cacheBytes: config.WORKER_CACHE_BYTES || Math.floor(memoryBytes(platform, options) / 8),
    maxBatch: config.WORKER_MAX_BATCH,
    stepDeadlineMs: config.STEP_DEADLINE_SECONDS * 1000,
    cacheFolder: resolve(config.DATA_DIR, "cache"),
    platform: config,
  };
}
