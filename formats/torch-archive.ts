// PyTorch's .pt files, read without Python: a zip archive of stored entries, one of which (data.pkl) is a pickle that
// names tensors in the others. Only dictionaries of tensors and plain values are read.

import { type FileHandle, open } from "node:fs/promises";
import {
  DEFAULT_PICKLE_LIMITS,
  PickleDict,
  PickleError,
  PickleGlobal,
  type PickleValue,
  readPickle,
} from "./pickle.ts";
import { rowMajorStrides, type StoredFloat, type StoredTensor } from "./stored-tensor.ts";
import { readZipDirectory, type ZipEntry, ZipError } from "./zip-archive.ts";

export type TorchDType = StoredFloat | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/** A tensor of a file, as a view of its storage. */
export interface TorchTensor {
  readonly name: string;
  readonly dtype: TorchDType;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  /** Position of element 0 in the file, in bytes. */
  readonly offset: number;
}

export interface TorchArchive {
  readonly file: FileHandle;
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Entries of the dictionary that are not tensors. */
  readonly plain: ReadonlyMap<string, PickleValue>;
  close(): Promise<void>;
}

/** The file is not one that may be read; the message says which part of it, and where. */
export class TorchArchiveError extends Error {
  override readonly name = "TorchArchiveError";
}

const storages: Readonly<Record<string, { readonly dtype: TorchDType; readonly bytes: number }>> = {
  "torch.DoubleStorage": { dtype: "F64", bytes: 8 },
  "torch.FloatStorage": { dtype: "F32", bytes: 4 },
  "torch.HalfStorage": { dtype: "F16", bytes: 2 },
  "torch.BFloat16Storage": { dtype: "BF16", bytes: 2 },
  "torch.LongStorage": { dtype: "I64", bytes: 8 },
  "torch.IntStorage": { dtype: "I32", bytes: 4 },
  "torch.ShortStorage": { dtype: "I16", bytes: 2 },
  "torch.CharStorage": { dtype: "I8", bytes: 1 },
  "torch.ByteStorage": { dtype: "U8", bytes: 1 },
  "torch.BoolStorage": { dtype: "BOOL", bytes: 1 },
};

const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const ORDERED_DICT = "collections.OrderedDict";
const callable = new Set([REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT]);

const MAX_RANK = 8;

/**
 * Opens a file that `torch.save` wrote from a dictionary of tensors; the numbers stay on disk. Parameters, views with any
 * offset and strides, and an `OrderedDict` are read; any other class, and the format from before torch 1.6, is refused.
 * Nothing that the file says is executed.
 *
 * @throws TorchArchiveError
 */
export async function openTorchArchive(path: string): Promise<TorchArchive> {
  const file = await open(path, "r");
  try {
    return { file, ...(await read(file)), close: () => file.close() };
  } catch (error) {
    await file.close();
    if (error instanceof ZipError || error instanceof PickleError) {
      throw new TorchArchiveError(error.message, { cause: error });
    }
    throw error;
  }
}

async function read(file: FileHandle): Promise<Pick<TorchArchive, "tensors" | "plain">> {
  await refuseOtherFormats(file);
  const entries = await readZipDirectory(file);
  const prefix = prefixOf(entries);
  await expectLittleEndian(file, entries.get(`${prefix}byteorder`));
  const pickle = entries.get(`${prefix}data.pkl`)!;
  if (pickle.sizeBytes > DEFAULT_PICKLE_LIMITS.bytes) {
    throw new TorchArchiveError(
      `data.pkl has ${pickle.sizeBytes} bytes; at most ${DEFAULT_PICKLE_LIMITS.bytes} are read`,
    );
  }
  const value = readPickle(await bytesOf(file, pickle), {
    knows: (name) => callable.has(name) || Object.hasOwn(storages, name),
    call,
    persistent: (id) => storageOf(id, (key) => entries.get(`${prefix}data/${key}`)),
  });
  if (!(value instanceof PickleDict)) throw new TorchArchiveError("the file holds no dictionary of tensors");
  const tensors = new Map<string, TorchTensor>();
  const plain = new Map<string, PickleValue>();
  for (const [key, item] of value) {
    const name = String(key);
    if (item instanceof View) tensors.set(name, { name, ...item.facts });
    else plain.set(name, item);
  }
  return { tensors, plain };
}

async function refuseOtherFormats(file: FileHandle): Promise<void> {
  const head = new Uint8Array(4);
  await file.read(head, 0, 4, 0);
  // PROTO, version, LONG1 of 10 bytes: the magic number that starts a file of the old format.
  if (head[0] === 0x80 && head[2] === 0x8a && head[3] === 0x0a) {
    throw new TorchArchiveError(
      "the file has torch's format from before version 1.6, which is not read: load it with torch and save it again",
    );
  }
}

function prefixOf(entries: ReadonlyMap<string, ZipEntry>): string {
  const found = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (found.length !== 1) {
    throw new TorchArchiveError(`the archive has ${found.length} entries named */data.pkl, one is needed`);
  }
  const prefix = found[0]!.slice(0, -"data.pkl".length);
  if (entries.has(`${prefix}constants.pkl`)) {
    throw new TorchArchiveError("the file is a TorchScript program, not a dictionary of tensors");
  }
  return prefix;
}

async function expectLittleEndian(file: FileHandle, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = entry.sizeBytes <= 16 ? new TextDecoder().decode(await bytesOf(file, entry)) : "unknown";
  if (order !== "little") throw new TorchArchiveError(`the numbers are in ${order} byte order, little is read`);
}

async function bytesOf(file: FileHandle, { offset, sizeBytes }: ZipEntry): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  const { bytesRead } = await file.read(bytes, 0, sizeBytes, offset);
  if (bytesRead < sizeBytes) throw new TorchArchiveError(`the file ends at byte ${offset + bytesRead}`);
  return bytes;
}

class Storage {
  readonly dtype: TorchDType;
  readonly bytes: number;
  readonly elements: number;
  readonly offset: number;
  constructor(dtype: TorchDType, bytes: number, elements: number, offset: number) {
    this.dtype = dtype;
    this.bytes = bytes;
    this.elements = elements;
    this.offset = offset;
  }
}

class View {
  readonly facts: Omit<TorchTensor, "name">;
  constructor(facts: Omit<TorchTensor, "name">) {
    this.facts = facts;
  }
}

/** ("storage", its class, the entry's name, the device it was on, its elements) */
function storageOf(id: PickleValue, entryOf: (key: string) => ZipEntry | undefined): Storage {
  const [word, type, key, , elements] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
  const facts = type instanceof PickleGlobal ? storages[type.name] : undefined;
  if (word !== "storage" || !facts || typeof key !== "string" || !isSize(elements)) {
    throw new PickleError("a persistent id that is not a storage");
  }
  const entry = /^\w{1,64}$/.test(key) ? entryOf(key) : undefined;
  if (!entry) throw new PickleError(`the storage ${JSON.stringify(key.slice(0, 80))} is not in the archive`);
  if (entry.sizeBytes !== elements * facts.bytes) {
    const needs = `${elements} numbers of ${facts.dtype} need ${elements * facts.bytes} bytes`;
    throw new PickleError(`the storage ${key} has ${entry.sizeBytes} bytes, its ${needs}`);
  }
  return new Storage(facts.dtype, facts.bytes, elements, entry.offset);
}

function call(name: string, args: readonly PickleValue[]): PickleValue {
  if (name === REBUILD_TENSOR) return viewOf(args);
  if (name === REBUILD_PARAMETER) {
    const [data, , hooks] = args;
    if (args.length !== 3 || !(data instanceof View) || !isEmptyDict(hooks)) {
      throw new PickleError("a parameter that is not one tensor without hooks");
    }
    return data;
  }
  if (name === ORDERED_DICT && args.length === 0) return new PickleDict();
  throw new PickleError(`a call of ${name} with ${args.length} arguments is not read`);
}

function viewOf(args: readonly PickleValue[]): View {
  const [storage, offset, shape, strides, , hooks] = args;
  if (args.length !== 6 || !(storage instanceof Storage) || !isSize(offset) || !isEmptyDict(hooks)) {
    throw new PickleError("a tensor that is not one storage, offset, size and stride without hooks or further notes");
  }
  if (!isSizes(shape) || !isSizes(strides) || shape.length !== strides.length || shape.length > MAX_RANK) {
    throw new PickleError(`a tensor whose size and stride are not up to ${MAX_RANK} numbers each`);
  }
  const isEmpty = shape.includes(0);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
  if (isEmpty ? offset > storage.elements : last >= storage.elements) {
    const reach = `offset ${offset}, size [${shape.join(", ")}], stride [${strides.join(", ")}]`;
    throw new PickleError(`a tensor (${reach}) that reaches beyond its storage of ${storage.elements} numbers`);
  }
  // A file of some bytes could otherwise claim a matrix of any size by a stride of 0.
  const claimed = shape.reduce((product, size) => product * size, 1);
  if (claimed > Math.max(1, storage.elements)) {
    throw new PickleError(`a tensor of ${claimed} numbers in a storage of ${storage.elements}`);
  }
  return new View({ dtype: storage.dtype, shape, strides, offset: storage.offset + offset * storage.bytes });
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && (value as readonly PickleValue[]).every(isSize);
}

function isEmptyDict(value: PickleValue | undefined): boolean {
  return value instanceof PickleDict && value.size === 0;
}

const floats: ReadonlySet<TorchDType> = new Set(["F64", "F32", "F16", "BF16"]);

/** The floating-point tensor `name` of the archive, ready to be read row by row. @throws TorchArchiveError */
export function floatTensor(archive: TorchArchive, name: string): StoredTensor {
  const tensor = archive.tensors.get(name);
  if (!tensor) throw new TorchArchiveError(`tensor ${JSON.stringify(name)} is missing`);
  if (!floats.has(tensor.dtype)) {
    throw new TorchArchiveError(
      `tensor ${JSON.stringify(name)} has dtype ${tensor.dtype}; F64, F32, F16 or BF16 is needed`,
    );
  }
  const { dtype, shape, strides, offset } = tensor;
  // torch leaves any stride on an axis of one element; ours are those of a plain array there.
  const plain = rowMajorStrides(shape);
  const used = strides.map((stride, axis) => (shape[axis] === 1 ? plain[axis]! : stride));
  return { file: archive.file, dtype: dtype as StoredFloat, offset, shape, strides: used };
}
