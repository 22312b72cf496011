/**
 * What the lines of a batch came to, on the local disk in the order in which they ended, and in the artifact store as of
 * the last checkpoint. A line is there once, whatever the attempts: what was not in a checkpoint is run again.
 */
import { closeSync, createReadStream, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Usage } from "../../../domain/completion.ts";
import type { BatchOutputLine } from "../../../domain/steering-batch.ts";
import type { StoredBlob } from "../../../platform/artifacts/store.ts";
import { bytesOf } from "../../bytes.ts";
import { openLineFile } from "../../line-file.ts";
import type { JobContext } from "../handler.ts";

/** A line as it is kept until the end. */
interface BatchRecord {
  /** Index of the line. */
  readonly index: number;
  readonly line: BatchOutputLine;
  /** Null for one that failed. */
  readonly usage: Usage | null;
}

interface Place {
  readonly start: number;
  readonly size: number;
  readonly failed: boolean;
  readonly customId: string | null;
}

/** A range of the file that is in the store. */
interface Segment extends StoredBlob {
  readonly start: number;
}

export interface BatchResults {
  readonly done: number;
  readonly completed: number;
  readonly failed: number;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
  /** Null: the line is still to be run. */
  at(index: number): { readonly customId: string | null } | null;
  add(record: BatchRecord): void;
  saveCheckpoint(): Promise<void>;
  /** The lines that succeeded or failed, in the order of the lines that were given. */
  lines(which: "completed" | "failed"): AsyncGenerator<Uint8Array>;
  close(): void;
}

type Parts = Pick<JobContext, "blobs" | "checkpoint" | "jobId" | "saveCheckpoint" | "scratch">;

/** As the last checkpoint left them. */
export async function openBatchResults(context: Parts): Promise<BatchResults> {
  const { blobs, checkpoint, jobId, scratch } = context;
  const path = join(scratch, "results.jsonl");
  const file = openSync(path, "w+");
  const places = new Map<number, Place>();
  const segments: Segment[] = [];
  const usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  let end = 0;
  let failed = 0;

  function add(record: BatchRecord): void {
    const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
    writeSync(file, bytes, 0, bytes.length, end);
    const place = { start: end, size: bytes.length, failed: record.usage === null, customId: record.line.custom_id };
    places.set(record.index, place);
    end += bytes.length;
    if (record.usage === null) failed += 1;
    usage.prompt_tokens += record.usage?.prompt_tokens ?? 0;
    usage.completion_tokens += record.usage?.completion_tokens ?? 0;
    usage.total_tokens += record.usage?.total_tokens ?? 0;
  }

  async function restore(): Promise<void> {
    if (!checkpoint) return;
    const saved = JSON.parse(Buffer.from(await bytesOf(await blobs.get(checkpoint.digest))).toString("utf8"));
    for (const segment of (saved as { segments: Segment[] }).segments) {
      const records = await openLineFile(await blobs.get(segment.digest), join(scratch, "segment.jsonl"));
      for (let index = 0; index < records.count; index++) add(JSON.parse(await records.read(index)) as BatchRecord);
      await records.close();
      segments.push(segment);
    }
  }

  function readPlace({ start, size }: Place): BatchRecord {
    const bytes = Buffer.alloc(size);
    readSync(file, bytes, 0, size, start);
    return JSON.parse(bytes.toString("utf8")) as BatchRecord;
  }

  await restore();
  return {
    get done() {
      return places.size;
    },
    get completed() {
      return places.size - failed;
    },
    get failed() {
      return failed;
    },
    usage,
    at: (index) => places.get(index) ?? null,
    add,
    async saveCheckpoint() {
      const [last, done] = [end, places.size];
      let start = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      if (last === start) return;
      // Neighbours of like size become one, so that a day of checkpoints leaves a dozen of them.
      const kept = [...segments];
      while (kept.length > 0 && kept.at(-1)!.sizeBytes <= last - start) start = kept.pop()!.start;
      const blob = await blobs.put(createReadStream(path, { start, end: last - 1 }));
      kept.push({ ...blob, start });
      // The job's own number keeps the contents of equal jobs apart.
      const saved = Buffer.from(JSON.stringify({ job: jobId, segments: kept }));
      const made = kept.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }));
      await context.saveCheckpoint(saved, done, made);
      segments.splice(0, segments.length, ...kept);
    },
    async *lines(which) {
      for (const index of [...places.keys()].sort((a, b) => a - b)) {
        const place = places.get(index)!;
        if (place.failed !== (which === "failed")) continue;
        yield Buffer.from(`${JSON.stringify(readPlace(place).line)}\n`);
      }
    },
    close: () => closeSync(file),
  };
}
