// Gradients of operators that move elements: the gradient moves back the same way, and meets in sums where an element
// was used more than once. Sums over repeated indices use ScatterElements: ScatterND races between threads.

import type { Value } from "../onnx/graph.ts";
import { productOfDims, resolveAxis } from "../onnx/shape.ts";
import { mul, sub } from "../ops/elementwise.ts";
import { gatherElements, gatherNd, pad, scatterElements, scatterNd, split } from "../ops/indexing.ts";
import { reduceSum } from "../ops/reduce.ts";
import { concat, expand, reshape, sizeOf, transpose } from "../ops/shape.ts";
import { constantNumbers, intAttribute, type Rule, zerosLike } from "./rule.ts";

export const transposeRule: Rule = ({ dy: [dy], node }) => [
  () => {
    const order = node.attributes.perm;
    if (!order || !("ints" in order)) throw new TypeError(`${node.name}: expected the attribute perm`);
    return transpose(
      dy,
      order.ints.map((_, i) => order.ints.indexOf(i)),
    );
  },
];

export const tileRule: Rule = ({ x: [x, repeats], dy: [dy], node }) => [
  () => {
    const counts = constantNumbers(node, repeats!);
    const copies = reshape(
      dy,
      x!.shape.flatMap((dim, i) => [counts[i]!, dim]),
    );
    return reduceSum(
      copies,
      counts.map((_, i) => 2 * i),
    );
  },
];

export const concatRule: Rule = ({ x, dy: [dy], node }) => {
  const axis = intAttribute(node, "axis");
  const pieces = () =>
    split(
      dy,
      x.map((value) => value.shape[axis]!),
      axis,
    );
  let made: Value[] | null = null;
  return x.map((_, i) => () => {
    made ??= pieces();
    return made[i]!;
  });
};

export const splitRule: Rule = ({ y, dy, node }) => [
  () =>
    concat(
      y.map((piece, i) => dy[i] ?? zerosLike(piece)),
      intAttribute(node, "axis"),
    ),
];

export const sliceRule: Rule = ({ x: [x, start, , axes], y: [y], dy: [dy], node }) => [
  () => {
    const axis = constantNumbers(node, axes!)[0]!;
    const [whole, part] = [x!.shape[axis]!, y!.shape[axis]!];
    const first = start!.graph.constantData(start!);
    const offset = first ? Number(first[0]) : start!;
    if (typeof whole === "number" && typeof part === "number" && typeof offset === "number") {
      const before = offset < 0 ? offset + whole : offset;
      return pad(dy, axis, before, whole - part - before, 0, whole);
    }
    // Sizes or the start are known at run time only: what is cut off behind is what is left of the axis.
    const total = sizeOf(x!.graph, whole);
    const rest = sub(total, sizeOf(x!.graph, part));
    const before =
      typeof offset !== "number" ? reshape(offset, [1]) : offset < 0 ? sub(total, -offset) : sizeOf(x!.graph, offset);
    return pad(dy, axis, before, sub(rest, before), 0, whole);
  },
];

export const padRule: Rule = ({ x: [x, pads, , axes], dy: [dy], node }) => [
  () => {
    const axis = constantNumbers(node, axes!)[0]!;
    const [before, after] = constantNumbers(node, pads!) as [number, number];
    return split(dy, [before, x!.shape[axis]!, after], axis)[1]!;
  },
];

export const gatherRule: Rule = ({ x: [x, indices], dy: [dy], node }) => [
  () => {
    // The indices become one axis of n, in the place of the gathered axis, and are repeated along the others.
    const axis = resolveAxis(intAttribute(node, "axis"), x!.shape.length);
    const n = productOfDims(indices!.shape);
    const flat = x!.shape.with(axis, n);
    const column = reshape(
      indices!,
      x!.shape.map((_, i) => (i === axis ? n : 1)),
    );
    return scatterElements(zerosLike(x!), expand(column, flat), reshape(dy, flat), axis, "add");
  },
];

export const gatherElementsRule: Rule = ({ x: [x, indices], dy: [dy], node }) => [
  () => scatterElements(zerosLike(x!), indices!, dy, intAttribute(node, "axis"), "add"),
];

/** Repeated coordinates would race, so the coordinates become flat indices and go through ScatterElements. */
export const gatherNdRule: Rule = ({ x: [x, indices], dy: [dy] }) => [
  () => {
    const depth = indices!.shape.at(-1) as number;
    const [outer, inner] = [x!.shape.slice(0, depth), x!.shape.slice(depth)];
    const n = productOfDims(indices!.shape.slice(0, -1));
    const [rows, columns] = [productOfDims(outer), productOfDims(inner)];
    const strides = outer.map((_, i) => sizeOf(x!.graph, productOfDims(outer.slice(i + 1))));
    const flatIndex = reduceSum(mul(reshape(indices!, [n, depth]), concat(strides, 0)), [1], { keepDims: true });
    const zero = reshape(zerosLike(x!), [rows, columns]);
    const sum = scatterElements(zero, expand(flatIndex, [n, columns]), reshape(dy, [n, columns]), 0, "add");
    return reshape(sum, x!.shape);
  },
];

export const scatterElementsRule: Rule = ({ x: [, indices, updates], dy: [dy], node }) => {
  const axis = intAttribute(node, "axis");
  const reduction = reductionOf(node);
  const kept = () => (reduction === "add" ? dy : scatterElements(dy, indices!, zerosLike(updates!), axis));
  return [kept, null, () => gatherElements(dy, indices!, axis)];
};

export const scatterNdRule: Rule = ({ x: [, indices, updates], dy: [dy], node }) => {
  const reduction = reductionOf(node);
  return [
    () => (reduction === "add" ? dy : scatterNd(dy, indices!, zerosLike(updates!))),
    null,
    () => gatherNd(dy, indices!),
  ];
};

/** With "none" and repeated indices the last one wins, and no rule can know which: such a graph has no defined gradient. */
function reductionOf(node: {
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}): "none" | "add" {
  const { string: reduction } = node.attributes.reduction as { string: string };
  if (reduction === "none" || reduction === "add") return reduction;
  throw new TypeError(`${node.name}: there is no gradient rule for the reduction ${reduction}`);
}

export const topKRule: Rule = ({ x: [x], y: [, found], dy: [dy], node }) => [
  () => scatterElements(zerosLike(x!), found!, dy, intAttribute(node, "axis")),
];
