// Softmax and its logarithm, along one axis.

import type { Value } from "../onnx/graph.ts";
import { resolveAxis } from "../onnx/shape.ts";
import { checked, emit, floats, requireDType } from "./emit.ts";

/** y = exp(x − max x) / Σ exp(x − max x) along the axis. */
export function softmax(x: Value, axis = -1): Value {
  return along("Softmax", x, axis);
}

/** y = x − max x − log Σ exp(x − max x) along the axis. */
export function logSoftmax(x: Value, axis = -1): Value {
  return along("LogSoftmax", x, axis);
}

function along(opType: string, x: Value, axis: number): Value {
  requireDType(opType, x, floats);
  const resolved = checked(opType, x, () => resolveAxis(axis, x.shape.length));
  return emit(opType, [x], x, { axis: { int: resolved } });
}
