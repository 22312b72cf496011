// Reductions, products, softmax and top-k as plain loops.

import { at, atBroadcast, broadcastShape, build, coordinates, type NdArray, resolve } from "./array.ts";
import { float, int, type Kernel } from "./kernel.ts";

/** Folds each group of elements that share the coordinates outside the axes. */
const reduction = (fold: (group: number[]) => number): Kernel => {
  return ([x, axesInput], node) => {
    const axes = Array.from(axesInput!.data, (axis) => resolve(axis, x!.shape.length));
    const kept = x!.shape.map((size, i) => (axes.includes(i) ? 1 : size));
    const inner = x!.shape.map((size, i) => (axes.includes(i) ? size : 1));
    const result = build(kept, (outer) =>
      fold(
        Array.from(coordinates(inner), (step) =>
          at(
            x!,
            outer.map((c, i) => c + step[i]!),
          ),
        ),
      ),
    );
    const shape = int(node, "keepdims") === 1 ? kept : x!.shape.filter((_, i) => !axes.includes(i));
    return [{ shape, data: result.data }];
  };
};

const sum = (group: readonly number[]) => group.reduce((total, value) => total + value, 0);

/** One line of x along the axis, through the coordinate. */
function line(x: NdArray, axis: number, coordinate: readonly number[]): number[] {
  return Array.from({ length: x.shape[axis]! }, (_, i) => at(x, coordinate.with(axis, i)));
}

const alongAxis = (f: (values: number[], i: number) => number): Kernel => {
  return ([x], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    return [build(x!.shape, (c) => f(line(x!, axis, c), c[axis]!))];
  };
};

function logSumExp(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest + Math.log(sum(values.map((value) => Math.exp(value - largest))));
}

export const numeric: Readonly<Record<string, Kernel>> = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction((group) => sum(group) / group.length),
  ReduceMax: reduction((group) => Math.max(...group)),
  ReduceMin: reduction((group) => Math.min(...group)),
  ReduceSumSquare: reduction((group) => sum(group.map((value) => value * value))),
  ArgMax: ([x], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    const kept = build(x!.shape.with(axis, 1), (c) => {
      const values = line(x!, axis, c);
      return values.indexOf(Math.max(...values));
    });
    return [int(node, "keepdims") === 1 ? kept : { shape: x!.shape.toSpliced(axis, 1), data: kept.data }];
  },
  CumSum: ([x, axisInput], node) => {
    const axis = resolve(axisInput!.data[0]!, x!.shape.length);
    const [exclusive, reverse] = [int(node, "exclusive") === 1, int(node, "reverse") === 1];
    const counts = (i: number, here: number) => (i === here ? !exclusive : reverse ? i > here : i < here);
    return [build(x!.shape, (c) => sum(line(x!, axis, c).filter((_, i) => counts(i, c[axis]!))))];
  },

  // Σ_n A[…, i, n] · B[…, n, j]
  MatMul: ([a, b]) => {
    const batch = broadcastShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
    const inner = a!.shape.at(-1)!;
    return [
      build([...batch, a!.shape.at(-2)!, b!.shape.at(-1)!], (c) => {
        const [outer, i, j] = [c.slice(0, -2), c.at(-2)!, c.at(-1)!];
        let total = 0;
        for (let n = 0; n < inner; n++) total += inBatch(a!, outer, i, n) * inBatch(b!, outer, n, j);
        return total;
      }),
    ];
  },
  Gemm: ([a, b, bias], node) => {
    const left = int(node, "transA") ? transposed(a!) : a!;
    const right = int(node, "transB") ? transposed(b!) : b!;
    const [alpha, beta] = [float(node, "alpha"), float(node, "beta")];
    return [
      build([left.shape[0]!, right.shape[1]!], ([i, j]) => {
        let total = 0;
        for (let n = 0; n < left.shape[1]!; n++) total += at(left, [i!, n]) * at(right, [n, j!]);
        return alpha * total + (bias ? beta * atBroadcast(bias, [i!, j!]) : 0);
      }),
    ];
  },

  Softmax: alongAxis((values, i) => Math.exp(values[i]! - logSumExp(values))),
  LogSoftmax: alongAxis((values, i) => values[i]! - logSumExp(values)),

  TopK: ([x, kInput], node) => {
    const axis = resolve(int(node, "axis"), x!.shape.length);
    const shape = x!.shape.with(axis, kInput!.data[0]!);
    const order = (c: readonly number[]) => {
      const values = line(x!, axis, c);
      const direction = int(node, "largest") === 1 ? -1 : 1;
      return values.map((_, i) => i).sort((i, j) => direction * (values[i]! - values[j]!) || i - j);
    };
    const indices = build(shape, (c) => order(c)[c[axis]!]!);
    return [build(shape, (c) => at(x!, c.with(axis, at(indices, c)))), indices];
  },
};

function inBatch(x: NdArray, outer: readonly number[], i: number, j: number): number {
  const batch = x.shape.slice(0, -2);
  const extra = outer.length - batch.length;
  return at(x, [...batch.map((size, axis) => (size === 1 ? 0 : outer[axis + extra]!)), i, j]);
}

function transposed(x: NdArray): NdArray {
  return build(x.shape.toReversed(), (c) => at(x, c.toReversed()));
}
