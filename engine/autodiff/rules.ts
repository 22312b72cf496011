// All of differentiation: one rule per operator, in the order of the families in engine/ops.
// Notation: y = f(x…), dy = d loss / d y; each entry of a rule's result is d loss / d x.

import type { Value } from "../onnx/graph.ts";
import {
  cast,
  cos,
  div,
  exp,
  greater,
  greaterOrEqual,
  less,
  lessOrEqual,
  log,
  mul,
  neg,
  pow,
  sigmoid,
  sign,
  sin,
  square,
  sub,
  where,
} from "../ops/elementwise.ts";
import { trilu } from "../ops/indexing.ts";
import { reduceSum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import { intAttribute, type Rule, type RuleTable, unaryRule } from "./rule.ts";
import {
  concatRule,
  gatherElementsRule,
  gatherNdRule,
  gatherRule,
  padRule,
  scatterElementsRule,
  scatterNdRule,
  sliceRule,
  splitRule,
  tileRule,
  topKRule,
  transposeRule,
} from "./rules-indexing.ts";
import { gemmRule, matMulRule } from "./rules-matmul.ts";
import { cumSumRule, reduceExtremeRule, reduceMeanRule, reduceSumRule, reduceSumSquareRule } from "./rules-reduce.ts";

/** The function is constant almost everywhere. */
const flat: Rule = () => [null];

function isSquare(exponent: Value): boolean {
  return exponent.shape.length === 0 && exponent.graph.constantData(exponent)?.[0] === 2;
}

export const rules: RuleTable = {
  Neg: unaryRule((dy) => neg(dy)),
  Abs: unaryRule((dy, x) => mul(dy, sign(x))),
  Sign: flat,
  Exp: unaryRule((dy, _x, y) => mul(dy, y)),
  Log: unaryRule((dy, x) => div(dy, x)),
  Sqrt: unaryRule((dy, _x, y) => div(mul(dy, 0.5), y)),
  Reciprocal: unaryRule((dy, _x, y) => neg(mul(dy, square(y)))),
  Floor: flat,
  Ceil: flat,
  Round: flat,
  Sin: unaryRule((dy, x) => mul(dy, cos(x))),
  Cos: unaryRule((dy, x) => neg(mul(dy, sin(x)))),
  Tanh: unaryRule((dy, _x, y) => mul(dy, sub(1, square(y)))),
  Erf: unaryRule((dy, x) => mul(dy, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI)))),
  Relu: unaryRule((dy, x) => where(greater(x, 0), dy, 0)),
  Sigmoid: unaryRule((dy, _x, y) => mul(dy, mul(y, sub(1, y)))),
  Softplus: unaryRule((dy, x) => mul(dy, sigmoid(x))),
  Identity: unaryRule((dy) => dy),
  Cast: unaryRule((dy, x) => cast(dy, x.dtype)),

  Add: ({ dy: [dy] }) => [() => dy, () => dy],
  Sub: ({ dy: [dy] }) => [() => dy, () => neg(dy)],
  Mul: ({ x: [a, b], dy: [dy] }) => [() => mul(dy, b!), () => mul(dy, a!)],
  Div: ({ x: [, b], y: [y], dy: [dy] }) => [() => div(dy, b!), () => neg(div(mul(dy, y!), b!))],
  Pow: ({ x: [a, b], y: [y], dy: [dy] }) => [
    // The runtime has a fast kernel for squares but not for the first power, which the general formula makes of them.
    () => mul(dy, isSquare(b!) ? mul(a!, 2) : mul(b!, pow(a!, sub(b!, 1)))),
    () => mul(dy, mul(y!, log(a!))),
  ],
  // Where both are equal the first one gets it all: any split is a subgradient, this one keeps the sum right.
  Min: ({ x: [a, b], dy: [dy] }) => [() => where(lessOrEqual(a!, b!), dy, 0), () => where(less(b!, a!), dy, 0)],
  Max: ({ x: [a, b], dy: [dy] }) => [() => where(greaterOrEqual(a!, b!), dy, 0), () => where(greater(b!, a!), dy, 0)],
  Where: ({ x: [condition], dy: [dy] }) => [null, () => where(condition!, dy, 0), () => where(condition!, 0, dy)],

  ReduceSum: reduceSumRule,
  ReduceMean: reduceMeanRule,
  ReduceMax: reduceExtremeRule,
  ReduceMin: reduceExtremeRule,
  ReduceSumSquare: reduceSumSquareRule,
  CumSum: cumSumRule,

  MatMul: matMulRule,
  Gemm: gemmRule,

  Softmax: ({ y: [y], dy: [dy], node }) => {
    const axis = intAttribute(node, "axis");
    return [() => mul(y!, sub(dy, reduceSum(mul(dy, y!), [axis], { keepDims: true })))];
  },
  LogSoftmax: ({ y: [y], dy: [dy], node }) => {
    const axis = intAttribute(node, "axis");
    return [() => sub(dy, mul(exp(y!), reduceSum(dy, [axis], { keepDims: true })))];
  },

  Reshape: unaryRule((dy, x) => reshape(dy, x.shape)),
  Squeeze: unaryRule((dy, x) => reshape(dy, x.shape)),
  Unsqueeze: unaryRule((dy, x) => reshape(dy, x.shape)),
  Expand: unaryRule((dy) => dy),
  Transpose: transposeRule,
  Tile: tileRule,
  Concat: concatRule,
  Split: splitRule,
  Slice: sliceRule,
  Pad: padRule,
  Trilu: ({ dy: [dy], x: [, offset], node }) => [
    () =>
      trilu(dy, { upper: intAttribute(node, "upper") === 1, offset: Number(offset!.graph.constantData(offset!)![0]) }),
  ],
  Gather: gatherRule,
  GatherElements: gatherElementsRule,
  GatherND: gatherNdRule,
  ScatterElements: scatterElementsRule,
  ScatterND: scatterNdRule,
  TopK: topKRule,
};
