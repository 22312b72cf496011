// Rows of a matrix in runs whose lengths are known only when the graph runs.

import type { Dim, Value } from "../onnx/graph.ts";
import { emit, illegalShape, requireDType } from "./emit.ts";

/** Cuts [N, …] into `counts.length` runs of that many rows, some perhaps of none; the counts (int64) add up to N. */
export function splitRows(x: Value, counts: Value): Value[] {
  requireDType("Split", counts, ["int64"]);
  const [runs] = counts.shape;
  if (counts.shape.length !== 1 || typeof runs !== "number") {
    throw illegalShape("Split", x, "a vector of counts of known length", counts.shape);
  }
  const name = x.graph.current.nextName("Split");
  const outputs = Array.from({ length: runs }, (_, i) => ({
    dtype: x.dtype,
    shape: [`rows of ${name}.${i}`, ...x.shape.slice(1)],
  }));
  return x.graph.current.node("Split", [x, counts], outputs, { attributes: { axis: { int: 0 } } });
}

/** Runs of rows one below the other; together they are `rows`, which the runtime does not check. */
export function concatRows(runs: readonly [Value, ...Value[]], rows: Dim): Value {
  const [{ dtype, shape }] = runs;
  return emit("Concat", runs, { dtype, shape: [rows, ...shape.slice(1)] }, { axis: { int: 0 } });
}
