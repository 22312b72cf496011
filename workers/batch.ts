/**
 * The batch side of a supervisor: claims one job at a time, has the device run it, and writes what happens under
 * the claim's epoch. Which of the ends a job meets is decided here and nowhere else.
 */

import { type JobClaim, type Json, jobTopic, StaleEpoch } from "../platform/jobs.ts";
import type { Platform } from "../platform/platform.ts";
import { type Delivery, deliveryLimitSeconds } from "../platform/queue.ts";
import { finishJob } from "./commit.ts";
import { type DeviceExit, type DeviceLink, startDevice } from "./device-link.ts";
import { problemOf } from "./failure.ts";
import type {
  CheckpointPointer,
  DeviceConfig,
  FromDevice,
  JobAssignment,
  JobOutcome,
  Progress,
  StopReason,
} from "./protocol.ts";
import { readOnlyCalls } from "./rows.ts";

/** Between two renewals of a claim; the queue takes a claim for lost after 10 s without one. */
const HEARTBEAT_MS = 2_000;
/** After a change of the job's row. */
const LOOK_FOR_CANCEL_MS = 100;
/** Progress is written at most this often: a step may take a millisecond. */
const PROGRESS_MS = 500;
/** A job asked to give way has this long to reach its next checkpoint before its device is killed. */
const PREEMPT_GRACE_MS = 20_000;
/** The queue forgets a claim after a day; a job gives way an hour before that and goes on under a new one. */
const LONGEST_CLAIM_MS = (deliveryLimitSeconds - 3600) * 1000;

type JobMessage = Extract<FromDevice, { jobId: string }>;
type End = JobOutcome | { readonly type: "crashed"; readonly reason: string } | { readonly type: "stale" };

export interface BatchWorker {
  readonly capability: DeviceLink["capability"];
  devicePid(): number | null;
  /** Runs the delivered job to one of its ends. */
  run(delivery: Delivery): Promise<void>;
  /** The running job gives way to another worker; resolves when its device has ended. */
  stop(): Promise<void>;
}

export async function createBatchWorker(platform: Platform, config: DeviceConfig): Promise<BatchWorker> {
  const log = platform.log.child({ worker: config.workerId });
  let current: RunningJob | null = null;
  const stopping = new AbortController();
  let device: DeviceLink | null = await openDevice();
  const { capability } = device;

  async function openDevice(): Promise<DeviceLink> {
    let link: DeviceLink | null = null;
    link = await startDevice({
      config,
      // A start that outlives stop() would leave a child that keeps this process from ending.
      signal: stopping.signal,
      calls: {
        ...readOnlyCalls(platform),
        "job.checkpoint": async ({ jobId, checkpoint }) => {
          if (current?.claim.jobId !== jobId) throw new Error(`${jobId} is not running here`);
          await current.recordCheckpoint(checkpoint);
          return null;
        },
      },
      onMessage: (message) => {
        if ("jobId" in message && message.jobId === current?.claim.jobId) current.receive(message);
      },
      onExit: (exit) => {
        if (!exit.expected) log.warn({ code: exit.code, signal: exit.signal }, "the device process ended by itself");
        // One that was killed for a lost claim may end when its successor is at work already.
        if (link === null || device !== link) return;
        device = null;
        current?.lose(exit);
      },
    });
    if (stopping.signal.aborted) link.kill();
    stopping.signal.throwIfAborted();
    return link;
  }

  return {
    capability,
    devicePid: () => device?.pid ?? null,
    async run(delivery) {
      // Thrown and not returned, so that the delivery goes back to the queue: it is another worker's now.
      stopping.signal.throwIfAborted();
      // Before the claim: a claim lapses in 10 s without heartbeats, and a start may take seconds.
      device ??= await openDevice();
      const link = device;
      const claim = await platform.claims.claim(delivery, config.workerId);
      if (!claim) return;
      current = createRunningJob(platform, claim, link);
      if (stopping.signal.aborted) current.stop("preempt");
      // It died during the claim, when there was no job to lose.
      if (device !== link) current.lose({ code: null, signal: null, expected: false });
      try {
        await settle(platform, claim, await current.end());
      } catch (error) {
        // Another worker has the job now, or it was ended from outside: what we hold is worth nothing.
        if (!(error instanceof StaleEpoch)) throw error;
        log.warn({ job: claim.jobId, epoch: claim.epoch }, "lost the claim");
        link.kill();
        if (device === link) device = null;
      } finally {
        current = null;
      }
    },
    async stop() {
      stopping.abort();
      const running = current;
      if (running) {
        running.stop("preempt");
        const timer = setTimeout(() => device?.kill(), PREEMPT_GRACE_MS);
        await running.end();
        clearTimeout(timer);
      }
      await device?.stop();
    },
  };
}

interface RunningJob {
  readonly claim: JobClaim;
  receive(message: JobMessage): void;
  recordCheckpoint(checkpoint: CheckpointPointer): Promise<void>;
  stop(reason: StopReason): void;
  lose(exit: DeviceExit): void;
  /** Resolves once, after everything the device said before its end has been written. */
  end(): Promise<End>;
}

function createRunningJob(platform: Platform, claim: JobClaim, device: DeviceLink): RunningJob {
  const ended = Promise.withResolvers<End>();
  let stopReason: StopReason | null = null;
  let step = 0;
  let unwritten: Progress | null = null;
  let progressDueAt = 0;
  // One chain, so that events keep the order in which the device sent them.
  let writes: Promise<void> = Promise.resolve();
  const write = (work: () => Promise<unknown>) => {
    writes = writes.then(work).then(
      () => {},
      (error) => {
        if (error instanceof StaleEpoch) ended.resolve({ type: "stale" });
        else platform.log.error({ err: error, job: claim.jobId }, "a write of a running job failed");
      },
    );
    return writes;
  };
  const flushProgress = () => {
    const progress = unwritten;
    unwritten = null;
    if (progress) write(() => platform.claims.progress(claim, progress as unknown as Json, { step: Math.floor(step) }));
  };

  const timers = [setInterval(beat, HEARTBEAT_MS), setTimeout(() => stop("preempt"), LONGEST_CLAIM_MS)];
  function beat(): void {
    // A device that is stuck must not keep the claim; the kill comes back as a crash.
    if (!device.isAlive()) {
      device.kill();
      return;
    }
    flushProgress();
    renew();
  }
  function renew(): void {
    platform.claims.heartbeat(claim).then(
      ({ cancelRequested }) => {
        if (cancelRequested && stopReason !== "cancel") stop("cancel");
      },
      (error) => {
        if (error instanceof StaleEpoch) ended.resolve({ type: "stale" });
        else platform.log.warn({ err: error, job: claim.jobId }, "a heartbeat failed");
      },
    );
  }
  function stop(reason: StopReason): void {
    stopReason = reason;
    device.send({ type: "stop_job", jobId: claim.jobId, reason });
  }

  // A cancel is told like every other change of the job, most of which are our own: looked for soon, not at each.
  let look: NodeJS.Timeout | undefined;
  const unsubscribe = platform.notifications.subscribe(jobTopic(claim.jobId), () => {
    look ??= setTimeout(() => {
      look = undefined;
      if (device.isAlive()) renew();
    }, LOOK_FOR_CANCEL_MS);
  });
  device.send({ type: "run_job", job: assignmentOf(claim) });
  if (claim.job.cancel_requested_at) stop("cancel");

  return {
    claim,
    stop,
    receive(message) {
      switch (message.type) {
        case "progress":
          step = message.progress.done;
          unwritten = message.progress;
          if (platform.clock.now() < progressDueAt) return;
          progressDueAt = platform.clock.now() + PROGRESS_MS;
          flushProgress();
          return;
        case "job_event":
          write(() => platform.claims.appendEvent(claim, message.event, message.data as Json));
          return;
        case "job_ended":
          ended.resolve(message.outcome);
      }
    },
    async recordCheckpoint(checkpoint) {
      // The device goes on only when the commit is done, and hears of a lost claim at once.
      await writes;
      try {
        await platform.claims.recordCheckpoint(claim, checkpoint);
      } catch (error) {
        if (error instanceof StaleEpoch) ended.resolve({ type: "stale" });
        throw error;
      }
    },
    lose: (exit) => ended.resolve({ type: "crashed", reason: `device process ended: ${exit.signal ?? exit.code}` }),
    async end() {
      const end = await ended.promise;
      for (const timer of timers) clearTimeout(timer);
      unsubscribe();
      clearTimeout(look);
      flushProgress();
      await writes;
      // A device killed because it did not give way in time has not crashed.
      return end.type === "crashed" && stopReason === "preempt"
        ? { type: "stopped", reason: "preempt", output: null }
        : end;
    },
  };
}

function assignmentOf(claim: JobClaim): JobAssignment {
  const { job, checkpoint } = claim;
  return {
    jobId: job.id,
    workspaceId: job.workspace_id,
    kind: job.kind,
    input: job.input,
    checkpoint: checkpoint && {
      digest: checkpoint.digest,
      sizeBytes: Number(checkpoint.size_bytes),
      step: Number(checkpoint.step),
    },
  };
}

async function settle(platform: Platform, claim: JobClaim, end: End): Promise<void> {
  switch (end.type) {
    case "succeeded":
      return await finishJob(platform, claim, "succeeded", end.output, null);
    case "failed":
      if (end.failure.kind === "bug") {
        platform.log.error({ job: claim.jobId, error: end.failure }, "a job handler threw");
      }
      return await finishJob(platform, claim, "failed", end.output, problemOf(end.failure));
    case "stopped":
      if (end.reason === "cancel") return await finishJob(platform, claim, "canceled", end.output, null);
      await platform.claims.requeuePreempted(claim);
      return;
    case "crashed":
      await platform.claims.reportCrash(claim, end.reason);
      return;
    case "stale":
      throw new StaleEpoch(claim);
  }
}
