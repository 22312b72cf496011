// Matrix products.

import type { Dim, Value } from "../onnx/graph.ts";
import { broadcastShapes, formatShape } from "../onnx/shape.ts";
import { checked, emit, floats, illegalShape, requireDType } from "./emit.ts";

/** Y[…, i, j] = Σ_n A[…, i, n] · B[…, n, j]. Leading axes broadcast; both operands have rank 2 or more. */
export function matMul(a: Value, b: Value): Value {
  requireDType("MatMul", a, floats);
  requireDType("MatMul", b, [a.dtype]);
  if (a.shape.length < 2 || b.shape.length < 2) {
    throw illegalShape("MatMul", a, "two matrices", `${formatShape(a.shape)} · ${formatShape(b.shape)}`);
  }
  const [rows, inner] = a.shape.slice(-2) as [Dim, Dim];
  const [innerB, columns] = b.shape.slice(-2) as [Dim, Dim];
  if (inner !== innerB) {
    throw illegalShape("MatMul", a, "equal inner sizes", `${formatShape(a.shape)} · ${formatShape(b.shape)}`);
  }
  const batch = checked("MatMul", a, () => broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)));
  return emit("MatMul", [a, b], { dtype: a.dtype, shape: [...batch, rows, columns] });
}

interface GemmOptions {
  /** C, broadcast to the result's shape: a bias. */
  readonly bias?: Value;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly beta?: number;
}

/** Y = α · A′ B′ + β · C on matrices; A′ is A or its transpose, B′ likewise. */
export function gemm(a: Value, b: Value, options: GemmOptions = {}): Value {
  requireDType("Gemm", a, floats);
  requireDType("Gemm", b, [a.dtype]);
  const { bias, transposeA = false, transposeB = false, alpha = 1, beta = 1 } = options;
  const [rows, inner, ...restA] = transposeA ? a.shape.toReversed() : a.shape;
  const [innerB, columns, ...restB] = transposeB ? b.shape.toReversed() : b.shape;
  if (columns === undefined || inner === undefined || restA.length + restB.length > 0 || inner !== innerB) {
    const flags = `transposeA ${transposeA}, transposeB ${transposeB}`;
    throw illegalShape(
      "Gemm",
      a,
      `matrices with equal inner sizes (${flags})`,
      `${formatShape(a.shape)} · ${formatShape(b.shape)}`,
    );
  }
  const shape = [rows as Dim, columns];
  if (bias) {
    requireDType("Gemm", bias, [a.dtype]);
    const stretched = checked("Gemm", a, () => broadcastShapes(shape, bias.shape));
    if (formatShape(stretched) !== formatShape(shape))
      throw illegalShape("Gemm", a, `a bias that fits ${formatShape(shape)}`, bias.shape);
  }
  return emit(
    "Gemm",
    bias ? [a, b, bias] : [a, b],
    { dtype: a.dtype, shape },
    {
      transA: { int: transposeA ? 1 : 0 },
      transB: { int: transposeB ? 1 : 0 },
      alpha: { float: alpha },
      beta: { float: beta },
    },
  );
}
