import type { FileHandle } from "node:fs/promises";

/** An entry of a zip archive whose bytes lie in the file as they are. */
export interface ZipEntry {
  readonly name: string;
  /** Position of its first byte, counted from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The file is not a zip archive that may be read; the message names the entry and the fault. */
export class ZipError extends Error {
  override readonly name = "ZipError";
}

export interface ZipLimits {
  readonly entries: number;
  readonly directoryBytes: number;
}

const DEFAULT_LIMITS: ZipLimits = { entries: 65_536, directoryBytes: 64 * 2 ** 20 };

const SIGNATURE = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 };
const END_BYTES = 22;
const LOCATOR64_BYTES = 20;
const LONGEST_COMMENT = 65_535;
const UNKNOWN_32 = 0xffffffff;
const UNKNOWN_16 = 0xffff;

/**
 * The stored (uncompressed) entries of a zip archive, by name; nothing is extracted and no name becomes a path. Zip64 is read.
 *
 * A compressed entry is refused, so declared and real sizes are one and there is nothing that could expand. Also refused:
 * encryption, several disks, names that leave their folder, one name twice, an entry whose own header names something else,
 * and entries that share bytes with each other or with the directory.
 *
 * @throws ZipError
 */
export async function readZipDirectory(
  file: FileHandle,
  limits: ZipLimits = DEFAULT_LIMITS,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const { size } = await file.stat();
  const end = await findEnd(file, size);
  if (end.entries > limits.entries) {
    throw new ZipError(`the directory claims ${end.entries} entries; at most ${limits.entries} are read`);
  }
  if (end.lengthBytes > limits.directoryBytes) {
    throw new ZipError(`the directory claims ${end.lengthBytes} bytes; at most ${limits.directoryBytes} are read`);
  }
  if (end.offset + end.lengthBytes > end.position) {
    throw new ZipError(
      `the directory (bytes ${end.offset} to ${end.offset + end.lengthBytes}) passes its own end record`,
    );
  }
  const listed = parseDirectory(await readAt(file, end.offset, end.lengthBytes), end.entries);
  const entries = new Map<string, ZipEntry>();
  const spans: Span[] = [];
  for (const one of listed) {
    if (entries.has(one.name)) throw fault(one.name, "is in the directory twice");
    const span = await locate(file, one, end.offset);
    spans.push(span);
    entries.set(one.name, { name: one.name, offset: span.dataAt, sizeBytes: one.sizeBytes });
  }
  refuseOverlaps(spans);
  return entries;
}

interface End {
  /** Where the end record itself begins. */
  readonly position: number;
  readonly entries: number;
  readonly lengthBytes: number;
  readonly offset: number;
}

async function findEnd(file: FileHandle, size: number): Promise<End> {
  const tailBytes = Math.min(size, END_BYTES + LONGEST_COMMENT);
  const tail = await readAt(file, size - tailBytes, tailBytes);
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== SIGNATURE.end) continue;
    // A record that the comment only looks like does not end where the file ends.
    if (at + END_BYTES + tail.getUint16(at + 20, true) !== tailBytes) continue;
    return await parseEnd(file, tail, at, size - tailBytes + at);
  }
  throw new ZipError("there is no end record: not a zip archive, or cut off");
}

async function parseEnd(file: FileHandle, tail: DataView, at: number, position: number): Promise<End> {
  const end = {
    position,
    entries: tail.getUint16(at + 10, true),
    lengthBytes: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  if (tail.getUint16(at + 4, true) !== 0 || tail.getUint16(at + 6, true) !== 0) {
    throw new ZipError("the archive is spread over several disks");
  }
  const isLarge = end.entries === UNKNOWN_16 || end.lengthBytes === UNKNOWN_32 || end.offset === UNKNOWN_32;
  if (!isLarge || position < LOCATOR64_BYTES) return end;
  const locator = await readAt(file, position - LOCATOR64_BYTES, LOCATOR64_BYTES);
  if (locator.getUint32(0, true) !== SIGNATURE.locator64) return end;
  const position64 = whole(locator.getBigUint64(8, true), "the position of the zip64 end record");
  if (position64 + 56 > position) throw new ZipError("the zip64 end record lies outside the file");
  const record = await readAt(file, position64, 56);
  if (record.getUint32(0, true) !== SIGNATURE.end64)
    throw new ZipError("the zip64 end record is not where it should be");
  return {
    position: position64,
    entries: whole(record.getBigUint64(32, true), "the number of entries"),
    lengthBytes: whole(record.getBigUint64(40, true), "the length of the directory"),
    offset: whole(record.getBigUint64(48, true), "the position of the directory"),
  };
}

interface Listed {
  readonly name: string;
  readonly sizeBytes: number;
  /** Position of the entry's own header. */
  readonly headerAt: number;
}

function parseDirectory(view: DataView, entries: number): Listed[] {
  const listed: Listed[] = [];
  let at = 0;
  for (let index = 0; index < entries; index++) {
    if (at + 46 > view.byteLength || view.getUint32(at, true) !== SIGNATURE.central) {
      throw new ZipError(`entry ${index} of ${entries} is not in the directory: cut off, or damaged`);
    }
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + 46 + nameBytes + extraBytes + view.getUint16(at + 32, true);
    if (next > view.byteLength) throw new ZipError(`entry ${index} of ${entries} passes the end of the directory`);
    const name = decodeName(view, at + 46, nameBytes, index);
    refuseName(name);
    if (view.getUint16(at + 8, true) & 1) throw fault(name, "is encrypted");
    const method = view.getUint16(at + 10, true);
    if (method !== 0) throw fault(name, `is compressed (method ${method}); only stored entries are read`);
    const large = parseZip64(view, at, at + 46 + nameBytes, extraBytes, name);
    if (large.packedBytes !== large.sizeBytes) {
      throw fault(name, `is stored but claims ${large.packedBytes} bytes packed and ${large.sizeBytes} unpacked`);
    }
    listed.push({ name, sizeBytes: large.sizeBytes, headerAt: large.headerAt });
    at = next;
  }
  if (at !== view.byteLength) throw new ZipError(`the directory holds more than the ${entries} entries that it claims`);
  return listed;
}

/** Sizes and position of an entry; those that do not fit 32 bits are in an extra field, in this order. */
function parseZip64(view: DataView, at: number, extraAt: number, extraBytes: number, name: string) {
  let sizeBytes = view.getUint32(at + 24, true);
  let packedBytes = view.getUint32(at + 20, true);
  let headerAt = view.getUint32(at + 42, true);
  const extraEnd = extraAt + extraBytes;
  for (let field = extraAt; field + 4 <= extraEnd; ) {
    const id = view.getUint16(field, true);
    const end = field + 4 + view.getUint16(field + 2, true);
    if (end > extraEnd) throw fault(name, "has an extra field that passes its end");
    if (id === 1) {
      let value = field + 4;
      const take = (known: number) => {
        if (known !== UNKNOWN_32) return known;
        if (value + 8 > end) throw fault(name, "lacks a zip64 size");
        value += 8;
        return whole(view.getBigUint64(value - 8, true), `a size of ${JSON.stringify(name)}`);
      };
      sizeBytes = take(sizeBytes);
      packedBytes = take(packedBytes);
      headerAt = take(headerAt);
    }
    field = end;
  }
  return { sizeBytes, packedBytes, headerAt };
}

function decodeName(view: DataView, at: number, length: number, index: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
  } catch {
    throw new ZipError(`the name of entry ${index} is not UTF-8`);
  }
}

/** Nothing is written under these names, yet an archive with such a name was made to deceive somebody. */
function refuseName(name: string): void {
  const parts = name.split("/");
  if (name === "" || name.startsWith("/") || /[\\\0]/.test(name) || /^[a-z]:/i.test(name) || parts.includes("..")) {
    throw fault(name, "has a name that leaves the archive");
  }
}

interface Span {
  readonly name: string;
  readonly from: number;
  readonly dataAt: number;
  readonly to: number;
}

/** The entry's own header must be there and say the same name; only it tells where the bytes begin. */
async function locate(file: FileHandle, { name, sizeBytes, headerAt }: Listed, directoryAt: number): Promise<Span> {
  const head = headerAt + 30 <= directoryAt ? await readAt(file, headerAt, 30) : null;
  if (head?.getUint32(0, true) !== SIGNATURE.local) throw fault(name, `has no header at byte ${headerAt}`);
  const nameBytes = head.getUint16(26, true);
  const dataAt = headerAt + 30 + nameBytes + head.getUint16(28, true);
  const to = dataAt + sizeBytes;
  if (to > directoryAt) throw fault(name, `ends at byte ${to}, the directory begins at ${directoryAt}`);
  const own = await readAt(file, headerAt + 30, nameBytes);
  const ownName = new TextDecoder().decode(new Uint8Array(own.buffer, own.byteOffset, nameBytes));
  if (ownName !== name) throw fault(name, `is ${JSON.stringify(ownName)} in its own header`);
  if (head.getUint16(8, true) !== 0) throw fault(name, "is compressed in its own header");
  return { name, from: headerAt, dataAt, to };
}

/** Bytes that belong to two entries are how a small file becomes a large one. */
function refuseOverlaps(spans: Span[]): void {
  spans.sort((a, b) => a.from - b.from);
  for (const [index, span] of spans.entries()) {
    const before = spans[index - 1];
    if (before && span.from < before.to) throw fault(span.name, `shares bytes with ${JSON.stringify(before.name)}`);
  }
}

function whole(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ZipError(`${what} is ${value}`);
  return Number(value);
}

function fault(name: string, what: string): ZipError {
  return new ZipError(`entry ${JSON.stringify(name.slice(0, 200))} ${what}`);
}

async function readAt(file: FileHandle, position: number, length: number): Promise<DataView> {
  const bytes = new Uint8Array(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  if (bytesRead < length) throw new ZipError(`the file ends at byte ${position + bytesRead}`);
  return new DataView(bytes.buffer);
}
