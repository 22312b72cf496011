// The one way in which a block multiplies by a weight matrix.

import type { Value } from "../onnx/graph.ts";
import { gemm } from "../ops/matmul.ts";
import { matMulBlocks } from "../ops/quantized.ts";
import { isQuantized } from "./quantized-matrix.ts";

export interface Linear {
  readonly weight: Value;
  readonly bias: Value | null;
}

/** x Wᵀ + b on rows; W lies as in the checkpoint, [out, in]. */
export function linear(x: Value, { weight, bias }: Linear): Value {
  if (isQuantized(weight)) return matMulBlocks(x, weight.blocks, bias);
  return gemm(x, weight, bias ? { transposeB: true, bias } : { transposeB: true });
}
