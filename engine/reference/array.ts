// Arrays for the reference loops: float64 whatever the dtype, so that they can judge every precision. Speed does not matter here.

export interface NdArray {
  readonly shape: readonly number[];
  /** Row-major. Integers are exact up to 2⁵³, bool is 0 and 1. */
  readonly data: Float64Array;
}

export function ndArray(shape: readonly number[], data: ArrayLike<number>): NdArray {
  const count = countOf(shape);
  if (data.length !== count)
    throw new RangeError(`shape [${shape.join(", ")}] needs ${count} numbers, got ${data.length}`);
  return { shape, data: Float64Array.from(data) };
}

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The array whose element at each coordinate is what `at` says: most operators are one such formula. */
export function build(shape: readonly number[], at: (coordinate: readonly number[]) => number): NdArray {
  const data = new Float64Array(countOf(shape));
  let i = 0;
  for (const coordinate of coordinates(shape)) data[i++] = at(coordinate);
  return { shape, data };
}

/** All coordinates in row-major order. */
export function* coordinates(shape: readonly number[]): Generator<readonly number[]> {
  const count = countOf(shape);
  for (let i = 0; i < count; i++) {
    let rest = i;
    const coordinate = new Array<number>(shape.length);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      coordinate[axis] = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    yield coordinate;
  }
}

export function offsetOf(shape: readonly number[], coordinate: readonly number[]): number {
  return shape.reduce((offset, size, axis) => {
    const i = coordinate[axis]!;
    if (i < 0 || i >= size) throw new RangeError(`[${coordinate.join(", ")}] lies outside [${shape.join(", ")}]`);
    return offset * size + i;
  }, 0);
}

export function at(x: NdArray, coordinate: readonly number[]): number {
  return x.data[offsetOf(x.shape, coordinate)]!;
}

/** The element that a broadcast x has at the coordinate: aligned at the right, size 1 repeats. */
export function atBroadcast(x: NdArray, coordinate: readonly number[]): number {
  const extra = coordinate.length - x.shape.length;
  return at(
    x,
    x.shape.map((size, axis) => (size === 1 ? 0 : coordinate[axis + extra]!)),
  );
}

export function broadcastShape(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1).filter((size) => size !== 1);
    if (sizes.some((size) => size !== sizes[0])) throw new RangeError(`sizes ${sizes.join(", ")} do not broadcast`);
    return sizes[0] ?? 1;
  });
}

export function resolve(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
