// Numbers that kernels and ONNX Runtime read in place: views of WebAssembly memories. A view is fed to a session without a copy.

import type { SaeTensors } from "../workspace.ts";
import { type Memory, WebAssembly } from "./webassembly.ts";

const pageBytes = 65_536;
/** What a 32-bit address can reach. */
const largestMemoryBytes = 65_536 * pageBytes;

interface ViewTypes {
  readonly float32: Float32Array;
  readonly float64: Float64Array;
  readonly int32: Int32Array;
  readonly uint8: Uint8Array;
  readonly int8: Int8Array;
}

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
} as const;

type Plan = Readonly<Record<string, readonly [keyof ViewTypes, number]>>;
type ViewsOf<P extends Plan> = { readonly [Name in keyof P]: ViewTypes[P[Name][0]] };
type AddressesOf<P extends Plan> = { readonly [Name in keyof P]: number };

export interface PlacedArrays<P extends Plan> {
  readonly memory: Memory;
  readonly view: ViewsOf<P>;
  /** Where each begins, in bytes. */
  readonly at: AddressesOf<P>;
}

/** Where each planned array begins, and how many bytes they take together. Throws RangeError above 4 GiB. */
function layOut(plan: Plan, lead: number): { addresses: Map<string, number>; bytes: number } {
  const addresses = new Map<string, number>();
  let bytes = lead;
  for (const [name, [type, length]] of Object.entries(plan)) {
    addresses.set(name, bytes);
    // Each begins on a cache line; the last vector of an array may be read past its end.
    bytes += (Math.ceil((length * constructors[type].BYTES_PER_ELEMENT) / 64) + 1) * 64;
  }
  if (bytes > largestMemoryBytes) {
    throw new RangeError(`${Object.keys(plan).join(" + ")} must fit into 4 GiB together, they take ${bytes} bytes`);
  }
  return { addresses, bytes };
}

/** A memory that holds the planned arrays (type and length of each) after `lead` bytes, all zero. Throws RangeError above 4 GiB. */
export function placeArrays<const P extends Plan>(plan: P, lead = 0): PlacedArrays<P> {
  const { addresses, bytes } = layOut(plan, lead);
  const pages = Math.max(1, Math.ceil(bytes / pageBytes));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const views = Object.entries(plan).map(([name, [type, length]]) => [
    name,
    new constructors[type](memory.buffer, addresses.get(name)!, length),
  ]);
  return {
    memory,
    view: Object.fromEntries(views) as ViewsOf<P>,
    at: Object.fromEntries(addresses) as AddressesOf<P>,
  };
}

/** Where each tensor of an sae begins in its memory, in bytes. */
export type TensorAddresses = Readonly<Record<keyof SaeTensors, number>>;

export type TensorRole = "weights" | "gradients" | "m" | "v";

/**
 * Bytes left free before the tensors of each role. Memories begin at multiples of 4 GiB, and a processor that guesses the way
 * of its cache from the middle bits of an address takes equal places in four of them for one: Adam over 16.7 M parameters
 * takes 135 ms without these, 12 ms with them (AMD Zen 4).
 */
export const leadBytes: Readonly<Record<TensorRole, number>> = { weights: 0, gradients: 4160, m: 8320, v: 12_480 };

const tensorMemories = new WeakMap<ArrayBufferLike, { readonly memory: Memory; readonly role: TensorRole }>();

const tensorPlan = (dModel: number, width: number) =>
  ({
    W_enc_FD: ["float32", width * dModel],
    W_dec_FD: ["float32", width * dModel],
    b_enc_F: ["float32", width],
    b_dec_D: ["float32", dModel],
  }) as const;

/** The same for all tensors of one role of these sizes; between roles they differ by their `leadBytes`. */
export function tensorAddresses(dModel: number, width: number, role: TensorRole): TensorAddresses {
  return Object.fromEntries(layOut(tensorPlan(dModel, width), leadBytes[role]).addresses) as TensorAddresses;
}

/** Parameters, gradients or moments of an sae, all zero, in a memory of their own. Throws RangeError above 4 GiB. */
export function zeroTensors(dModel: number, width: number, role: TensorRole): SaeTensors {
  const { memory, view } = placeArrays(tensorPlan(dModel, width), leadBytes[role]);
  tensorMemories.set(memory.buffer, { memory, role });
  return view;
}

export function copyTensors(tensors: SaeTensors, role: TensorRole): SaeTensors {
  const copy = zeroTensors(tensors.b_dec_D.length, tensors.b_enc_F.length, role);
  for (const name of Object.keys(copy) as (keyof SaeTensors)[]) copy[name].set(tensors[name]);
  return copy;
}

/** The memory of tensors that a kernel will change. Throws TypeError for others than `zeroTensors` or `copyTensors` made for that role. */
export function memoryOf(tensors: SaeTensors, role: TensorRole): Memory {
  const found = tensorMemories.get(tensors.W_enc_FD.buffer);
  if (found?.role === role) return found.memory;
  throw new TypeError(
    `${role} must be made by zeroTensors or copyTensors for that role, got ${found?.role ?? "others"}`,
  );
}

/** A memory from which kernels can read these weights: their own, or that of a copy. */
export function readableWeights(weights: SaeTensors): Memory {
  const found = tensorMemories.get(weights.W_enc_FD.buffer);
  return found?.role === "weights" ? found.memory : memoryOf(copyTensors(weights, "weights"), "weights");
}
