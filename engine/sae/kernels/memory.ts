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
function layOut(plan: Plan): { addresses: Map<string, number>; bytes: number } {
  const addresses = new Map<string, number>();
  let bytes = 0;
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

/** A memory that holds the planned arrays (type and length of each), all zero. Throws RangeError above 4 GiB. */
export function placeArrays<const P extends Plan>(plan: P): PlacedArrays<P> {
  const { addresses, bytes } = layOut(plan);
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

const tensorMemories = new WeakMap<ArrayBufferLike, Memory>();

const tensorPlan = (dModel: number, width: number) =>
  ({
    W_enc_FD: ["float32", width * dModel],
    W_dec_FD: ["float32", width * dModel],
    b_enc_F: ["float32", width],
    b_dec_D: ["float32", dModel],
  }) as const;

/** The same for every sae of these sizes. */
export function tensorAddresses(dModel: number, width: number): TensorAddresses {
  return Object.fromEntries(layOut(tensorPlan(dModel, width)).addresses) as TensorAddresses;
}

/** Parameters, gradients or moments of an sae, all zero, in a memory of their own. Throws RangeError above 4 GiB. */
export function zeroTensors(dModel: number, width: number): SaeTensors {
  const { memory, view } = placeArrays(tensorPlan(dModel, width));
  tensorMemories.set(memory.buffer, memory);
  return view;
}

export function copyTensors(tensors: SaeTensors): SaeTensors {
  const copy = zeroTensors(tensors.b_dec_D.length, tensors.b_enc_F.length);
  for (const name of Object.keys(copy) as (keyof SaeTensors)[]) copy[name].set(tensors[name]);
  return copy;
}

/** The memory of tensors made by `zeroTensors` or `copyTensors`; of others, that of a copy. */
export function memoryOf(tensors: SaeTensors): Memory {
  return tensorMemories.get(tensors.W_enc_FD.buffer) ?? memoryOf(copyTensors(tensors));
}
