// Kernels assembled together, and run on the memories that they are given.

import { assemble, type KernelSource } from "./assembler.ts";
import { type KernelTeam, kernelTeam } from "./kernel-team.ts";
import { type Memory, WebAssembly } from "./webassembly.ts";

/** Runs a kernel over 0 … count − 1 of what it works on (rows, features, parts), with its further arguments. */
export type RunKernel = (name: string, count: number, ...values: number[]) => void;

export interface KernelSet {
  /** The kernels on these memories, in the order in which the set was assembled for them. */
  on(...memories: readonly Memory[]): RunKernel;
  /** Lets go of the memories, which other threads hold on to. */
  close(): void;
}

/** `threads` 0: one per core. Every item of a count is worked on by one thread, so their number changes no bit. */
export function createKernelSet(
  memoryNames: readonly string[],
  kernels: readonly KernelSource[],
  threads: number,
): KernelSet {
  const bytes = assemble(
    memoryNames.map((name) => ({ name, shared: true })),
    kernels,
  );
  const module = new WebAssembly.Module(bytes);
  const team: KernelTeam = kernelTeam(threads);
  const opened: number[] = [];
  return {
    on(...memories) {
      const memory = Object.fromEntries(memoryNames.map((name, i) => [name, memories[i]!]));
      const id = team.open(module, memory);
      opened.push(id);
      return (name, count, ...values) => team.run(id, name, count, values);
    },
    close: () => team.release(opened.splice(0)),
  };
}
