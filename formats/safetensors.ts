import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { bfloat16ToFloat32, float16ToFloat32 } from "./half-float.ts";

/**
 * Bits per element of every element type of the format. A header with any of them is read, because a file may hold tensors that
 * nobody asks for; who needs a tensor refuses the types that it cannot take.
 */
const elementBits = {
  ...{ C64: 64, F64: 64, F32: 32, F16: 16, BF16: 16 },
  ...{ F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4 },
  ...{ I64: 64, I32: 32, I16: 16, I8: 8, U64: 64, U32: 32, U16: 16, U8: 8, BOOL: 8 },
} as const;

export type SafetensorsDType = keyof typeof elementBits;

/** Not whole when the elements of a type below 8 bits do not fill their last byte, which the format forbids. */
function bytesNeeded(dtype: SafetensorsDType, shape: readonly number[]): number {
  return (shape.reduce((product, size) => product * size, 1) * elementBits[dtype]) / 8;
}

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** Position of the first byte, counted from the start of the file. */
  readonly offset: number;
  readonly lengthBytes: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** Bytes before the first tensor: the length word and the JSON. */
  readonly dataOffset: number;
}

export interface SafetensorsFile extends SafetensorsHeader {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface NamedTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** The file is not a safetensors file that may be read; the message names the tensor and the fault. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
}

/** The limit of the format's own library: a longer header is an attack or a mistake. */
const maxHeaderBytes = 100_000_000;

/**
 * Checks the header of a safetensors file: every tensor lies inside the file, has as many bytes as its shape says, and the
 * tensors cover the data without overlap or gap. `start` holds at least the first 8 + header bytes of the file.
 *
 * @throws SafetensorsError
 */
export function parseSafetensorsHeader(start: Uint8Array, fileBytes: number): SafetensorsHeader {
  const headerBytes = headerLength(start, fileBytes);
  if (start.byteLength < 8 + headerBytes)
    throw new RangeError(`the header needs ${8 + headerBytes} bytes, ${start.byteLength} given`);
  const text = decodeHeader(start.subarray(8, 8 + headerBytes));
  const twice = duplicateKey(text);
  if (twice !== null) throw new SafetensorsError(`the header names ${JSON.stringify(twice)} twice`);
  const json = parseObject(text);
  const dataOffset = 8 + headerBytes;
  const tensors = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") metadata = parseMetadata(value);
    else tensors.set(name, parseEntry(name, value, dataOffset, fileBytes));
  }
  checkCover([...tensors.values()], dataOffset, fileBytes);
  return { metadata, tensors, dataOffset };
}

/** Length of the JSON header from the first 8 bytes, checked against the file and the limit. */
function headerLength(start: Uint8Array, fileBytes: number): number {
  if (fileBytes < 8 || start.byteLength < 8)
    throw new SafetensorsError(`the file has ${fileBytes} bytes; a header needs at least 8`);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw new SafetensorsError(`the header claims ${length} bytes; at most ${maxHeaderBytes} are read`);
  if (length + 8n > BigInt(fileBytes))
    throw new SafetensorsError(`the header claims ${length} bytes but the file has ${fileBytes}`);
  return Number(length);
}

function decodeHeader(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SafetensorsError("the header is not UTF-8");
  }
}

function parseObject(text: string): Record<string, unknown> {
  if (!text.startsWith("{")) throw new SafetensorsError("the header does not start with a JSON object");
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new SafetensorsError(`the header is not JSON: ${(error as Error).message}`);
  }
}

/**
 * The first key that an object of the text names twice, or null. JSON.parse silently keeps the last, so two readers
 * could see two different tensors under one name.
 */
function duplicateKey(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]]/gs;
  for (const match of text.matchAll(token)) {
    const piece = match[0];
    if (piece === "{") open.push(new Set());
    else if (piece === "[") open.push(null);
    else if (piece === "}" || piece === "]") open.pop();
    else {
      const keys = open.at(-1);
      if (!keys || !/^\s*:/.test(text.slice(match.index + piece.length, match.index + piece.length + 64))) continue;
      const key = unquote(piece);
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return null;
}

function unquote(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal;
  }
}

function parseMetadata(value: unknown): Record<string, string> {
  const fault = new SafetensorsError("__metadata__ is not an object of strings");
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw fault;
  for (const item of Object.values(value)) if (typeof item !== "string") throw fault;
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, dataOffset: number, fileBytes: number): SafetensorsEntry {
  const fault = (what: string) => new SafetensorsError(`tensor ${JSON.stringify(name)}: ${what}`);
  if (typeof value !== "object" || value === null) throw fault("its entry is not an object");
  const { dtype, shape, data_offsets: span } = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (typeof dtype !== "string" || !Object.hasOwn(elementBits, dtype)) {
    throw fault(`unknown dtype ${JSON.stringify(dtype)}; known are ${Object.keys(elementBits).join(", ")}`);
  }
  if (!isSizes(shape)) throw fault("its shape is not a list of non-negative integers");
  if (!isSizes(span) || span.length !== 2) throw fault("its data_offsets are not two non-negative integers");
  const [begin, end] = span as [number, number];
  if (begin > end) throw fault(`data_offsets [${begin}, ${end}] run backwards`);
  if (dataOffset + end > fileBytes) throw fault(`ends at byte ${dataOffset + end} of a file of ${fileBytes}`);
  const expected = bytesNeeded(dtype as SafetensorsDType, shape);
  if (expected !== end - begin)
    throw fault(`shape [${shape.join(", ")}] of ${dtype} needs ${expected} bytes, data_offsets give ${end - begin}`);
  return { name, dtype: dtype as SafetensorsDType, shape, offset: dataOffset + begin, lengthBytes: end - begin };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Overlaps make one tensor's bytes another's; gaps can hide a second file. The format forbids both. */
function checkCover(entries: SafetensorsEntry[], dataOffset: number, fileBytes: number): void {
  entries.sort((a, b) => a.offset - b.offset || a.lengthBytes - b.lengthBytes);
  let end = dataOffset;
  for (const entry of entries) {
    const fault = entry.offset < end ? "overlaps the tensor before it" : "leaves a gap before it";
    if (entry.offset !== end)
      throw new SafetensorsError(
        `tensor ${JSON.stringify(entry.name)} starts at byte ${entry.offset} and ${fault} (expected ${end})`,
      );
    end += entry.lengthBytes;
  }
  if (end !== fileBytes) throw new SafetensorsError(`the tensors end at byte ${end} but the file has ${fileBytes}`);
}

/** Reads and checks the header of the file at `path`; the tensors stay on disk. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const first = await readExactly(handle, 0, Math.min(8, size));
    const header = await readExactly(handle, 0, 8 + headerLength(first, size));
    return { path, sizeBytes: size, ...parseSafetensorsHeader(header, size) };
  } catch (error) {
    if (error instanceof SafetensorsError) throw new SafetensorsError(`${path}: ${error.message}`);
    throw error;
  } finally {
    await handle.close();
  }
}

async function readExactly(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const out = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    // One read takes at most 2 GiB; the embedding of a large model in float32 has more.
    const { bytesRead } = await handle.read(out, done, Math.min(length - done, 2 ** 30), position + done);
    if (bytesRead === 0) throw new SafetensorsError(`the file ended at byte ${position + done}`);
    done += bytesRead;
  }
  return out;
}

/** The bytes of one tensor of an open file. */
export async function readTensorBytes(file: SafetensorsFile, name: string): Promise<Uint8Array> {
  return readEntryBytes(file, findTensor(file, name));
}

async function readEntryBytes(file: SafetensorsFile, entry: SafetensorsEntry): Promise<Uint8Array> {
  const handle = await open(file.path, "r");
  try {
    return await readExactly(handle, entry.offset, entry.lengthBytes);
  } finally {
    await handle.close();
  }
}

/** One floating-point tensor of an open file as float32; float16 and bfloat16 convert exactly, float64 rounds. */
export async function readTensorFloat32(file: SafetensorsFile, name: string): Promise<Float32Array> {
  return readEntryFloat32(file, findTensor(file, name));
}

/** The same for a tensor, or a range of one, that is described rather than named. */
export async function readEntryFloat32(file: SafetensorsFile, entry: SafetensorsEntry): Promise<Float32Array> {
  return toFloat32(await readEntryBytes(file, entry), entry);
}

function findTensor(file: SafetensorsHeader, name: string): SafetensorsEntry {
  const entry = file.tensors.get(name);
  if (!entry) throw new SafetensorsError(`tensor ${JSON.stringify(name)} is missing`);
  return entry;
}

/** Interprets the bytes of a floating-point tensor as float32. Throws on integers, complex numbers and floats below 16 bits. */
export function toFloat32(bytes: Uint8Array, entry: Pick<SafetensorsEntry, "name" | "dtype">): Float32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset, byteLength } = aligned;
  switch (entry.dtype) {
    case "F32":
      return new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4);
    case "F64":
      return Float32Array.from(new Float64Array(buffer as ArrayBuffer, byteOffset, byteLength / 8));
    case "F16":
      return float16ToFloat32(new Uint16Array(buffer as ArrayBuffer, byteOffset, byteLength / 2));
    case "BF16":
      return bfloat16ToFloat32(new Uint16Array(buffer as ArrayBuffer, byteOffset, byteLength / 2));
    default:
      throw new SafetensorsError(
        `tensor ${JSON.stringify(entry.name)} has dtype ${entry.dtype}; F64, F32, F16 or BF16 is needed`,
      );
  }
}

/** A whole file in memory: the checked header and a view of each tensor's bytes. */
export function parseSafetensors(
  bytes: Uint8Array,
): SafetensorsHeader & { bytesOf(name: string): Uint8Array; float32(name: string): Float32Array } {
  const header = parseSafetensorsHeader(bytes, bytes.byteLength);
  const bytesOf = (name: string) => {
    const entry = findTensor(header, name);
    return bytes.subarray(entry.offset, entry.offset + entry.lengthBytes);
  };
  return { ...header, bytesOf, float32: (name) => toFloat32(bytesOf(name), findTensor(header, name)) };
}

/** The length word and JSON header for tensors that follow in the given order; padded so that the data is 8-byte aligned. */
export function encodeSafetensorsHeader(
  tensors: readonly Omit<NamedTensor, "data">[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const json: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) json.__metadata__ = metadata;
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (Object.hasOwn(json, name)) throw new SafetensorsError(`tensor ${JSON.stringify(name)} is given twice`);
    const length = bytesNeeded(dtype, shape);
    json[name] = { dtype, shape, data_offsets: [offset, offset + length] };
    offset += length;
  }
  const text = JSON.stringify(json);
  const encoded = new TextEncoder().encode(text);
  const padded = Math.ceil(encoded.byteLength / 8) * 8;
  const out = new Uint8Array(8 + padded).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(padded), true);
  out.set(encoded, 8);
  return out;
}

function bytesOfTensor({ name, dtype, shape, data }: NamedTensor): Uint8Array {
  const expected = bytesNeeded(dtype, shape);
  if (data.byteLength !== expected) {
    throw new SafetensorsError(
      `tensor ${JSON.stringify(name)}: shape [${shape.join(", ")}] of ${dtype} needs ${expected} bytes, ${data.byteLength} given`,
    );
  }
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/** The bytes of a safetensors file one part after the other: the header, then views of the tensors, none of them copied. */
export function* safetensorsParts(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  yield encodeSafetensorsHeader(tensors, metadata);
  for (const tensor of tensors) yield bytesOfTensor(tensor);
}

/** One safetensors file in memory, tensors in the given order. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const parts = [...safetensorsParts(tensors, metadata)];
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.byteLength;
  }
  return out;
}

/** Writes a safetensors file tensor by tensor and moves it into place when complete: a crash leaves no half file under `path`. */
export async function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  const stream = createWriteStream(partial);
  try {
    stream.write(encodeSafetensorsHeader(tensors, metadata));
    for (const tensor of tensors) if (!stream.write(bytesOfTensor(tensor))) await once(stream, "drain");
    stream.end();
    await once(stream, "finish");
    await rename(partial, path);
  } catch (error) {
    stream.destroy();
    await rm(partial, { force: true });
    throw error;
  }
}
