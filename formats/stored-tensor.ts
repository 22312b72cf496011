import type { FileHandle } from "node:fs/promises";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./half-float.ts";

export type StoredFloat = "F64" | "F32" | "F16" | "BF16";

/** Floating-point numbers in an open file, as a view: element (i, j) lies at `offset + elementBytes · (i·strides[0] + j·strides[1])`. */
export interface StoredTensor {
  readonly file: FileHandle;
  readonly dtype: StoredFloat;
  /** Bytes from the start of the file to element 0. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

export const elementBytes: Readonly<Record<StoredFloat, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2 };

/** Reads and writes that are under way at once: enough to keep the disk busy, few enough to bound what they hold. */
const AT_ONCE = 32;
/** Elements that one read may span. */
const SPAN = 2 ** 18;

/** Strides of an array whose last axis runs fastest. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** The same numbers with rows and columns exchanged; nothing is moved. */
export function transposed(tensor: StoredTensor): StoredTensor {
  return { ...tensor, shape: tensor.shape.toReversed(), strides: tensor.strides.toReversed() };
}

/**
 * Rows `from` to `to` of a [rows, columns] tensor (or numbers `from` to `to` of a vector) as float32, row-major. float16 and
 * bfloat16 convert exactly, float64 rounds. Memory is that of the result, whatever the order in the file.
 */
export async function readRows(tensor: StoredTensor, from: number, to: number): Promise<Float32Array> {
  const { rows, columns, strides } = asMatrix(tensor);
  if (!(from >= 0 && from <= to && to <= rows)) throw new RangeError(`rows ${from} to ${to} of a tensor with ${rows}`);
  const out = new Float32Array((to - from) * columns);
  const [rowStride, columnStride] = strides;
  const isByRows = columnStride <= rowStride;
  const walk = isByRows
    ? { outer: to - from, inner: columns, outerStride: rowStride, innerStride: columnStride }
    : { outer: columns, inner: to - from, outerStride: columnStride, innerStride: rowStride };
  await eachAtOnce(runsOf(walk, isByRows), async ({ outer, inner, count, at, stride }) => {
    const numbers = await readNumbers(tensor, from * rowStride + at, (count - 1) * stride + 1);
    if (isByRows && stride === 1) return out.set(numbers, outer * columns + inner);
    const step = isByRows ? 1 : columns;
    let target = isByRows ? outer * columns + inner : inner * columns + outer;
    for (let i = 0; i < count; i++, target += step) out[target] = numbers[i * stride]!;
  });
  return out;
}

/** Writes rows `from` and following of a float32 tensor of the file, converted to its type; the opposite of `readRows`. */
export async function writeRows(tensor: StoredTensor, from: number, values: Float32Array): Promise<void> {
  const { columns, strides } = asMatrix(tensor);
  const count = values.length / columns;
  const [rowStride, columnStride] = strides;
  if (columnStride === 1 && (rowStride === columns || columns === 1))
    return await writeNumbers(tensor, from * rowStride, values);
  if (rowStride !== 1) throw new RangeError(`strides [${strides.join(", ")}]: one of them must be 1`);
  const all = Array.from({ length: columns }, (_, column) => column);
  await eachAtOnce(all, async (column) => {
    const run = new Float32Array(count);
    for (let row = 0; row < count; row++) run[row] = values[row * columns + column]!;
    await writeNumbers(tensor, from + column * columnStride, run);
  });
}

function asMatrix({ shape, strides }: StoredTensor): { rows: number; columns: number; strides: [number, number] } {
  if (shape.length === 1) return { rows: shape[0]!, columns: 1, strides: [strides[0]!, strides[0]!] };
  if (shape.length === 2) return { rows: shape[0]!, columns: shape[1]!, strides: [strides[0]!, strides[1]!] };
  throw new RangeError(`a tensor of ${shape.length} dimensions is neither a vector nor a matrix`);
}

/** Elements along one axis that one read covers. */
interface Run {
  readonly outer: number;
  readonly inner: number;
  readonly count: number;
  readonly at: number;
  readonly stride: number;
}

interface Walk {
  readonly outer: number;
  readonly inner: number;
  readonly outerStride: number;
  readonly innerStride: number;
}

function runsOf({ outer, inner, outerStride, innerStride }: Walk, mayJoin: boolean): Run[] {
  const runs: Run[] = [];
  // Lines that follow each other without a gap are one line, as the numbers of a vector are.
  if (mayJoin && outerStride === inner * innerStride) addLine(runs, 0, outer * inner, 0, innerStride);
  else for (let line = 0; line < outer; line++) addLine(runs, line, inner, line * outerStride, innerStride);
  return runs;
}

function addLine(runs: Run[], outer: number, length: number, at: number, stride: number): void {
  const step = Math.max(1, Math.floor(SPAN / Math.max(1, stride)));
  for (let inner = 0; inner < length; inner += step) {
    runs.push({ outer, inner, count: Math.min(step, length - inner), at: at + inner * stride, stride });
  }
}

async function readNumbers({ file, dtype, offset }: StoredTensor, at: number, count: number): Promise<Float32Array> {
  const bytes = new Uint8Array(count * elementBytes[dtype]);
  const position = offset + at * elementBytes[dtype];
  const { bytesRead } = await file.read(bytes, 0, bytes.byteLength, position);
  if (bytesRead < bytes.byteLength) throw new RangeError(`the file ends at byte ${position + bytesRead}`);
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes.buffer);
    case "F64":
      return Float32Array.from(new Float64Array(bytes.buffer));
    case "F16":
      return float16ToFloat32(new Uint16Array(bytes.buffer));
    case "BF16":
      return bfloat16ToFloat32(new Uint16Array(bytes.buffer));
  }
}

async function writeNumbers({ file, dtype, offset }: StoredTensor, at: number, values: Float32Array): Promise<void> {
  const view = encode(dtype, values);
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const position = offset + at * elementBytes[dtype];
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}

function encode(dtype: StoredFloat, values: Float32Array): ArrayBufferView {
  if (dtype === "F32") return values;
  if (dtype === "F16") return float32ToFloat16(values);
  if (dtype === "BF16") return float32ToBfloat16(values);
  return Float64Array.from(values);
}

async function eachAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane));
}
