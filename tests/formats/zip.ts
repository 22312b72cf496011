// Zip archives made by hand, whole or with something wrong.

import { crc32, deflateRawSync } from "node:zlib";

export interface ZipPart {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What is written instead of the truth. */
  readonly lie?: {
    readonly method?: number;
    readonly flags?: number;
    readonly sizeBytes?: number;
    readonly headerAt?: number;
    readonly ownName?: string;
  };
  readonly deflate?: boolean;
}

interface EndLie {
  readonly entries?: number;
  readonly directoryBytes?: number;
  readonly directoryAt?: number;
}

export function zipOf(parts: readonly ZipPart[], end: EndLie = {}): Buffer {
  const body: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, bytes, lie = {}, deflate = false } of parts) {
    const stored = deflate ? deflateRawSync(bytes) : Buffer.from(bytes);
    const fields = (sizeBytes: number, packedBytes: number, nameBytes: number) => {
      const out = Buffer.alloc(26);
      out.writeUInt16LE(lie.flags ?? 0, 2);
      out.writeUInt16LE(lie.method ?? (deflate ? 8 : 0), 4);
      out.writeUInt32LE(crc32(bytes), 10);
      out.writeUInt32LE(packedBytes, 14);
      out.writeUInt32LE(sizeBytes, 18);
      out.writeUInt16LE(nameBytes, 22);
      return out;
    };
    const ownName = Buffer.from(lie.ownName ?? name);
    const local = Buffer.concat([
      Buffer.from("PK\x03\x04"),
      fields(bytes.length, stored.length, ownName.length),
      ownName,
    ]);
    const sizeBytes = lie.sizeBytes ?? bytes.length;
    const central = Buffer.alloc(14);
    central.writeUInt32LE(lie.headerAt ?? at, 10);
    const named = Buffer.from(name);
    const packed = deflate ? stored.length : sizeBytes;
    directory.push(Buffer.from("PK\x01\x02\0\0", "latin1"), fields(sizeBytes, packed, named.length), central, named);
    body.push(local, stored);
    at += local.length + stored.length;
  }
  const listing = Buffer.concat(directory);
  const record = Buffer.alloc(22);
  record.write("PK\x05\x06", "latin1");
  record.writeUInt16LE(end.entries ?? parts.length, 8);
  record.writeUInt16LE(end.entries ?? parts.length, 10);
  record.writeUInt32LE(end.directoryBytes ?? listing.length, 12);
  record.writeUInt32LE(end.directoryAt ?? at, 16);
  return Buffer.concat([...body, listing, record]);
}
