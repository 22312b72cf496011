import { isUtf8 } from "node:buffer";
import { createWriteStream } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { isProblem } from "../domain/problem.ts";
import type { DatasetLimits } from "./limits.ts";
import { datasetTooLarge, invalidFile } from "./refusal.ts";
import type { Row } from "./row.ts";

export const PARQUET_MAGIC = [0x50, 0x41, 0x52, 0x31] as const;

// A row group is decoded as a whole, so its size is what a file costs in memory.
const MAX_ROW_GROUP_BYTES = 1024 ** 3;
const MAX_PAGE_BYTES = 256 * 1024 ** 2;
// Lists hold many values per row, but a run-length page can claim billions of them in a few bytes.
const MAX_VALUES_PER_ROW = 10_000;

/**
 * Rows of a Parquet file, one row group in memory at a time.
 *
 * The format's directory is at its end, so the stream is first written to a temporary file, which is removed
 * when the caller is done. Integers beyond 2^53 become strings, dates ISO 8601 strings; binary values are left out.
 *
 * @throws Problem for a damaged file, and for one that claims more rows, columns or decoded bytes than the limits
 */
export async function* readParquet(bytes: AsyncIterable<Uint8Array>, limits: DatasetLimits): AsyncGenerator<Row> {
  const folder = await mkdtemp(join(tmpdir(), "dataset-"));
  try {
    const path = join(folder, "data.parquet");
    await pipeline(bytes, createWriteStream(path));
    yield* rowsOf(path, limits);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* rowsOf(path: string, limits: DatasetLimits): AsyncGenerator<Row> {
  const handle = await open(path);
  try {
    const file: AsyncBuffer = {
      byteLength: (await handle.stat()).size,
      async slice(start, end = file.byteLength) {
        const { buffer, bytesRead } = await handle.read(
          new Uint8Array(Math.max(0, end - start)),
          0,
          end - start,
          start,
        );
        if (bytesRead < end - start) throw new RangeError("the directory points outside the file");
        return buffer.buffer as ArrayBuffer;
      },
    };
    const metadata = await guarded(() => parquetMetadataAsync(file));
    checkClaims(metadata, limits);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const objects = await guarded(() =>
        parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors: cappedCompressors, utf8: false }),
      );
      for (const [i, object] of objects.entries()) yield { number: rowStart + i + 1, fields: plain(object) };
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}

const cappedCompressors: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decompress]) => [
    codec,
    (input: Uint8Array, length: number) => {
      // The dictionary of a column of nulls is empty; the library's LZ4 stumbles over the single byte it compresses to.
      if (length === 0) return new Uint8Array(0);
      if (length > MAX_PAGE_BYTES)
        throw datasetTooLarge(`a Parquet page claims ${length} bytes, the limit is ${MAX_PAGE_BYTES}`);
      return decompress(input, length);
    },
  ]),
);

function checkClaims(metadata: FileMetaData, limits: DatasetLimits): void {
  const rows = Number(metadata.num_rows);
  if (rows > limits.rows) throw datasetTooLarge(`the file has ${rows} rows, the limit is ${limits.rows}`);
  if (metadata.schema.length > limits.columns + 1)
    throw datasetTooLarge(`the file has more than ${limits.columns} columns`);
  for (const group of metadata.row_groups) {
    let decoded = 0;
    for (const column of group.columns) {
      decoded += Number(column.meta_data?.total_uncompressed_size ?? 0);
      if (Number(column.meta_data?.num_values ?? 0) > Number(group.num_rows) * MAX_VALUES_PER_ROW) {
        throw datasetTooLarge(
          `column "${column.meta_data?.path_in_schema.join(".")}" has more than ${MAX_VALUES_PER_ROW} values per row`,
        );
      }
    }
    if (decoded > MAX_ROW_GROUP_BYTES) {
      throw datasetTooLarge(
        `a row group has ${decoded} bytes, the limit is ${MAX_ROW_GROUP_BYTES}: write smaller row groups`,
      );
    }
  }
}

/** Any error of the library on bytes from outside is the file's fault, not a bug of ours. */
async function guarded<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isProblem(error)) throw error;
    throw invalidFile(`the Parquet file cannot be read (${(error as Error).message.slice(0, 200)})`);
  }
}

function plain(object: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(object).filter(([, value]) => !isBinary(value));
  return Object.fromEntries(entries.map(([name, value]) => [name, plainValue(value)]));
}

/** Old writers store text without saying so: bytes that are UTF-8 are text; others (images, sound) are left out. */
function isBinary(value: unknown): boolean {
  return value instanceof Uint8Array && (!isUtf8(value) || value.includes(0));
}

function plainValue(value: unknown): unknown {
  if (value === undefined || isBinary(value)) return null;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (Array.isArray(value)) return value.map(plainValue);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plainValue);
  if (typeof value === "object" && value !== null) return plain(value as Record<string, unknown>);
  return value;
}
