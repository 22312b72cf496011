// The k largest along an axis.

import type { Value } from "../onnx/graph.ts";
import { resolveAxis } from "../onnx/shape.ts";
import { checked, floats, illegalShape, indices, int64, requireDType } from "./emit.ts";
import { sizes } from "./shape.ts";

interface TopKOptions {
  readonly axis?: number;
  readonly largest?: boolean;
  /** false lets the runtime return the k in any order, which is not faster on the CPU. */
  readonly sorted?: boolean;
}

/**
 * The k largest elements along the axis, largest first, and where they were (int64). Among equals the lower index wins.
 * NaN makes the result meaningless without an error: check finiteness before. k above the axis's size fails at run time
 * when the size is symbolic.
 */
export function topK(x: Value, k: number, options: TopKOptions = {}): { values: Value; indices: Value } {
  requireDType("TopK", x, [...floats, ...indices]);
  const axis = checked("TopK", x, () => resolveAxis(options.axis ?? -1, x.shape.length));
  const size = x.shape[axis]!;
  if (!Number.isInteger(k) || k < 1 || (typeof size === "number" && k > size)) {
    throw illegalShape("TopK", x, `k between 1 and ${size}`, `${k}`);
  }
  const shape = x.shape.with(axis, k);
  const [values, found] = x.graph.current.node(
    "TopK",
    [x, int64(x, [k])],
    [
      { dtype: x.dtype, shape },
      { dtype: "int64", shape },
    ],
    {
      attributes: {
        axis: { int: axis },
        largest: { int: (options.largest ?? true) ? 1 : 0 },
        sorted: { int: (options.sorted ?? true) ? 1 : 0 },
      },
    },
  );
  return { values: values!, indices: found! };
}

/** Where the elements of a vector stand in ascending order, int64; of equals the earlier comes first. */
export function argSort(x: Value): Value {
  requireDType("TopK", x, [...floats, ...indices]);
  if (x.shape.length !== 1) throw illegalShape("TopK", x, "a vector", x.shape);
  const [, order] = x.graph.current.node(
    "TopK",
    [x, sizes(x.graph, x.shape)],
    [
      { dtype: x.dtype, shape: x.shape },
      { dtype: "int64", shape: x.shape },
    ],
    { attributes: { axis: { int: 0 }, largest: { int: 0 }, sorted: { int: 1 } } },
  );
  return order!;
}
