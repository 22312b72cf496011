import { pipeline, Readable } from "node:stream";
import { constants, createGunzip } from "node:zlib";
import type { DatasetLimits } from "./limits.ts";
import { datasetTooLarge, formatUnknown, invalidFile } from "./refusal.ts";

export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A stream of which the first bytes can be looked at before anything is consumed. */
export interface PeekedBytes {
  readonly head: Uint8Array;
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface PlainBytes extends PeekedBytes {
  /** Whether the file was gzipped. */
  readonly gzip: boolean;
}

const RATIO_APPLIES_FROM_BYTES = 16 * 1024 ** 2;

const UNSUPPORTED_MAGIC: readonly { magic: readonly number[]; advice: string }[] = [
  { magic: [0x50, 0x4b, 0x03, 0x04], advice: "this is a ZIP archive (or an Excel file): upload the file inside it" },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], advice: "this is Zstandard-compressed: decompress it, or compress it with gzip" },
  { magic: [0x42, 0x5a, 0x68], advice: "this is bzip2-compressed: decompress it, or compress it with gzip" },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], advice: "this is xz-compressed: decompress it, or compress it with gzip" },
  { magic: [0x25, 0x50, 0x44, 0x46, 0x2d], advice: "this is a PDF: extract its text first" },
];

/** Reads at least `size` bytes (fewer only at the end of the stream) without consuming them. */
export async function peek(source: ByteSource, size = 16): Promise<PeekedBytes> {
  const iterator = Readable.from(source, { objectMode: true })[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < size) {
    const next = await iterator.next();
    if (next.done) break;
    chunks.push(next.value);
    length += next.value.length;
  }
  async function* replay(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head: Buffer.concat(chunks), bytes: replay() };
}

/**
 * The content of a file, decompressed when it starts with gzip's magic bytes, whatever it is called.
 *
 * @param partial only the beginning of a file: gzip data that is cut off ends where it ends
 * @throws Problem when the file or its content passes a limit, when gzip data is damaged or cut off, and for other
 * compressed or binary containers that we recognise
 */
export async function plainBytes(source: ByteSource, limits: DatasetLimits, partial = false): Promise<PlainBytes> {
  const file = await peek(capped(source, limits.fileBytes, "file"));
  refuseUnsupported(file.head);
  if (!isGzip(file.head)) return { ...file, gzip: false };
  const content = await peek(gunzip(file.bytes, limits, partial));
  if (isGzip(content.head)) throw formatUnknown("the file is gzipped twice: decompress it once");
  refuseUnsupported(content.head);
  return { ...content, gzip: true };
}

export function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return bytes.length >= magic.length && magic.every((byte, i) => bytes[i] === byte);
}

function isGzip(head: Uint8Array): boolean {
  return startsWith(head, [0x1f, 0x8b]);
}

function refuseUnsupported(head: Uint8Array): void {
  const found = UNSUPPORTED_MAGIC.find(({ magic }) => startsWith(head, magic));
  if (found) throw formatUnknown(found.advice);
}

async function* capped(source: ByteSource, limit: number, what: string): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const chunk of source) {
    total += chunk.length;
    if (total > limit) throw datasetTooLarge(`the ${what} is larger than ${limit} bytes`);
    yield chunk;
  }
}

async function* gunzip(
  source: AsyncIterable<Uint8Array>,
  limits: DatasetLimits,
  partial: boolean,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      read += chunk.length;
      yield chunk;
    }
  }
  // `pipeline` destroys both ends whichever fails; its callback only keeps the error from being unhandled, the loop rethrows it.
  const output = pipeline(
    Readable.from(counted(), { objectMode: false }),
    createGunzip({ chunkSize: 64 * 1024, ...(partial ? { finishFlush: constants.Z_SYNC_FLUSH } : {}) }),
    () => {},
  );
  let written = 0;
  try {
    for await (const chunk of output as AsyncIterable<Uint8Array>) {
      written += chunk.length;
      if (written > limits.expandedBytes) {
        throw datasetTooLarge(`the decompressed content is larger than ${limits.expandedBytes} bytes`);
      }
      if (written > RATIO_APPLIES_FROM_BYTES && written > read * limits.expansionRatio) {
        throw datasetTooLarge(`the content is more than ${limits.expansionRatio} times larger than the gzip file`);
      }
      yield chunk;
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "Z_BUF_ERROR") throw invalidFile("the gzip data ends too early: the file is cut off");
    if (code?.startsWith("Z_")) throw invalidFile(`the gzip data is damaged (${(error as Error).message})`);
    throw error;
  }
}
