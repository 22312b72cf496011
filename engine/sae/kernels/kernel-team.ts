// Threads that run one kernel together. They sleep between kernels; the calling thread works along and waits for the rest.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type Memory, type Module, WebAssembly } from "./webassembly.ts";

export interface KernelTeam {
  /** Makes the kernels of a module known to every thread under a number. */
  open(module: Module, memory: Readonly<Record<string, Memory>>): number;
  run(id: number, name: string, count: number, values: readonly number[]): void;
  release(ids: readonly number[]): void;
}

/** What a thread is sent; it looks for it when it is woken. */
export type TeamMessage =
  | {
      readonly open: {
        readonly id: number;
        readonly module: Module;
        readonly memory: Readonly<Record<string, Memory>>;
      };
    }
  | { readonly release: readonly number[] }
  | {
      readonly call: {
        readonly id: number;
        readonly name: string;
        readonly count: number;
        readonly values: readonly number[];
      };
    };

/** Places in the numbers that the threads share. */
export const shared = {
  /** Rises with every kernel: what sleeping threads wait for. */
  turn: 0,
  /** Threads that have not finished this turn. */
  busy: 1,
  /** The next part of the count that nobody has taken. */
  nextPart: 2,
  /** 1 once a kernel has failed in a thread. */
  failed: 3,
} as const;

/** Parts per thread that a count is cut into: a thread that is held up leaves its share to the others. */
const partsPerThread = 4;
/** A thread that has not finished a kernel by then has gone. */
const deadlineMs = 120_000;

export type Kernels = Readonly<Record<string, (...values: number[]) => void>>;

/** Works on parts of the count until none is left. */
export function takeParts(
  control: Int32Array,
  kernel: (...values: number[]) => void,
  count: number,
  threads: number,
  values: readonly number[],
): void {
  const parts = Math.min(count, threads * partsPerThread);
  for (
    let part = Atomics.add(control, shared.nextPart, 1);
    part < parts;
    part = Atomics.add(control, shared.nextPart, 1)
  ) {
    kernel(Math.floor((part * count) / parts), Math.floor(((part + 1) * count) / parts), ...values);
  }
}

const teams = new Map<number, KernelTeam>();

/** One team per number of threads and process, with threads that do not keep the process alive. */
export function kernelTeam(threads: number): KernelTeam {
  const size = threads > 0 ? threads : availableParallelism();
  const team = teams.get(size) ?? createTeam(size);
  teams.set(size, team);
  return team;
}

function createTeam(threads: number): KernelTeam {
  const control = new Int32Array(new SharedArrayBuffer(64));
  const open = new Map<number, Kernels>();
  let workers: readonly Worker[] = [];
  let lastId = 0;

  function start(): readonly Worker[] {
    if (workers.length > 0) return workers;
    const workerData = { control, threads };
    workers = Array.from(
      { length: threads - 1 },
      () => new Worker(new URL("./kernel-thread.ts", import.meta.url), { workerData }),
    );
    for (const worker of workers) worker.unref();
    return workers;
  }

  function send(message: TeamMessage): void {
    if (threads > 1) for (const worker of start()) worker.postMessage(message);
  }

  function wake(): void {
    Atomics.store(control, shared.nextPart, 0);
    Atomics.store(control, shared.busy, threads - 1);
    Atomics.add(control, shared.turn, 1);
    Atomics.notify(control, shared.turn);
  }

  function waitForAll(name: string): void {
    for (let busy = Atomics.load(control, shared.busy); busy > 0; busy = Atomics.load(control, shared.busy)) {
      if (Atomics.wait(control, shared.busy, busy, deadlineMs) === "timed-out") {
        throw new Error(`a thread has not finished ${name} within ${deadlineMs / 1000} s`);
      }
    }
    if (Atomics.load(control, shared.failed) !== 0) throw new Error(`${name} failed in a thread`);
  }

  return {
    open(module, memory) {
      const id = ++lastId;
      open.set(id, new WebAssembly.Instance(module, { memory }).exports);
      send({ open: { id, module, memory } });
      return id;
    },
    run(id, name, count, values) {
      const kernel = open.get(id)![name]!;
      if (threads === 1 || count === 1) return kernel(0, count, ...values);
      send({ call: { id, name, count, values } });
      wake();
      takeParts(control, kernel, count, threads, values);
      waitForAll(name);
    },
    release(ids) {
      for (const id of ids) open.delete(id);
      if (threads === 1 || workers.length === 0 || ids.length === 0) return;
      send({ release: ids });
      wake();
      waitForAll("release");
    },
  };
}
