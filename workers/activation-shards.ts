/**
 * Harvested activations as files. A shard is one safetensors file: `resid_post.{n}` [rows, D] for each layer, where each row
 * came from (`sequence`, `position`, `token_id`), and `batch_rows`, the sizes of the batches in which they were made.
 * A reader gives back the same batches, because a training's running median depends on where one ends.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { ActivationManifest, activationTypes } from "../domain/activations.ts";
import type { ActivationBatch } from "../engine/runtime/activations.ts";
import { float32ToBfloat16, float32ToFloat16 } from "../formats/half-float.ts";
import {
  encodeSafetensorsHeader,
  type NamedTensor,
  openSafetensors,
  parseSafetensorsHeader,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsHeader,
  toFloat32,
} from "../formats/safetensors.ts";

export type ActivationType = (typeof activationTypes)[number];

const stored: Readonly<Record<ActivationType, { dtype: SafetensorsDType; bytes: number }>> = {
  float32: { dtype: "F32", bytes: 4 },
  float16: { dtype: "F16", bytes: 2 },
  bfloat16: { dtype: "BF16", bytes: 2 },
};

/** The shard does not hold what its manifest says; the message names the tensor and both shapes. */
export class ShardError extends Error {
  override readonly name = "ShardError";
}

/** Bytes that one row takes in a shard. */
export function rowBytes(layers: number, dModel: number, type: ActivationType): number {
  return layers * dModel * stored[type].bytes + 12;
}

const tensorName = (layer: number) => `resid_post.${layer}`;

/** The file's bytes, part by part: each batch is converted when its turn comes. */
export function* shardParts(
  batches: readonly ActivationBatch[],
  { layers, dModel, type }: { layers: readonly number[]; dModel: number; type: ActivationType },
): Generator<Uint8Array> {
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const indices = ["sequence", "position", "token_id"] as const;
  const tensors: Omit<NamedTensor, "data">[] = [
    ...layers.map((layer) => ({ name: tensorName(layer), dtype: stored[type].dtype, shape: [rows, dModel] })),
    ...indices.map((name) => ({ name, dtype: "I32" as const, shape: [rows] })),
    { name: "batch_rows", dtype: "I32", shape: [batches.length] },
  ];
  yield encodeSafetensorsHeader(tensors, {});
  for (const layer of layers) {
    for (const batch of batches) yield encode(batch.activations[batch.layers.indexOf(layer)]!, type);
  }
  for (const of of ["sequence", "position", "tokenId"] as const) for (const batch of batches) yield bytesOf(batch[of]);
  yield bytesOf(Int32Array.from(batches, (batch) => batch.rows));
}

function encode(values: Float32Array, type: ActivationType): Uint8Array {
  if (type === "float32") return bytesOf(values);
  return bytesOf(type === "float16" ? float32ToFloat16(values) : float32ToBfloat16(values));
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** What every shard of a manifest must hold. @throws ShardError */
export function checkShard(header: SafetensorsHeader, manifest: ActivationManifest, rows: number): void {
  const { dtype } = stored[manifest.dtype];
  for (const layer of manifest.layers) expectTensor(header, tensorName(layer), dtype, [rows, manifest.d_model]);
  for (const name of ["sequence", "position", "token_id"]) expectTensor(header, name, "I32", [rows]);
  const batches = header.tensors.get("batch_rows");
  if (batches?.dtype !== "I32" || batches.shape.length !== 1) throw new ShardError('tensor "batch_rows" is missing');
}

function expectTensor(
  header: SafetensorsHeader,
  name: string,
  dtype: SafetensorsDType,
  shape: readonly number[],
): void {
  const entry = header.tensors.get(name);
  if (!entry) throw new ShardError(`tensor "${name}" is missing`);
  if (entry.dtype !== dtype || entry.shape.join() !== shape.join()) {
    const [is, says] = [`${entry.dtype} [${entry.shape.join(", ")}]`, `${dtype} [${shape.join(", ")}]`];
    throw new ShardError(`tensor "${name}" is ${is}, the manifest says ${says}`);
  }
}

/** The checked header from the start of a stream, which is read no further. */
export async function readShardHeader(
  stream: AsyncIterable<Uint8Array>,
  sizeBytes: number,
): Promise<SafetensorsHeader> {
  let start = Buffer.alloc(0);
  for await (const chunk of stream) {
    start = Buffer.concat([start, chunk]);
    if (start.byteLength >= 8 && start.byteLength >= 8 + Number(start.readBigUInt64LE(0))) break;
  }
  return parseSafetensorsHeader(start, sizeBytes);
}

export interface ShardFile {
  /** Batches from the row on, where a batch must begin, each with the row after it. */
  batches(layers: readonly number[], fromRow: number): AsyncGenerator<{ batch: ActivationBatch; nextRow: number }>;
  close(): Promise<void>;
}

/** A shard on the local disk; one batch of it is in memory at a time. */
export async function openShard(path: string, manifest: ActivationManifest, rows: number): Promise<ShardFile> {
  const header = await openSafetensors(path);
  checkShard(header, manifest, rows);
  const handle = await open(path, "r");
  const batchRows = await readInts(handle, header.tensors.get("batch_rows")!);
  if (batchRows.some((count) => count < 1) || batchRows.reduce((sum, count) => sum + count, 0) !== rows) {
    await handle.close();
    throw new ShardError(`tensor "batch_rows" does not add up to the ${rows} rows of the shard`);
  }
  return {
    async *batches(layers, fromRow) {
      let row = 0;
      for (const count of batchRows) {
        if (row >= fromRow) {
          const entry = (name: string) => rowsOf(header.tensors.get(name)!, row, count);
          const activations: Float32Array[] = [];
          for (const layer of layers) activations.push(await readFloats(handle, entry(tensorName(layer))));
          const [sequence, position, tokenId] = [
            await readInts(handle, entry("sequence")),
            await readInts(handle, entry("position")),
            await readInts(handle, entry("token_id")),
          ];
          const batch = { layers: [...layers], activations, rows: count, sequence, position, tokenId };
          yield { batch, nextRow: row + count };
        }
        row += count;
      }
    },
    close: () => handle.close(),
  };
}

/** The part of a tensor that holds these rows. */
function rowsOf(entry: SafetensorsEntry, row: number, count: number): SafetensorsEntry {
  const bytesPerRow = entry.lengthBytes / entry.shape[0]!;
  return { ...entry, offset: entry.offset + row * bytesPerRow, lengthBytes: count * bytesPerRow };
}

async function readBytes(handle: FileHandle, { name, offset, lengthBytes }: SafetensorsEntry): Promise<Buffer> {
  const bytes = Buffer.alloc(lengthBytes);
  const { bytesRead } = await handle.read(bytes, 0, lengthBytes, offset);
  if (bytesRead !== lengthBytes) throw new ShardError(`tensor "${name}" ends early`);
  return bytes;
}

async function readFloats(handle: FileHandle, entry: SafetensorsEntry): Promise<Float32Array> {
  return toFloat32(await readBytes(handle, entry), entry);
}

async function readInts(handle: FileHandle, entry: SafetensorsEntry): Promise<Int32Array> {
  const { buffer, byteOffset, byteLength } = await readBytes(handle, entry);
  return new Int32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4);
}
