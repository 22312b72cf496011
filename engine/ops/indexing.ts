// Operators that pick elements out and put them back.

import type { Dim, DType, Value } from "../onnx/graph.ts";
import { formatShape, resolveAxis, sameShape, sumOfDims } from "../onnx/shape.ts";
import { cast, equal } from "./elementwise.ts";
import { checked, emit, illegalShape, indices as indexTypes, int64, requireDType } from "./emit.ts";
import { range, sizes, unsqueeze } from "./shape.ts";

type Bound = number | Value;

/**
 * Elements start … end − 1 along one axis; without an end, all that follow; negative bounds count from the end.
 * Bounds may be values (int64, one element): then, and whenever it cannot be worked out, `size` says how many come out.
 */
export function slice(x: Value, axis: number, start: Bound, end?: Bound, size?: Dim): Value {
  const resolved = checked("Slice", x, () => resolveAxis(axis, x.shape.length));
  const dim = size ?? slicedSize(x, resolved, start, end);
  const bound = (b: Bound) => (typeof b === "number" ? int64(x, [b]) : unsqueezeScalar(b));
  const last = end === undefined ? x.graph.current.constant(2n ** 63n - 1n, "int64", [1]) : bound(end);
  const shape = x.shape.with(resolved, dim);
  return emit("Slice", [x, bound(start), last, int64(x, [resolved])], { dtype: x.dtype, shape });
}

function unsqueezeScalar(value: Value): Value {
  return value.shape.length === 0 ? unsqueeze(value, [0]) : value;
}

function slicedSize(x: Value, axis: number, start: Bound, end: Bound | undefined): Dim {
  const dim = x.shape[axis]!;
  const refused = (why: string) =>
    illegalShape("Slice", x, `bounds that fit ${dim} (${why})`, `${describe(start)} … ${describe(end)}`);
  if (typeof start !== "number" || (end !== undefined && typeof end !== "number")) throw refused("pass the size");
  if (typeof dim === "number") {
    const from = start < 0 ? start + dim : start;
    const to = end === undefined ? dim : end < 0 ? end + dim : end;
    if (from < 0 || from > to || to > dim) throw refused("they run over");
    return to - from;
  }
  // On a symbolic axis: T[2:] is T+-2, T[-3:] is 3, T[:5] is 5, T[:-1] is T+-1. What is out of range shows at run time.
  if (end === undefined) return start >= 0 ? sumOfDims([dim, -start]) : -start;
  if (start >= 0 === end >= 0) {
    if (end < start) throw refused("they run backwards");
    return end - start;
  }
  if (start >= 0) return sumOfDims([dim, end - start]);
  throw refused("pass the size");
}

function describe(bound: Bound | undefined): string {
  return bound === undefined ? "" : typeof bound === "number" ? String(bound) : bound.name;
}

/** Cuts the axis into pieces of the given sizes. */
export function split(x: Value, pieces: readonly Dim[], axis: number): Value[] {
  const resolved = checked("Split", x, () => resolveAxis(axis, x.shape.length));
  const total = checked("Split", x, () => sumOfDims(pieces));
  if (x.shape[resolved] !== total)
    throw illegalShape("Split", x, `pieces that add up to ${x.shape[resolved]}`, `${total}`);
  return x.graph.current.node(
    "Split",
    [x, sizes(x.graph, pieces)],
    pieces.map((piece) => ({ dtype: x.dtype, shape: x.shape.with(resolved, piece) })),
    { attributes: { axis: { int: resolved } } },
  );
}

/** Rows of x along the axis: y[…, i…, …] = x[…, indices[i…], …]. */
export function gather(x: Value, indices: Value, axis = 0): Value {
  requireDType("Gather", indices, indexTypes);
  const resolved = checked("Gather", x, () => resolveAxis(axis, x.shape.length));
  const shape = [...x.shape.slice(0, resolved), ...indices.shape, ...x.shape.slice(resolved + 1)];
  return emit("Gather", [x, indices], { dtype: x.dtype, shape }, { axis: { int: resolved } });
}

/** y[i, j] = x[i, indices[i, j]] for the last axis of a matrix; likewise for other axes. */
export function gatherElements(x: Value, indices: Value, axis: number): Value {
  requireDType("GatherElements", indices, indexTypes);
  const resolved = checked("GatherElements", x, () => resolveAxis(axis, x.shape.length));
  requireSameOutside("GatherElements", x, indices, resolved);
  return emit("GatherElements", [x, indices], { dtype: x.dtype, shape: indices.shape }, { axis: { int: resolved } });
}

type Reduction = "none" | "add" | "mul" | "max" | "min";

/** A copy of x with x[i, indices[i, j]] set to updates[i, j], or reduced with it. Repeated indices are safe with a reduction. */
export function scatterElements(
  x: Value,
  indices: Value,
  updates: Value,
  axis: number,
  reduction: Reduction = "none",
): Value {
  requireDType("ScatterElements", indices, indexTypes);
  requireDType("ScatterElements", updates, [x.dtype]);
  const resolved = checked("ScatterElements", x, () => resolveAxis(axis, x.shape.length));
  if (!sameShape(indices.shape, updates.shape)) {
    throw illegalShape("ScatterElements", x, `updates like the indices ${formatShape(indices.shape)}`, updates.shape);
  }
  const attributes = { axis: { int: resolved }, reduction: { string: reduction } };
  return emit("ScatterElements", [x, indices, updates], x, attributes);
}

/** y[i…] = x[indices[i…, :]]: each row of the last axis of indices is a coordinate (or the leading part of one). */
export function gatherNd(x: Value, indices: Value): Value {
  requireDType("GatherND", indices, ["int64"]);
  return emit("GatherND", [x, indices], { dtype: x.dtype, shape: coordinateShape("GatherND", x, indices) });
}

/**
 * A copy of x with the slices at the coordinates set to the updates, or reduced with them.
 * With "add" and repeated coordinates the CPU kernel races between threads: use scatterElements, or one thread.
 */
export function scatterNd(x: Value, indices: Value, updates: Value, reduction: Reduction = "none"): Value {
  requireDType("ScatterND", indices, ["int64"]);
  requireDType("ScatterND", updates, [x.dtype]);
  const expected = coordinateShape("ScatterND", x, indices);
  if (!sameShape(expected, updates.shape)) {
    throw illegalShape("ScatterND", x, `updates of shape ${formatShape(expected)}`, updates.shape);
  }
  return emit("ScatterND", [x, indices, updates], x, { reduction: { string: reduction } });
}

function coordinateShape(opType: string, x: Value, indices: Value): Dim[] {
  const depth = indices.shape.at(-1);
  if (typeof depth !== "number" || depth < 1 || depth > x.shape.length) {
    throw illegalShape(opType, x, `coordinates of 1 to ${x.shape.length} numbers`, indices.shape);
  }
  return [...indices.shape.slice(0, -1), ...x.shape.slice(depth)];
}

function requireSameOutside(opType: string, x: Value, indices: Value, axis: number): void {
  const agrees =
    x.shape.length === indices.shape.length && x.shape.every((dim, i) => i === axis || dim === indices.shape[i]);
  if (!agrees)
    throw illegalShape(opType, x, `indices like ${formatShape(x.shape)} outside axis ${axis}`, indices.shape);
}

/** `before` and `after` more elements on one axis, all equal to `number`; the counts may be values (int64 [1]) when `size` is given. */
export function pad(x: Value, axis: number, before: Bound, after: Bound, number = 0, size?: Dim): Value {
  const resolved = checked("Pad", x, () => resolveAxis(axis, x.shape.length));
  const numeric = typeof before === "number" && typeof after === "number";
  if (!numeric && size === undefined) throw illegalShape("Pad", x, "a size for counts known at run time", "none");
  const dim = size ?? sumOfDims([x.shape[resolved]!, before as number, after as number]);
  const count = (b: Bound) => (typeof b === "number" ? int64(x, [b]) : unsqueezeScalar(b));
  const pads = numeric
    ? int64(x, [before, after])
    : emit("Concat", [count(before), count(after)], { dtype: "int64", shape: [2] }, { axis: { int: 0 } });
  const shape = x.shape.with(resolved, dim);
  const fillWith = x.graph.current.constant(number, x.dtype, []);
  return emit(
    "Pad",
    [x, pads, fillWith, int64(x, [resolved])],
    { dtype: x.dtype, shape },
    { mode: { string: "constant" } },
  );
}

/** Keeps the lower (or upper) triangle of the last two axes, the rest becomes 0; offset moves the diagonal up. */
export function trilu(x: Value, options: { upper?: boolean; offset?: number } = {}): Value {
  if (x.shape.length < 2) throw illegalShape("Trilu", x, "a matrix", x.shape);
  const offset = x.graph.current.constant(options.offset ?? 0, "int64", []);
  return emit("Trilu", [x, offset], x, { upper: { int: options.upper ? 1 : 0 } });
}

/** 1 at the index, 0 elsewhere, on a new last axis of this size. */
export function oneHot(indices: Value, size: Dim, dtype: DType): Value {
  requireDType("OneHot", indices, ["int64"]);
  return cast(equal(unsqueeze(indices, [-1]), range(indices.graph, size)), dtype);
}
