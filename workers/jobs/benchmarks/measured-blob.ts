/** Typed arrays with a header as one blob: what was measured of a text, kept for the next job that needs it. */
import { bytesOf } from "../../bytes.ts";
import type { Blobs } from "../handler.ts";

type Numbers = Uint32Array | Int32Array | Float32Array;

export interface MeasuredBlob {
  readonly header: Readonly<Record<string, unknown>>;
  readonly arrays: Readonly<Record<string, Numbers>>;
}

const kinds = { u32: Uint32Array, i32: Int32Array, f32: Float32Array } as const;
type KindName = keyof typeof kinds;

/** Length of the header in bytes (uint32), the header as JSON, then the arrays one after another, little-endian, from a multiple of 4. */
export function measuredBytes({ header, arrays }: MeasuredBlob): Uint8Array {
  const layout = Object.entries(arrays).map(([name, values]) => [name, kindOf(values), values.length]);
  const text = Buffer.from(JSON.stringify({ header, layout }));
  const start = aligned(4 + text.length);
  const size = Object.values(arrays).reduce((sum, { byteLength }) => sum + byteLength, start);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  let at = start;
  for (const values of Object.values(arrays)) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return bytes;
}

/** @throws RangeError for bytes that `measuredBytes` did not write */
export async function readMeasured(blobs: Pick<Blobs, "get">, digest: string): Promise<MeasuredBlob> {
  // A copy of its own, so that the views below start where the buffer does.
  const bytes = Uint8Array.from(await bytesOf(await blobs.get(digest)));
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const { header, layout } = JSON.parse(Buffer.from(bytes.buffer, 4, length).toString()) as {
    header: Record<string, unknown>;
    layout: [string, KindName, number][];
  };
  const arrays: Record<string, Numbers> = {};
  let at = aligned(4 + length);
  for (const [name, kind, count] of layout) {
    arrays[name] = new kinds[kind](bytes.buffer, at, count);
    at += count * 4;
  }
  if (at !== bytes.length) throw new RangeError(`measured features: expected ${at} bytes, got ${bytes.length}`);
  return { header, arrays };
}

function kindOf(values: Numbers): KindName {
  return values instanceof Float32Array ? "f32" : values instanceof Int32Array ? "i32" : "u32";
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
