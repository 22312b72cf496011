// Element types: their ONNX code, their size, and the typed array that carries them.

export type DType = "float32" | "float64" | "float16" | "bfloat16" | "int64" | "int32" | "int8" | "uint8" | "bool";

export type TypedArray =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int8Array
  | Uint8Array;

interface DTypeFacts {
  /** `TensorProto.DataType` */
  readonly code: number;
  readonly bytes: number;
  /** JavaScript has no array of half floats in every version we run on: their bit patterns travel as 16-bit integers. */
  readonly array: {
    new (length: number): TypedArray;
    new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
  };
}

export const dtypes: Readonly<Record<DType, DTypeFacts>> = {
  float32: { code: 1, bytes: 4, array: Float32Array },
  uint8: { code: 2, bytes: 1, array: Uint8Array },
  int8: { code: 3, bytes: 1, array: Int8Array },
  int32: { code: 6, bytes: 4, array: Int32Array },
  int64: { code: 7, bytes: 8, array: BigInt64Array },
  bool: { code: 9, bytes: 1, array: Uint8Array },
  float16: { code: 10, bytes: 2, array: Uint16Array },
  float64: { code: 11, bytes: 8, array: Float64Array },
  bfloat16: { code: 16, bytes: 2, array: Uint16Array },
};

export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64" || dtype === "float16" || dtype === "bfloat16";
}

export type Numbers =
  | number
  | bigint
  | boolean
  | readonly number[]
  | readonly bigint[]
  | readonly boolean[]
  | TypedArray;

/** The numbers as a typed array of `dtype`; a typed array of the right kind is taken as it is (half floats: bit patterns). */
export function toTypedArray(data: Numbers, dtype: DType): TypedArray {
  const facts = dtypes[dtype];
  if (ArrayBuffer.isView(data)) {
    if (data.constructor !== facts.array) {
      throw new TypeError(`${dtype} data must be ${facts.array.name}, got ${data.constructor.name}`);
    }
    return data;
  }
  const list: readonly (number | bigint | boolean)[] = Array.isArray(data) ? data : [data as number];
  if (dtype === "int64") return BigInt64Array.from(list, (x) => BigInt(x));
  if (dtype === "float16") return Uint16Array.from(list, (x) => toFloat16Bits(Number(x)));
  if (dtype === "bfloat16") return Uint16Array.from(list, (x) => toBfloat16Bits(Number(x)));
  const array = new facts.array(list.length) as Exclude<TypedArray, BigInt64Array>;
  list.forEach((x, i) => {
    array[i] = Number(x);
  });
  return array;
}

const view = new DataView(new ArrayBuffer(8));

/** bfloat16 is the upper half of a float32; ties round to even, as hardware does. */
export function toBfloat16Bits(x: number): number {
  view.setFloat32(0, x);
  const bits = view.getUint32(0);
  if (Number.isNaN(x)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBfloat16Bits(bits: number): number {
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}

/** IEEE binary16 bits of x, ties to even; beyond 65504 becomes infinity. */
export function toFloat16Bits(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65520) return sign | 0x7c00;
  // Below 2^-14 the exponent is pinned there (subnormals), so one step formula serves both ranges.
  view.setFloat64(0, size);
  const exponent = Math.max(((view.getUint16(0) >>> 4) & 0x7ff) - 1023, -14);
  const steps = roundHalfToEven(size * 2 ** (10 - exponent));
  return sign | (steps + (exponent + 14) * 1024);
}

export function fromFloat16Bits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
