import { isUtf8 } from "node:buffer";
import { notUtf8 } from "./refusal.ts";

const LINE_FEED = 0x0a;

/**
 * Decodes UTF-8 strictly, chunk by chunk; a byte order mark at the start is dropped.
 *
 * @throws Problem naming the byte offset and line of the first byte that is not UTF-8, or of a NUL character (a binary file,
 * or UTF-16 without a mark)
 */
export async function* decodeUtf8(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let rest: Uint8Array = new Uint8Array(0);
  let offset = 0;
  let line = 1;

  function* decoded(bytes: Uint8Array): Generator<string> {
    const invalid = isUtf8(bytes) ? bytes.indexOf(0) : firstInvalidByte(bytes);
    if (invalid < 0) return yield decodedText(bytes);
    const at = offset + invalid;
    const reason = describe(bytes, invalid, offset);
    // What comes before goes out, so that the rows before the bad one do not depend on where the chunks break.
    if (invalid > 0) yield decodedText(bytes.subarray(0, invalid));
    throw notUtf8(at, line, reason);
  }

  function decodedText(bytes: Uint8Array): string {
    const text = decoder.decode(bytes);
    const result = offset === 0 && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    offset += bytes.length;
    line += countLineFeeds(bytes);
    return result;
  }

  for await (const chunk of source) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    const end = completeLength(bytes);
    rest = bytes.subarray(end);
    if (end > 0) yield* decoded(bytes.subarray(0, end));
  }
  // An unfinished sequence at the very end is invalid; decoding it reports its place.
  if (rest.length > 0) yield* decoded(rest);
}

/** Length of the prefix that does not end inside a multi-byte character. */
function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    return sequenceLength(byte) > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

function sequenceLength(lead: number): number {
  if (lead >= 0xf0) return 4;
  if (lead >= 0xe0) return 3;
  return lead >= 0xc0 ? 2 : 1;
}

/** Offset of the first byte that makes `bytes` invalid UTF-8 (or of a NUL before it); the slow path, run once per refused file. */
function firstInvalidByte(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at]!;
    if (lead === 0) return at;
    const length = sequenceLength(lead);
    if (!isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return -1;
}

function describe(bytes: Uint8Array, at: number, offset: number): string {
  const byte = bytes[at]!;
  const hex = `0x${byte.toString(16).padStart(2, "0")}`;
  const next = bytes[at + 1];
  if (offset + at === 0 && ((byte === 0xff && next === 0xfe) || (byte === 0xfe && next === 0xff))) {
    return "the file starts with a UTF-16 byte order mark: save it as UTF-8";
  }
  if (byte === 0) return "it is a NUL character: the file is binary, or UTF-16";
  return `${hex} does not belong to a UTF-8 character: the file may be in a legacy encoding such as Windows-1252 or GBK`;
}

function countLineFeeds(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}
