// Whether the weights of a checkpoint are numbers. A text shows it only of the weights that it uses: not of the embeddings of other
// tokens, nor of experts that it is not routed to.

import { type FileHandle, open } from "node:fs/promises";
import type { SafetensorsDType } from "../../formats/safetensors.ts";
import type { SafetensorsSet } from "../../formats/safetensors-index.ts";

/** Bytes between two signs of life; a multiple of every element's size. */
const pieceBytes = 2 ** 24;

/** The bits of the exponent: all of them are set in infinities and NaN alone. */
const exponents: Partial<Record<SafetensorsDType, { readonly bytes: 2 | 4; readonly mask: number }>> = {
  F32: { bytes: 4, mask: 0x7f800000 },
  F16: { bytes: 2, mask: 0x7c00 },
  BF16: { bytes: 2, mask: 0x7f80 },
};

/**
 * Name and index (in the order of the file) of the first element of these tensors that is NaN or infinite; null when all are finite.
 * Tensors of other types than float32, float16 and bfloat16 are passed over. `step` hears of the bytes read so far.
 */
export async function findNotFinite(
  set: SafetensorsSet,
  names: Iterable<string>,
  step: (doneBytes: number) => Promise<void>,
): Promise<{ readonly name: string; readonly index: number } | null> {
  const piece = new Uint8Array(pieceBytes);
  let done = 0;
  for (const name of names) {
    const entry = set.tensors.get(name);
    const exponent = entry && exponents[entry.dtype];
    if (!entry || !exponent) continue;
    const handle = await open(entry.file.path, "r");
    try {
      for (let start = 0; start < entry.lengthBytes; start += pieceBytes) {
        const bytes = piece.subarray(0, Math.min(pieceBytes, entry.lengthBytes - start));
        await readInto(handle, bytes, entry.offset + start);
        const at = firstWith(bytes, exponent.bytes, exponent.mask);
        if (at >= 0) return { name, index: start / exponent.bytes + at };
        done += bytes.length;
        await step(done);
      }
    } finally {
      await handle.close();
    }
  }
  return null;
}

async function readInto(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, at, bytes.length - at, position + at);
    if (bytesRead === 0) throw new RangeError(`the file ended at byte ${position + at}`);
    at += bytesRead;
  }
}

function firstWith({ buffer, byteLength }: Uint8Array, bytes: 2 | 4, mask: number): number {
  const words = bytes === 2 ? new Uint16Array(buffer, 0, byteLength / 2) : new Uint32Array(buffer, 0, byteLength / 4);
  // A plain loop: findIndex with a callback takes ten times as long.
  for (let i = 0; i < words.length; i++) if ((words[i]! & mask) === mask) return i;
  return -1;
}
