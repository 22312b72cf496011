/**
 * The thread in which a Parquet file is decoded. The decoder is a library that trusts its input: a few bytes changed by hand can
 * make it count for hours or fill the memory. Here that costs a thread with a deadline and a heap limit, not the process.
 *
 * Started by parquet.ts with `ThreadInput`; answers each `SliceRequest` with one `SliceReply`. Imports none of our code, so that
 * Node can run this file as it is.
 */
import { isUtf8 } from "node:buffer";
import { open } from "node:fs/promises";
import { parentPort, workerData } from "node:worker_threads";
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";

export interface ThreadInput {
  readonly path: string;
  readonly maxRows: number;
  readonly maxColumns: number;
}

/** Rows `from` … `from + count − 1` of the file; the reply may be shorter, and is empty only beyond the last row. */
export interface SliceRequest {
  readonly from: number;
  readonly count: number;
}

export type SliceReply =
  | { readonly rows: Record<string, unknown>[] }
  | { readonly problem: "too_large" | "invalid"; readonly detail: string };

// A row group is decoded as a whole, so its size is what a file costs in memory.
const MAX_ROW_GROUP_BYTES = 1024 ** 3;
const MAX_PAGE_BYTES = 256 * 1024 ** 2;
// Lists hold many values per row, but a run-length page can claim billions of them in a few bytes.
const MAX_VALUES_PER_ROW = 10_000;

class TooLarge extends Error {}

const input = workerData as ThreadInput;
let opened: Promise<{ file: AsyncBuffer; metadata: FileMetaData }> | undefined;
/** The decoded row group that slices are cut from. */
let group: { readonly start: number; readonly rows: Record<string, unknown>[] } = { start: 0, rows: [] };

parentPort?.on("message", (request: SliceRequest) => {
  slice(request).then(
    (rows) => reply({ rows }),
    (error: Error) => reply({ problem: error instanceof TooLarge ? "too_large" : "invalid", detail: error.message }),
  );
});

function reply(message: SliceReply): void {
  parentPort?.postMessage(message);
}

async function slice({ from, count }: SliceRequest): Promise<Record<string, unknown>[]> {
  opened ??= openFile();
  const { file, metadata } = await opened;
  if (from < group.start || from >= group.start + group.rows.length) group = await decodeGroup(file, metadata, from);
  const at = from - group.start;
  return group.rows.slice(at, at + count).map(plain);
}

async function openFile(): Promise<{ file: AsyncBuffer; metadata: FileMetaData }> {
  const handle = await open(input.path);
  const file: AsyncBuffer = {
    byteLength: (await handle.stat()).size,
    async slice(start, end = file.byteLength) {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(Math.max(0, end - start)), 0, end - start, start);
      if (bytesRead < end - start) throw new RangeError("the directory points outside the file");
      return buffer.buffer as ArrayBuffer;
    },
  };
  const metadata = await parquetMetadataAsync(file);
  checkClaims(metadata);
  return { file, metadata };
}

async function decodeGroup(file: AsyncBuffer, metadata: FileMetaData, row: number) {
  let start = 0;
  for (const { num_rows } of metadata.row_groups) {
    const end = start + Number(num_rows);
    if (row < end) {
      const rows = await parquetReadObjects({
        file,
        metadata,
        rowStart: start,
        rowEnd: end,
        compressors: guardedCompressors,
        utf8: false,
      });
      return { start, rows: rows as Record<string, unknown>[] };
    }
    start = end;
  }
  return { start: row, rows: [] };
}

const guardedCompressors: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decompress]) => [
    codec,
    (bytes: Uint8Array, length: number) => {
      // The dictionary of a column of nulls is empty; the library's LZ4 stumbles over the single byte it compresses to.
      if (length === 0) return new Uint8Array(0);
      if (length > MAX_PAGE_BYTES) {
        throw new TooLarge(`a Parquet page claims ${length} bytes, the limit is ${MAX_PAGE_BYTES}`);
      }
      return decompress(bytes, length);
    },
  ]),
);

function checkClaims(metadata: FileMetaData): void {
  const rows = Number(metadata.num_rows);
  if (rows > input.maxRows) throw new TooLarge(`the file has ${rows} rows, the limit is ${input.maxRows}`);
  if (metadata.schema.length > input.maxColumns + 1) {
    throw new TooLarge(`the file has more than ${input.maxColumns} columns`);
  }
  let groupRows = 0;
  for (const { columns, num_rows } of metadata.row_groups) {
    if (num_rows < 0n) throw new RangeError("a row group has a negative number of rows");
    groupRows += Number(num_rows);
    let decoded = 0;
    for (const { meta_data } of columns) {
      decoded += Number(meta_data?.total_uncompressed_size ?? 0);
      if (Number(meta_data?.num_values ?? 0) > Number(num_rows) * MAX_VALUES_PER_ROW) {
        const name = meta_data?.path_in_schema.join(".");
        throw new TooLarge(`column "${name}" has more than ${MAX_VALUES_PER_ROW} values per row`);
      }
    }
    if (decoded > MAX_ROW_GROUP_BYTES) {
      const advice = `the limit is ${MAX_ROW_GROUP_BYTES}: write smaller row groups`;
      throw new TooLarge(`a row group has ${decoded} bytes, ${advice}`);
    }
  }
  if (groupRows !== rows) throw new RangeError(`the file claims ${rows} rows, its row groups ${groupRows}`);
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
