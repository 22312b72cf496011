// Operators that move numbers without changing them, and sizes that are known only at run time.

import type { Dim, Graph, Shape, Value } from "../onnx/graph.ts";
import {
  broadcastShapes,
  derivation,
  formatShape,
  productOfDims,
  resolveAxes,
  resolveAxis,
  sameShape,
  sumOfDims,
} from "../onnx/shape.ts";
import { checked, emit, illegalShape, int64 } from "./emit.ts";

export function identity(x: Value): Value {
  return emit("Identity", [x], x);
}

/**
 * One size as an int64 vector of length 1, at run time. A symbol is read off some value of the graph that has it, or
 * computed from its parts when it is a derived name such as "S*T".
 */
export function sizeOf(graph: Graph, dim: Dim): Value {
  if (typeof dim === "number") return int64(graph.current, [dim]);
  const place = graph.current.whereIs(dim);
  if (place) {
    const { value, axis } = place;
    return emit("Shape", [value], { dtype: "int64", shape: [1] }, { start: { int: axis }, end: { int: axis + 1 } });
  }
  const derived = derivation(dim);
  if (!derived) throw new RangeError(`${graph.current.nextName("Shape")}: no value of the graph has the size ${dim}`);
  const [first, ...rest] = derived.parts.map((part) => sizeOf(graph, part));
  const opType = derived.operator === "+" ? "Add" : "Mul";
  return rest.reduce((a, b) => emit(opType, [a, b], a), first!);
}

/** A shape as an int64 vector at run time. */
export function sizes(graph: Graph, shape: Shape): Value {
  if (shape.every((dim) => typeof dim === "number")) return int64(graph.current, shape);
  return concat(
    shape.map((dim) => sizeOf(graph, dim)),
    0,
  );
}

/** The same elements in row-major order under another shape. */
export function reshape(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const [before, after] = [productOfDims(x.shape), productOfDims(shape)];
  if (typeof before === typeof after && typeof before === "number" && before !== after) {
    throw illegalShape("Reshape", x, `as many elements as ${formatShape(x.shape)}`, shape);
  }
  return emit(
    "Reshape",
    [x, reshapeTarget(x, shape)],
    { dtype: x.dtype, shape },
    { allowzero: { int: shape.includes(0) ? 1 : 0 } },
  );
}

/**
 * Cheapest first: 0 copies the input's size at that place, and −1 is worked out from the rest, so most reshapes need no
 * arithmetic on sizes at run time. Beside a size that may be 0, −1 would be ambiguous and the runtime refuses it.
 */
function reshapeTarget(x: Value, shape: Shape): Value {
  if (shape.includes(0)) return sizes(x.graph, shape);
  const copied = shape.map((dim, i) => (dim === x.shape[i] ? 0 : dim));
  const unknown = copied.filter((dim) => typeof dim === "string").length;
  if (unknown === 0) return int64(x, copied as number[]);
  const symbols = shape.filter((dim) => typeof dim === "string").length;
  if (symbols === 1)
    return int64(
      x,
      shape.map((dim) => (typeof dim === "string" ? -1 : dim)),
    );
  return sizes(x.graph, shape);
}

/** Axis i of the result is axis order[i] of x; without an order the axes are reversed. */
export function transpose(x: Value, order: readonly number[] = x.shape.map((_, i) => i).reverse()): Value {
  const sorted = checked("Transpose", x, () => resolveAxes(order, x.shape.length));
  if (sorted.length !== x.shape.length || order.length !== x.shape.length) {
    throw illegalShape("Transpose", x, `an order of ${x.shape.length} axes`, `[${order.join(", ")}]`);
  }
  const axes = order.map((axis) => resolveAxis(axis, x.shape.length));
  return emit(
    "Transpose",
    [x],
    { dtype: x.dtype, shape: axes.map((axis) => x.shape[axis]!) },
    { perm: { ints: axes } },
  );
}

/** Repeats axes of size 1 up to the shape. */
export function expand(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const stretched = checked("Expand", x, () => broadcastShapes(x.shape, shape));
  if (!sameShape(stretched, shape))
    throw illegalShape("Expand", x, `something that stretches to ${formatShape(shape)}`, x.shape);
  return emit("Expand", [x, sizes(x.graph, shape)], { dtype: x.dtype, shape });
}

/** Drops axes of size 1. */
export function squeeze(x: Value, axes: readonly number[]): Value {
  const resolved = checked("Squeeze", x, () => resolveAxes(axes, x.shape.length));
  if (resolved.some((axis) => x.shape[axis] !== 1)) {
    throw illegalShape("Squeeze", x, `size 1 on axes ${resolved.join(", ")}`, x.shape);
  }
  const shape = x.shape.filter((_, i) => !resolved.includes(i));
  return emit("Squeeze", [x, int64(x, resolved)], { dtype: x.dtype, shape });
}

/** Inserts axes of size 1; the axes count in the result. */
export function unsqueeze(x: Value, axes: readonly number[]): Value {
  const rank = x.shape.length + axes.length;
  const resolved = checked("Unsqueeze", x, () => resolveAxes(axes, rank));
  if (resolved.length !== axes.length) throw illegalShape("Unsqueeze", x, "distinct axes", `[${axes.join(", ")}]`);
  const shape: Dim[] = [...x.shape];
  for (const axis of resolved) shape.splice(axis, 0, 1);
  return emit("Unsqueeze", [x, int64(x, resolved)], { dtype: x.dtype, shape });
}

/** Joins along the axis; every other size agrees. */
export function concat(values: readonly Value[], axis: number): Value {
  const [first, ...rest] = values;
  if (!first) throw new RangeError("Concat: expected at least one value, got none");
  if (rest.length === 0) return first;
  const resolved = checked("Concat", first, () => resolveAxis(axis, first.shape.length));
  for (const value of rest) {
    if (value.dtype !== first.dtype) {
      throw new TypeError(
        `${first.graph.current.nextName("Concat")}: ${value.name} is ${value.dtype}, not ${first.dtype}`,
      );
    }
    if (
      value.shape.length !== first.shape.length ||
      value.shape.some((dim, i) => i !== resolved && dim !== first.shape[i])
    ) {
      throw illegalShape("Concat", first, `${formatShape(first.shape)} outside axis ${resolved}`, value.shape);
    }
  }
  const size = checked("Concat", first, () => sumOfDims(values.map((value) => value.shape[resolved]!)));
  return emit(
    "Concat",
    [first, ...rest],
    { dtype: first.dtype, shape: first.shape.with(resolved, size) },
    {
      axis: { int: resolved },
    },
  );
}

/** The whole tensor repeated repeats[i] times along axis i. */
export function tile(x: Value, repeats: readonly number[]): Value {
  if (repeats.length !== x.shape.length)
    throw illegalShape("Tile", x, `${x.shape.length} repeats`, `${repeats.length}`);
  const shape = x.shape.map((dim, i) => productOfDims([dim, repeats[i]!]));
  return emit("Tile", [x, int64(x, repeats)], { dtype: x.dtype, shape });
}

/** 0, 1, … size − 1 as int64. */
export function range(graph: Graph, size: Dim): Value {
  const home = graph.current;
  const limit = emit("Squeeze", [sizeOf(graph, size), int64(home, [0])], { dtype: "int64", shape: [] });
  const [zero, one] = [home.constant(0, "int64", []), home.constant(1, "int64", [])];
  return emit("Range", [zero, limit, one], { dtype: "int64", shape: [size] });
}

/** A tensor full of one number. */
export function fill(graph: Graph, shape: Shape, number: number, dtype: Value["dtype"]): Value {
  return expand(graph.current.constant(number, dtype, []), shape);
}
