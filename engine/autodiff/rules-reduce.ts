// Gradients of reductions: what came out is spread back over what went in.

import type { Node, Value } from "../onnx/graph.ts";
import { productOfDims, resolveAxes } from "../onnx/shape.ts";
import { cast, div, equal, mul } from "../ops/elementwise.ts";
import { cumSum, reducedShape, reduceSum } from "../ops/reduce.ts";
import { expand, reshape, sizeOf } from "../ops/shape.ts";
import { constantNumbers, intAttribute, type Rule } from "./rule.ts";

export const reduceSumRule: Rule = ({ x: [x, axes], dy: [dy], node }) => [
  () => expand(keepAxes(dy, x!, axesOf(node, x!, axes!)), x!.shape),
];

export const reduceMeanRule: Rule = ({ x: [x, axes], dy: [dy], node }) => [
  () => {
    const reduced = axesOf(node, x!, axes!);
    const count = productOfDims(reduced.map((axis) => x!.shape[axis]!));
    // A symbolic count is read at run time, as a tensor of one number.
    const divisor = typeof count === "number" ? count : reshape(cast(sizeOf(x!.graph, count), x!.dtype), []);
    return expand(div(keepAxes(dy, x!, reduced), divisor), x!.shape);
  },
];

/** Largest or smallest: elements that are equally extreme share the gradient equally. */
export const reduceExtremeRule: Rule = ({ x: [x, axes], y: [y], dy: [dy], node }) => [
  () => {
    const reduced = axesOf(node, x!, axes!);
    const chosen = cast(equal(x!, keepAxes(y!, x!, reduced)), x!.dtype);
    const share = div(keepAxes(dy, x!, reduced), reduceSum(chosen, reduced, { keepDims: true }));
    return mul(chosen, share);
  },
];

export const reduceSumSquareRule: Rule = ({ x: [x, axes], dy: [dy], node }) => [
  () => mul(mul(x!, 2), keepAxes(dy, x!, axesOf(node, x!, axes!))),
];

/** A sum of what came before becomes a sum of what comes after. */
export const cumSumRule: Rule = ({ x: [, axis], dy: [dy], node }) => [
  () =>
    cumSum(dy, constantNumbers(node, axis!)[0]!, {
      exclusive: intAttribute(node, "exclusive") === 1,
      reverse: intAttribute(node, "reverse") === 0,
    }),
];

function axesOf(node: Node, x: Value, axes: Value): number[] {
  return resolveAxes(constantNumbers(node, axes), x.shape.length);
}

/** Puts the reduced axes back with size 1, so that the value broadcasts against x. */
function keepAxes(value: Value, x: Value, axes: readonly number[]): Value {
  return reshape(value, reducedShape(x.shape, axes, true));
}
