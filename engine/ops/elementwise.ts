// Elementwise operators. Shapes broadcast (see onnx/shape.ts); a number becomes a constant of the other operand's dtype.

import type { DType, Value } from "../onnx/graph.ts";
import { broadcastShapes } from "../onnx/shape.ts";
import { checked, emit, floats, requireDType } from "./emit.ts";

type Operand = Value | number;

const unary = (opType: string, allowed: readonly DType[] = floats) => {
  return (x: Value): Value => {
    requireDType(opType, x, allowed);
    return emit(opType, [x], x);
  };
};

const signed: readonly DType[] = [...floats, "int64", "int32", "int8"];

export const neg = unary("Neg", signed);
export const abs = unary("Abs", signed);
export const sign = unary("Sign", signed);
export const exp = unary("Exp");
export const log = unary("Log");
export const sqrt = unary("Sqrt");
export const reciprocal = unary("Reciprocal");
export const floor = unary("Floor");
export const ceil = unary("Ceil");
export const round = unary("Round");
export const sin = unary("Sin");
export const cos = unary("Cos");
export const tanh = unary("Tanh");
export const erf = unary("Erf");
export const relu = unary("Relu");
export const sigmoid = unary("Sigmoid");
export const softplus = unary("Softplus");
export const not = unary("Not", ["bool"]);

export function isNotANumber(x: Value): Value {
  requireDType("IsNaN", x, floats);
  return emit("IsNaN", [x], { dtype: "bool", shape: x.shape });
}

export function isInfinite(x: Value): Value {
  requireDType("IsInf", x, floats);
  return emit("IsInf", [x], { dtype: "bool", shape: x.shape });
}

const binary = (opType: string, result?: "bool", allowed?: readonly DType[]) => {
  return (a: Operand, b: Operand): Value => {
    const [left, right] = operands(a, b);
    requireDType(opType, right, [left.dtype]);
    if (allowed) requireDType(opType, left, allowed);
    const shape = checked(opType, left, () => broadcastShapes(left.shape, right.shape));
    return emit(opType, [left, right], { dtype: result ?? left.dtype, shape });
  };
};

function operands(a: Operand, b: Operand): [Value, Value] {
  if (typeof a !== "number") return [a, typeof b === "number" ? scalarLike(a, b) : b];
  if (typeof b === "number") throw new TypeError("an elementwise operator needs at least one Value");
  return [scalarLike(b, a), b];
}

/** A scalar constant of x's dtype. */
export function scalarLike(x: Value, number: number): Value {
  return x.graph.current.constant(number, x.dtype, []);
}

export const add = binary("Add");
export const sub = binary("Sub");
export const mul = binary("Mul");
export const div = binary("Div");
/** a^b; a negative base with a fractional exponent is NaN. */
export const pow = binary("Pow");
export const mod = binary("Mod", undefined, ["int64", "int32"]);
export const equal = binary("Equal", "bool");
export const less = binary("Less", "bool");
export const lessOrEqual = binary("LessOrEqual", "bool");
export const greater = binary("Greater", "bool");
export const greaterOrEqual = binary("GreaterOrEqual", "bool");
export const and = binary("And", "bool", ["bool"]);
export const or = binary("Or", "bool", ["bool"]);
export const xor = binary("Xor", "bool", ["bool"]);
export const min = binary("Min");
export const max = binary("Max");

/** condition ? a : b, elementwise, all three broadcast together. */
export function where(condition: Value, a: Operand, b: Operand): Value {
  requireDType("Where", condition, ["bool"]);
  const [left, right] = operands(a, b);
  requireDType("Where", right, [left.dtype]);
  const shape = checked("Where", left, () =>
    broadcastShapes(condition.shape, broadcastShapes(left.shape, right.shape)),
  );
  return emit("Where", [condition, left, right], { dtype: left.dtype, shape });
}

export function cast(x: Value, dtype: DType): Value {
  if (x.dtype === dtype) return x;
  // The attribute holds TensorProto.DataType; serialisation knows the codes, callers and rules only the name.
  return emit("Cast", [x], { dtype, shape: x.shape }, { to: { dtype } });
}

export function square(x: Value): Value {
  return mul(x, x);
}

/** 1 / √x */
export function rsqrt(x: Value): Value {
  return reciprocal(sqrt(x));
}

/** x · σ(x), the activation of SwiGLU. */
export function silu(x: Value): Value {
  // The runtime fuses x · σ(x) into an operator that it lacks in float64, and then refuses the model.
  return x.dtype === "float64" ? div(x, add(exp(neg(x)), 1)) : mul(x, sigmoid(x));
}

/** ½ x (1 + erf(x / √2)): the exact GELU. */
export function gelu(x: Value): Value {
  return mul(mul(x, 0.5), add(erf(div(x, Math.SQRT2)), 1));
}

export function clip(x: Value, lower: number, upper: number): Value {
  return min(max(x, lower), upper);
}
