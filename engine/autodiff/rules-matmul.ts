// Gradients of matrix products. dA = dY Bᵀ and dB = Aᵀ dY, in the arrangement that the operator was given.

import type { Dim, Value } from "../onnx/graph.ts";
import { productOfDims } from "../onnx/shape.ts";
import { mul } from "../ops/elementwise.ts";
import { gemm, matMul } from "../ops/matmul.ts";
import { reshape, transpose } from "../ops/shape.ts";
import { floatAttribute, intAttribute, type Rule } from "./rule.ts";

export const matMulRule: Rule = ({ x: [a, b], dy: [dy] }) => [
  () => matMul(dy, swapLast(b!)),
  () => {
    // One weight for a whole batch: as a single product over all rows, instead of one product per batch entry and a sum.
    if (b!.shape.length === 2) return gemm(rows(a!), rows(dy), { transposeA: true });
    return matMul(swapLast(a!), dy);
  },
];

export const gemmRule: Rule = ({ x: [a, b], dy: [dy], node }) => {
  const transposeA = intAttribute(node, "transA") === 1;
  const transposeB = intAttribute(node, "transB") === 1;
  const alpha = floatAttribute(node, "alpha");
  const beta = floatAttribute(node, "beta");
  return [
    () =>
      transposeA
        ? gemm(b!, dy, { transposeA: transposeB, transposeB: true, alpha })
        : gemm(dy, b!, { transposeB: !transposeB, alpha }),
    () =>
      transposeB
        ? gemm(dy, a!, { transposeA: true, transposeB: transposeA, alpha })
        : gemm(a!, dy, { transposeA: !transposeA, alpha }),
    () => (beta === 1 ? dy : mul(dy, beta)),
  ];
};

function swapLast(x: Value): Value {
  const axes = x.shape.map((_, i) => i);
  const last = axes.length - 1;
  return transpose(x, [...axes.slice(0, -2), last, last - 1]);
}

function rows(x: Value): Value {
  return reshape(x, [productOfDims(x.shape.slice(0, -1)), x.shape.at(-1) as Dim]);
}
