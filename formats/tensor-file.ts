// Tensor files whose sizes are known before their numbers: laid out first, then filled row by row in any order.

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename } from "node:path";
import { encodeSafetensorsHeader, openSafetensors, SafetensorsError } from "./safetensors.ts";
import { elementBytes, rowMajorStrides, type StoredFloat, type StoredTensor } from "./stored-tensor.ts";

export interface TensorSpec {
  readonly name: string;
  readonly dtype: StoredFloat;
  readonly shape: readonly number[];
}

/** A file in the making: nothing is under its path until `finish` has resolved. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  finish(): Promise<void>;
  /** Leaves nothing behind. */
  abandon(): Promise<void>;
}

export function bytesOfSpec({ dtype, shape }: TensorSpec): number {
  return shape.reduce((product, size) => product * size, 1) * elementBytes[dtype];
}

interface Layout {
  readonly sizeBytes: number;
  /** First byte of each spec's numbers. */
  readonly offsets: readonly number[];
  /** Writes all that is not numbers, once those are there. */
  complete(file: FileHandle): Promise<void>;
}

export async function createTensorFile(
  path: string,
  specs: readonly TensorSpec[],
  layout: Layout,
): Promise<TensorFile> {
  const partial = `${path}.${process.pid}.partial`;
  const file = await open(partial, "w+");
  const abandon = async () => {
    await file.close();
    await rm(partial, { force: true });
  };
  try {
    await file.truncate(layout.sizeBytes);
  } catch (error) {
    await abandon();
    throw error;
  }
  const tensors = new Map(
    specs.map(({ name, dtype, shape }, i) => {
      return [name, { file, dtype, shape, strides: rowMajorStrides(shape), offset: layout.offsets[i]! }];
    }),
  );
  return {
    tensors,
    abandon,
    async finish() {
      await layout.complete(file);
      await file.close();
      await rename(partial, path);
    },
  };
}

/** A safetensors file, tensors in the given order. */
export async function createSafetensorsFile(path: string, specs: readonly TensorSpec[]): Promise<TensorFile> {
  const header = encodeSafetensorsHeader(specs, {});
  const offsets: number[] = [];
  let sizeBytes = header.byteLength;
  for (const spec of specs) {
    offsets.push(sizeBytes);
    sizeBytes += bytesOfSpec(spec);
  }
  const complete = async (file: FileHandle) => {
    await file.write(header, 0, header.byteLength, 0);
  };
  return await createTensorFile(path, specs, { sizeBytes, offsets, complete });
}

/** A safetensors file open for reading row by row. */
export interface OpenSafetensors {
  has(name: string): boolean;
  /** Throws SafetensorsError when it is missing, has another shape or holds no floating-point numbers of 16 bits or more. */
  tensor(name: string, shape: readonly number[]): StoredTensor;
  close(): Promise<void>;
}

export async function openSafetensorsRows(path: string): Promise<OpenSafetensors> {
  const { tensors } = await openSafetensors(path);
  const file = await open(path, "r");
  const label = basename(path);
  return {
    has: (name) => tensors.has(name),
    tensor(name, shape) {
      const entry = tensors.get(name);
      if (!entry) throw new SafetensorsError(`tensor ${JSON.stringify(name)} is missing`);
      if (entry.shape.join() !== shape.join()) {
        const [wanted, found] = [shape.join(", "), entry.shape.join(", ")];
        throw new SafetensorsError(`${label}: tensor ${name} must be [${wanted}], got [${found}]`);
      }
      if (!Object.hasOwn(elementBytes, entry.dtype)) {
        throw new SafetensorsError(
          `${label}: tensor ${name} has dtype ${entry.dtype}; F64, F32, F16 or BF16 is needed`,
        );
      }
      const dtype = entry.dtype as StoredFloat;
      return { file, dtype, shape, strides: rowMajorStrides(shape), offset: entry.offset };
    },
    close: () => file.close(),
  };
}
