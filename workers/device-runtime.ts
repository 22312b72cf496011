/**
 * What a device process does with each message: runs one job at a time (batch) or many requests at once
 * (interactive) and answers in the words of protocol.ts. Apart from device.ts so that it knows nothing of
 * processes.
 */
import { rm } from "node:fs/promises";
import { totalmem } from "node:os";
import { setImmediate as turnOfTheLoop } from "node:timers/promises";
import { checkDevice, DeviceUnavailableError } from "../engine/runtime/session.ts";
import { openArtifactStore } from "../platform/artifacts/open.ts";
import type { ArtifactStore } from "../platform/artifacts/store.ts";
import { createLog } from "../platform/log.ts";
import { createOutbound, type Outbound } from "../platform/outbound.ts";
import { placeOf } from "../platform/outbound-addresses.ts";
import { createBlobs } from "./blobs.ts";
import { makeScratch, tidyCache } from "./cache-folder.ts";
import { createCalls } from "./calls.ts";
import { createCatalog } from "./catalog.ts";
import { describeFailure } from "./failure.ts";
import type { Interactive } from "./interactive.ts";
import { type HandlerSettings, type JobContext, type JobHandler, type Log, Stopped } from "./jobs/handler.ts";
import type { Capability, DeviceConfig, FromDevice, JobAssignment, JobOutcome, ToDevice } from "./protocol.ts";
import { createResidency, type Residency } from "./residency.ts";
import { runtimeName } from "./runtime-name.ts";

export interface Device {
  receive(message: ToDevice): void;
}

interface Runtime {
  readonly config: DeviceConfig;
  readonly log: Log;
  readonly residency: Residency;
  readonly store: ArtifactStore;
  readonly outbound: Outbound;
  readonly hubOutbound: Outbound;
  /** Null on a batch worker. */
  readonly interactive: Interactive | null;
  /** Empty on an interactive worker. */
  readonly handlers: Readonly<Record<string, JobHandler<never>>>;
  readonly capability: Capability;
}

export function createDevice(send: (message: FromDevice) => void): Device {
  const calls = createCalls(send);
  const running = new Map<string, AbortController>();
  let runtime: Runtime | null = null;

  return {
    receive(message) {
      switch (message.type) {
        case "start":
          start(message.config).then(
            (started) => {
              runtime = started;
              send({ type: "ready", capability: started.capability });
            },
            // Without a runtime there is nothing to serve: the supervisor reads the log and starts another.
            (error) => {
              if (error instanceof DeviceUnavailableError) send({ type: "unavailable", reason: error.message });
              process.exitCode = 1;
              process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`, () => process.exit(1));
            },
          );
          return;
        case "run_job":
          void runJob(message.job);
          return;
        case "stop_job":
          running.get(message.jobId)?.abort(message.reason);
          return;
        case "run_request":
          runtime?.interactive?.run(message.request);
          return;
        case "stop_request":
          runtime?.interactive?.stop(message.requestId);
          return;
        case "forget_model":
          runtime?.interactive?.forget(message.modelId);
          return;
        case "answer":
          calls.answered(message.call, message.value);
          return;
        case "refusal":
          calls.refused(message.call, message.failure);
      }
    },
  };

  async function start(config: DeviceConfig): Promise<Runtime> {
    await checkDevice(config.platform.DEVICE);
    await tidyCache(config.cacheFolder);
    const log = createLog({ level: config.platform.LOG_LEVEL, process: `device of ${config.workerId}` });
    const whenFull = config.class === "batch" ? "MEMORY_INSUFFICIENT" : "WORKER_UNAVAILABLE";
    const residency = createResidency(config.residentBytes, whenFull);
    const store = await openArtifactStore(config.platform);
    // Each class loads its own half of the code: a start is seconds of reading modules.
    const handlers = config.class === "batch" ? (await import("./jobs/table.ts")).jobHandlers : {};
    const interactive = config.class === "interactive" ? await startInteractive(config, residency, store) : null;
    const capability = {
      kinds: Object.keys(handlers),
      device: config.platform.DEVICE,
      threads: config.threads,
      memoryBytes: totalmem(),
      runtime: runtimeName(config.platform.DEVICE),
      ...(config.class === "batch" ? await trainingRates(config.threads) : {}),
    };
    const { OUTBOUND_ALLOW, HF_ENDPOINT } = config.platform;
    const outbound = createOutbound(OUTBOUND_ALLOW);
    // What the operator names as the hub may be inside, but no other request gets there by it.
    const hubOutbound = createOutbound([...OUTBOUND_ALLOW, placeOf(HF_ENDPOINT)]);
    return { config, log, residency, store, outbound, hubOutbound, handlers, interactive, capability };
  }

  /** Of the CPU, where the sparse part of a training runs on every device. */
  async function trainingRates(threads: number) {
    const { measureTrainingSpeed } = await import("../engine/sae/machine-speed.ts");
    const { flopsPerSecond, sparseFlopsPerSecond, updatesPerSecond } = await measureTrainingSpeed({ threads });
    return {
      flops_per_second: flopsPerSecond,
      sparse_flops_per_second: sparseFlopsPerSecond,
      updates_per_second: updatesPerSecond,
    };
  }

  async function startInteractive(config: DeviceConfig, residency: Residency, store: ArtifactStore) {
    const { createInteractive } = await import("./interactive.ts");
    const { stepDeadlineMs } = config;
    return createInteractive({ settings: settingsOf(config), stepDeadlineMs, residency, store, calls, send });
  }

  async function runJob(job: JobAssignment): Promise<void> {
    const abort = new AbortController();
    running.set(job.jobId, abort);
    send({ type: "step", deadlineMs: runtime!.config.stepDeadlineMs });
    // What fails around the handler (a full disk) fails the job as well, not the process.
    const outcome = await outcomeOf(job, abort.signal).catch(
      (error): JobOutcome => ({ type: "failed", failure: describeFailure(error), output: null }),
    );
    running.delete(job.jobId);
    send({ type: "step", deadlineMs: null });
    send({ type: "job_ended", jobId: job.jobId, outcome });
  }

  async function outcomeOf(job: JobAssignment, signal: AbortSignal): Promise<JobOutcome> {
    const { config, log, residency, store, outbound, hubOutbound, handlers } = runtime!;
    const scratch = await makeScratch(config.cacheFolder);
    const blobs = createBlobs(store, job.workspaceId);
    const secret: JobContext["secret"] = (name, url) =>
      calls.call("secret.reveal", { workspaceId: job.workspaceId, name, host: new URL(url).host });
    const context: JobContext = {
      workspaceId: job.workspaceId,
      jobId: job.jobId,
      blobs,
      catalog: createCatalog(calls, job.workspaceId),
      residency,
      measured: {
        find: (keys) => calls.call("measured.find", { workspaceId: job.workspaceId, keys }),
        keep: (measured) => calls.call("measured.keep", { workspaceId: job.workspaceId, measured }),
      },
      settings: settingsOf(config),
      log,
      outbound,
      secret,
      async hubAccess(tokenSecret) {
        const { HF_ENDPOINT: endpoint, HF_TOKEN } = config.platform;
        return { endpoint, token: tokenSecret ? await secret(tokenSecret, endpoint) : HF_TOKEN, outbound: hubOutbound };
      },
      signal,
      checkpoint: job.checkpoint,
      scratch,
      async step(deadlineMs = config.stepDeadlineMs) {
        send({ type: "step", deadlineMs });
        await turnOfTheLoop();
      },
      progress: (progress) => send({ type: "progress", jobId: job.jobId, progress }),
      event: (event, data) => send({ type: "job_event", jobId: job.jobId, event, data }),
      async saveCheckpoint(bytes, step, made = []) {
        const blob = await blobs.put(bytes);
        const checkpoint = { ...blob, step, blobs: made };
        await calls.call("job.checkpoint", { jobId: job.jobId, checkpoint });
        return checkpoint;
      },
    };
    try {
      const handler = handlers[job.kind];
      if (!handler) throw new Error(`this worker has no handler for ${job.kind}`);
      return { type: "succeeded", output: await handler(job.input as never, context) };
    } catch (error) {
      if (error instanceof Stopped) return { type: "stopped", reason: error.reason, output: error.output };
      return { type: "failed", failure: describeFailure(error), output: null };
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

export function settingsOf(config: DeviceConfig): HandlerSettings {
  return {
    device: config.platform.DEVICE,
    threads: config.threads,
    memoryBytes: config.residentBytes,
    maxBatch: config.maxBatch,
    cacheBytes: config.cacheBytes,
    modelRoots: config.platform.MODEL_ROOTS,
    cacheFolder: config.cacheFolder,
  };
}
