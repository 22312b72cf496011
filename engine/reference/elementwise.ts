// Elementwise operators as plain loops.

import { atBroadcast, broadcastShape, build, type NdArray } from "./array.ts";
import type { Kernel } from "./kernel.ts";

const map = (f: (x: number) => number): Kernel => {
  return ([x]) => [{ shape: x!.shape, data: x!.data.map((value) => f(value)) }];
};

const zip = (f: (a: number, b: number) => number): Kernel => {
  return ([a, b]) => [zipArrays(a!, b!, f)];
};

export function zipArrays(a: NdArray, b: NdArray, f: (a: number, b: number) => number): NdArray {
  return build(broadcastShape(a.shape, b.shape), (c) => f(atBroadcast(a, c), atBroadcast(b, c)));
}

const truth = (f: (a: number, b: number) => boolean) => zip((a, b) => (f(a, b) ? 1 : 0));

const integerTypes = new Set(["int64", "int32", "int8", "uint8"]);

export const elementwise: Readonly<Record<string, Kernel>> = {
  Neg: map((x) => -x),
  Abs: map(Math.abs),
  Sign: map(Math.sign),
  Exp: map(Math.exp),
  Log: map(Math.log),
  Sqrt: map(Math.sqrt),
  Reciprocal: map((x) => 1 / x),
  Floor: map(Math.floor),
  Ceil: map(Math.ceil),
  Round: map(roundHalfToEven),
  Sin: map(Math.sin),
  Cos: map(Math.cos),
  Tanh: map(Math.tanh),
  Erf: map(erf),
  Relu: map((x) => Math.max(x, 0)),
  Sigmoid: map((x) => 1 / (1 + Math.exp(-x))),
  // log(1 + eˣ) without overflow
  Softplus: map((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  Not: map((x) => (x ? 0 : 1)),
  IsNaN: map((x) => (Number.isNaN(x) ? 1 : 0)),
  IsInf: map((x) => (Math.abs(x) === Number.POSITIVE_INFINITY ? 1 : 0)),
  Identity: map((x) => x),

  Add: zip((a, b) => a + b),
  Sub: zip((a, b) => a - b),
  Mul: zip((a, b) => a * b),
  Div: (x, node) => zip((a, b) => (integerTypes.has(node.outputs[0]!.dtype) ? Math.trunc(a / b) : a / b))(x, node),
  Pow: zip((a, b) => a ** b),
  // The sign of the divisor, as in Python.
  Mod: zip((a, b) => a - b * Math.floor(a / b)),
  Min: zip(Math.min),
  Max: zip(Math.max),
  Equal: truth((a, b) => a === b),
  Less: truth((a, b) => a < b),
  LessOrEqual: truth((a, b) => a <= b),
  Greater: truth((a, b) => a > b),
  GreaterOrEqual: truth((a, b) => a >= b),
  And: truth((a, b) => a !== 0 && b !== 0),
  Or: truth((a, b) => a !== 0 || b !== 0),
  Xor: truth((a, b) => (a !== 0) !== (b !== 0)),

  Where: ([condition, a, b]) => [
    build(broadcastShape(condition!.shape, a!.shape, b!.shape), (c) =>
      atBroadcast(condition!, c) ? atBroadcast(a!, c) : atBroadcast(b!, c),
    ),
  ],
  // Between floats a cast is nothing here: everything is float64.
  Cast: (x, node) => {
    const to = node.outputs[0]!.dtype;
    if (to === "bool") return map((value) => (value ? 1 : 0))(x, node);
    return integerTypes.has(to) ? map(Math.trunc)(x, node) : [x[0]!];
  },
};

function roundHalfToEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** erf(x) = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·5…(2n+1)): all terms have one sign, so nothing cancels. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
