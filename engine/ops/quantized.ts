// Products with weights stored as small integers.

import type { Value } from "../onnx/graph.ts";
import { formatShape } from "../onnx/shape.ts";
import { emit, illegalShape, requireDType } from "./emit.ts";

/** A matrix [out, in] in blocks along `in`, as MatMulNBits stores it: integer q stands for scale·(q − 2^(bits−1)). */
export interface BlockMatrix {
  /** uint8 [out, blocks, blockColumns·bits/8] */
  readonly packed: Value;
  /** float32 [out, blocks] */
  readonly scales: Value;
  readonly bits: 4 | 8;
  readonly blockColumns: number;
  readonly columns: number;
}

/**
 * Y[m, o] = Σ_i X[m, i] · W[o, i] + bias[o], W a BlockMatrix; X float32 [M, in], Y float32 [M, out]. The rows of X are rounded to 8-bit
 * integers too, in the same blocks with a scale of max |x| / 127 each, and integers are multiplied exactly.
 * This is `accuracy_level` 4. Level 0 keeps X in float32 and is slower: 4 bits 1.7 times, 8 bits 49 times (1024 × 3072, one row).
 */
export function matMulBlocks(x: Value, weight: BlockMatrix, bias: Value | null = null): Value {
  const { packed, scales, bits, blockColumns, columns } = weight;
  requireDType("MatMulNBits", x, ["float32"]);
  requireDType("MatMulNBits", packed, ["uint8"]);
  requireDType("MatMulNBits", scales, ["float32"]);
  const [out, blocks] = [packed.shape[0]!, Math.ceil(columns / blockColumns)];
  const storage = [out, blocks, (blockColumns * bits) / 8];
  if (packed.shape.join() !== storage.join() || scales.shape.join() !== [out, blocks].join()) {
    const found = `${formatShape(packed.shape)} and ${formatShape(scales.shape)}`;
    throw illegalShape("MatMulNBits", x, `blocks ${formatShape(storage)} and scales [${out}, ${blocks}]`, found);
  }
  if (x.shape.length !== 2 || x.shape[1] !== columns)
    throw illegalShape("MatMulNBits", x, `rows of ${columns}`, x.shape);
  if (bias && bias.shape.join() !== String(out)) throw illegalShape("MatMulNBits", x, `a bias [${out}]`, bias.shape);
  const inputs = [x, packed, scales, ...(bias ? [null, null, bias] : [])];
  return x.graph.current.node("MatMulNBits", inputs, [{ dtype: "float32", shape: [x.shape[0]!, out] }], {
    domain: "com.microsoft",
    attributes: {
      K: { int: columns },
      N: { int: out as number },
      bits: { int: bits },
      block_size: { int: blockColumns },
      accuracy_level: { int: 4 },
    },
  })[0]!;
}

/**
 * Y[m, n] = Σ_i (A[m, i] − zero) · B[i, n], exactly, where the processor adds products of bytes in full (see
 * engine/sae/screened-topk.ts for those that do not). A uint8 [M, K], B int8 [K, N], Y int32 [M, N].
 */
export function matMulInteger(a: Value, b: Value, zero: number): Value {
  requireDType("MatMulInteger", a, ["uint8"]);
  requireDType("MatMulInteger", b, ["int8"]);
  const [rows, inner, ...restA] = a.shape;
  const [innerB, columns, ...restB] = b.shape;
  if (rows === undefined || columns === undefined || inner !== innerB || restA.length + restB.length > 0) {
    const found = `${formatShape(a.shape)} · ${formatShape(b.shape)}`;
    throw illegalShape("MatMulInteger", a, "two matrices with equal inner sizes", found);
  }
  const zeroPoint = a.graph.current.constant(zero, "uint8");
  return emit("MatMulInteger", [a, b, zeroPoint], { dtype: "int32", shape: [rows, columns] });
}
