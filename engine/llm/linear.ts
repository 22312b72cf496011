// The one way in which a block multiplies by a weight matrix.

import type { Value } from "../onnx/graph.ts";
import { add, cast } from "../ops/elementwise.ts";
import { gemm } from "../ops/matmul.ts";
import { matMulBlocks } from "../ops/quantized.ts";
import { isQuantized } from "./quantized-matrix.ts";

export interface Linear {
  readonly weight: Value;
  readonly bias: Value | null;
}

/** x Wᵀ + b on rows of float32; W lies as in the checkpoint, [out, in]. With 16-bit weights x is rounded to their type before the product, and its result is of that type. */
export function linear(x: Value, { weight, bias }: Linear): Value {
  if (isQuantized(weight)) return matMulBlocks(x, weight.blocks, bias);
  if (weight.dtype !== x.dtype) {
    const product = cast(gemm(cast(x, weight.dtype), weight, { transposeB: true }), x.dtype);
    return bias ? add(product, bias) : product;
  }
  return gemm(x, weight, bias ? { transposeB: true, bias } : { transposeB: true });
}
