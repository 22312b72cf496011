// Kernels assembled together, and run on the memories that they are given.

import { assemble, type KernelSource } from "./assembler.ts";
import { type Memory, WebAssembly } from "./webassembly.ts";

/** Runs a kernel over 0 … count − 1 of what it works on (rows, features, parts), with its further arguments. */
export type RunKernel = (name: string, count: number, ...values: number[]) => void;

export interface KernelSet {
  /** The kernels on these memories, in the order in which the set was assembled for them. */
  on(...memories: readonly Memory[]): RunKernel;
}

export function createKernelSet(
  memoryNames: readonly string[],
  kernels: readonly KernelSource[],
  _threads: number,
): KernelSet {
  const module = new WebAssembly.Module(
    assemble(
      memoryNames.map((name) => ({ name, shared: true })),
      kernels,
    ),
  );
  return {
    on(...memories) {
      const memory = Object.fromEntries(memoryNames.map((name, i) => [name, memories[i]!]));
      const { exports } = new WebAssembly.Instance(module, { memory });
      return (name, count, ...values) => exports[name]!(0, count, ...values);
    },
  };
}
