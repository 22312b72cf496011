// Tensors with numbers, as they enter and leave a session.

import { type DType, dtypes, type Numbers, type TypedArray, toTypedArray } from "../onnx/dtype.ts";

/** Row-major. float16 and bfloat16 are bit patterns in a Uint16Array, int64 a BigInt64Array, bool a Uint8Array of 0 and 1. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** Shape defaults to [] for one number and [n] for a list. A typed array is used as it is, not copied. */
export function tensor(dtype: DType, data: Numbers, shape?: readonly number[]): Tensor {
  const array = toTypedArray(data, dtype);
  const dims = shape ?? (typeof data === "object" ? [array.length] : []);
  if (array.length !== countOf(dims)) {
    throw new RangeError(`shape [${dims.join(", ")}] needs ${countOf(dims)} numbers, got ${array.length}`);
  }
  return { dtype, shape: dims, data: array };
}

export function zeros(dtype: DType, shape: readonly number[]): Tensor {
  return { dtype, shape, data: new dtypes[dtype].array(countOf(shape)) };
}

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
