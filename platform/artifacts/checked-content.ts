// Content on its way into a store: counted, hashed, stopped when it is too large.
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { BlobTooLarge, DigestMismatch, type PutOptions, type StoredBlob } from "./store.ts";

export type Content = Readable | AsyncIterable<Uint8Array> | Uint8Array;

export interface CheckedContent {
  readonly stream: AsyncGenerator<Uint8Array>;
  /** After the stream has ended: what went through. Throws DigestMismatch when it is not what was announced. */
  verify(): StoredBlob;
}

/** Hashes and files of Node take at most 2 GiB at once, which a checkpoint of a large training exceeds. */
const pieceBytes = 64 * 2 ** 20;

export function checkedContent(content: Content, options: PutOptions): CheckedContent {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  async function* pass(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content instanceof Uint8Array ? [content] : content) {
      sizeBytes += chunk.byteLength;
      if (options.maxBytes !== undefined && sizeBytes > options.maxBytes)
        throw new BlobTooLarge(`the content has more than ${options.maxBytes} bytes`);
      for (const piece of piecesOf(chunk)) {
        hash.update(piece);
        yield piece;
      }
    }
  }
  return {
    stream: pass(),
    verify() {
      const digest = hash.digest("hex");
      if (options.expectedDigest !== undefined && options.expectedDigest !== digest)
        throw new DigestMismatch(`the content has the sha256 ${digest}, not ${options.expectedDigest}`);
      return { digest, sizeBytes };
    },
  };
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}
