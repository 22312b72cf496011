/**
 * A file of lines on the local disk with the place of every line: lines can be read in any order, also of a file larger
 * than memory, and a resume in the middle of it costs one small read a line.
 */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { finished } from "node:stream/promises";

export interface LineFile {
  /** Lines that are not empty. */
  readonly count: number;
  /** Its number in the file, empty lines counted, from 1. */
  row(index: number): number;
  sizeOf(index: number): number;
  /** With its line end. */
  read(index: number): Promise<string>;
  close(): Promise<void>;
}

const LINE_FEED = 0x0a;

/** Copies the bytes to `path` and finds their lines on the way. */
export async function openLineFile(bytes: AsyncIterable<Uint8Array>, path: string): Promise<LineFile> {
  // Byte positions pass 2^32 for large files; a double is exact up to 2^53.
  let starts = new Float64Array(1024);
  let rows = new Uint32Array(1024);
  let count = 0;
  let row = 0;
  let at = 0;
  let lineStart = 0;
  const mark = (start: number, end: number) => {
    row += 1;
    if (end <= start) return;
    if (count + 1 >= starts.length) {
      const [more, moreRows] = [new Float64Array(starts.length * 2), new Uint32Array(starts.length * 2)];
      more.set(starts);
      moreRows.set(rows);
      [starts, rows] = [more, moreRows];
    }
    starts[count] = start;
    rows[count] = row;
    count += 1;
  };
  const file = createWriteStream(path);
  for await (const chunk of bytes) {
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
  const check = (index: number) => {
    if (!(index >= 0 && index < count)) throw new RangeError(`line ${index} of ${count} was asked for`);
  };
  return {
    count,
    row(index) {
      check(index);
      return rows[index]!;
    },
    sizeOf(index) {
      check(index);
      return starts[index + 1]! - starts[index]!;
    },
    async read(index) {
      check(index);
      const start = starts[index]!;
      const line = Buffer.alloc(starts[index + 1]! - start);
      await handle.read(line, 0, line.length, start);
      return line.toString("utf8");
    },
    close: () => handle.close(),
  };
}
