import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Worker } from "node:worker_threads";
import type { DatasetLimits } from "./limits.ts";
import type { SliceReply, SliceRequest, ThreadInput } from "./parquet-thread.ts";
import { datasetTooLarge, invalidFile } from "./refusal.ts";
import type { Row } from "./row.ts";

export const PARQUET_MAGIC = [0x50, 0x41, 0x52, 0x31] as const;

/** Rows per message between the threads. */
const SLICE_ROWS = 1_000;

/**
 * Rows of a Parquet file, one row group in memory at a time, decoded in a thread of its own (parquet-thread.ts says why).
 *
 * The format's directory is at its end, so the stream is first written to a temporary file, which is removed
 * when the caller is done. Integers beyond 2^53 become strings, dates ISO 8601 strings; binary values are left out.
 *
 * @throws Problem for a damaged file, for one that claims more rows, columns or decoded bytes than the limits, and for one that takes
 * more time or memory than they allow
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
  const workerData: ThreadInput = { path, maxRows: limits.rows, maxColumns: limits.columns };
  const thread = new Worker(new URL("./parquet-thread.ts", import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: limits.parquetMemoryMb },
  });
  // `askFor` sees the error of a request; one between requests, or after the deadline, must not end the process.
  thread.on("error", () => {});
  try {
    for (let from = 0; ; ) {
      const rows = await askFor({ from, count: SLICE_ROWS }, thread, limits);
      if (rows.length === 0) return;
      for (const [i, fields] of rows.entries()) yield { number: from + i + 1, fields };
      from += rows.length;
    }
  } finally {
    await thread.terminate();
  }
}

async function askFor(
  request: SliceRequest,
  thread: Worker,
  limits: DatasetLimits,
): Promise<Record<string, unknown>[]> {
  const deadline = AbortSignal.timeout(limits.parquetStepMs);
  thread.postMessage(request);
  // Rejects when the thread dies first (its heap limit), or when the deadline passes.
  const [reply] = await once(thread, "message", { signal: deadline }).catch((error: NodeJS.ErrnoException) => {
    if (deadline.aborted)
      throw invalidFile(`decoding it takes longer than ${limits.parquetStepMs / 1000} s a row group`);
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY") {
      throw datasetTooLarge(`decoding a row group takes more than ${limits.parquetMemoryMb} MB of memory`);
    }
    throw error;
  });
  const answer = reply as SliceReply;
  if ("rows" in answer) return answer.rows;
  if (answer.problem === "too_large") throw datasetTooLarge(answer.detail);
  // Any error of the library on bytes from outside is the file's fault, not a bug of ours.
  throw invalidFile(`the Parquet file cannot be read (${answer.detail.slice(0, 200)})`);
}
