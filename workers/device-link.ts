/**
 * The supervisor's end of the link to one device process: starts it, speaks the protocol, knows whether it is
 * alive, kills it. A device that dies is started again by whoever holds the link, after telling what it lost.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isProblem } from "../domain/problem.ts";
import { StaleEpoch } from "../platform/jobs.ts";
import { describeFailure } from "./failure.ts";
import type { Capability, DeviceConfig, FromDevice, SupervisorCalls, ToDevice } from "./protocol.ts";

/** Loading the engine: 1–3 s warm, a minute on a cold disk or a machine with ten times more work than cores. */
const START_DEADLINE_MS = 300_000;
/** How long a call is tried again while the database cannot be reached, doubling from the first pause. */
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 4_000;

export type CallHandlers = {
  [Method in keyof SupervisorCalls]: (params: SupervisorCalls[Method]["params"]) => Promise<unknown>;
};

export interface DeviceLinkOptions {
  readonly config: DeviceConfig;
  readonly calls: CallHandlers;
  readonly onMessage: (message: Exclude<FromDevice, { type: "call" | "ready" | "unavailable" | "step" }>) => void;
  readonly onExit: (exit: DeviceExit) => void;
  /** Milliseconds that never go back; passed in so that tests own the time. */
  readonly now?: () => number;
  /** Ends a start that nobody waits for any more: the process is killed and the start fails. */
  readonly signal?: AbortSignal;
}

export interface DeviceExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** True when stop() asked for it. */
  readonly expected: boolean;
}

/** A person has to install something, or to choose another device; starting again does not help. */
export class DeviceUnavailable extends Error {
  override readonly name = "DeviceUnavailable";
}

export interface DeviceLink {
  readonly pid: number;
  readonly capability: Capability;
  send(message: ToDevice): void;
  /** False once a promised step is overdue, or the process is gone. */
  isAlive(): boolean;
  kill(): void;
  /** Asks the process to end by closing the channel, and kills it when it does not. */
  stop(graceMs?: number): Promise<void>;
}

export async function startDevice(options: DeviceLinkOptions): Promise<DeviceLink> {
  const now = options.now ?? (() => performance.now());
  const tsx = createRequire(import.meta.url).resolve("tsx");
  const child: ChildProcess = fork(fileURLToPath(new URL("./device.ts", import.meta.url)), [], {
    execArgv: ["--import", tsx],
    serialization: "advanced",
    // Its own log lines go where the supervisor's go; it reads nothing.
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  let dueAt: number | null = null;
  let expected = false;
  let gone = false;
  const ended = new Promise<void>((resolve) => {
    // "exit" says the process is gone; only then has the last message of the channel been read or lost.
    child.once("exit", (code, signal) => {
      gone = true;
      resolve();
      options.onExit({ code, signal, expected });
    });
  });
  // A write to a dying child fails asynchronously; its exit tells the story.
  child.on("error", () => {});

  const send = (message: ToDevice) => {
    // Work that is never even taken up is overdue like a step that does not end.
    if (message.type === "run_job" || message.type === "run_request") dueAt ??= now() + options.config.stepDeadlineMs;
    if (!gone && child.connected) child.send(message, () => {});
  };

  const kill = () => {
    if (!gone) child.kill("SIGKILL");
  };
  const tooLate = setTimeout(kill, START_DEADLINE_MS);
  options.signal?.addEventListener("abort", kill);
  if (options.signal?.aborted) kill();
  const capability = await new Promise<Capability>((resolve, reject) => {
    child.once("exit", (code, signal) => reject(new Error(`device process ended at its start (${signal ?? code})`)));
    child.on("message", (raw) => {
      const message = raw as FromDevice;
      switch (message.type) {
        case "ready":
          resolve(message.capability);
          return;
        case "unavailable":
          reject(new DeviceUnavailable(message.reason));
          return;
        case "step":
          dueAt = message.deadlineMs === null ? null : now() + message.deadlineMs;
          return;
        case "call":
          answer(message.call, message.method, message.params);
          return;
        default:
          options.onMessage(message);
      }
    });
    send({ type: "start", config: options.config });
  }).finally(() => {
    clearTimeout(tooLate);
    options.signal?.removeEventListener("abort", kill);
  });

  function answer(call: number, method: string, params: unknown): void {
    const handler = options.calls[method as keyof SupervisorCalls] as
      | ((params: unknown) => Promise<unknown>)
      | undefined;
    const work = handler ? persevere(() => handler(params)) : Promise.reject(new Error(`no call named ${method}`));
    work.then(
      (value) => send({ type: "answer", call, value }),
      (error) => send({ type: "refusal", call, failure: describeFailure(error) }),
    );
  }

  return {
    pid: child.pid ?? -1,
    capability,
    send,
    isAlive: () => !gone && (dueAt === null || now() <= dueAt),
    kill,
    async stop(graceMs = 5_000) {
      expected = true;
      if (gone) return;
      if (child.connected) child.disconnect();
      const timer = setTimeout(kill, graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** A database that restarts is back in seconds: a job that has run for hours does not end over a call in between. */
async function persevere<T>(work: () => Promise<T>): Promise<T> {
  for (let waitMs = FIRST_PAUSE_MS; ; waitMs *= 2) {
    try {
      return await work();
    } catch (error) {
      if (isProblem(error) || error instanceof StaleEpoch || waitMs > LAST_PAUSE_MS) throw error;
      await pause(waitMs);
    }
  }
}
