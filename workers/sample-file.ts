/**
 * A dataset on the local disk with the place of every sample, so that samples can be read in any order: a shuffled
 * pass over a dataset larger than memory, and a resume in the middle of it, cost one small read a sample.
 */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { finished } from "node:stream/promises";
import type { Sample } from "../domain/dataset.ts";
import type { Blobs } from "./jobs/handler.ts";

export interface SampleFile {
  readonly count: number;
  read(index: number): Promise<Sample>;
  close(): Promise<void>;
}

const LINE_FEED = 0x0a;

/** Copies the JSON Lines blob to `path` and finds its lines on the way. */
export async function openSampleFile(blobs: Blobs, digest: string, path: string): Promise<SampleFile> {
  // Byte positions pass 2^32 for large datasets; a double is exact up to 2^53.
  let starts = new Float64Array(1024);
  let count = 0;
  let at = 0;
  let lineStart = 0;
  const mark = (start: number, end: number) => {
    if (end <= start) return;
    if (count + 1 >= starts.length) {
      const grown = new Float64Array(starts.length * 2);
      grown.set(starts);
      starts = grown;
    }
    starts[count] = start;
    count += 1;
  };
  const file = createWriteStream(path);
  for await (const chunk of await blobs.get(digest)) {
    for (let from = 0; ; ) {
      const end = chunk.indexOf(LINE_FEED, from);
      if (end < 0) break;
      mark(lineStart, at + end);
      lineStart = at + end + 1;
      from = end + 1;
    }
    at += chunk.length;
    if (!file.write(chunk)) await once(file, "drain");
  }
  mark(lineStart, at);
  starts[count] = at;
  file.end();
  await finished(file);
  const handle: FileHandle = await open(path, "r");
  return {
    count,
    async read(index) {
      const start = starts[index];
      const end = starts[index + 1];
      if (start === undefined || end === undefined || index >= count) {
        throw new RangeError(`sample ${index} of ${count} was asked for`);
      }
      const bytes = Buffer.alloc(end - start);
      await handle.read(bytes, 0, bytes.length, start);
      return JSON.parse(bytes.toString("utf8")) as Sample;
    },
    close: () => handle.close(),
  };
}
