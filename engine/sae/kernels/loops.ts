// Loops over rows of numbers, four at a time, with what is left over one at a time.

import { add, type Body, type Expr, i32, type Kind, type Local, lane, mul, shiftRight, zeroOf } from "./assembler.ts";

export type LaneKind = "f32" | "f32x4";

/** The scalar or the vector form of a value, as the loop needs it. */
export const byLane = (kind: LaneKind, value: { one: Expr<"f32">; four: Expr<"f32x4"> }): Expr<LaneKind> =>
  kind === "f32" ? value.one : value.four;

/** Called with the byte offset of a number (or of four) within each row, as a local plus a constant. */
type AtLanes = (kind: LaneKind, at: Local<"i32">, offset: number, slot: number) => void;

/** Vectors per turn of the loop: enough independent sums to hide how long a product takes. */
const unroll = 4;

/** Emits `each` for every number of a row of `count`: sixteen at a time, then four, then one. */
export function overLanes(b: Body, count: Expr<"i32">, each: AtLanes): void {
  const at = b.local("i32", i32(0));
  const bytesIn = (numbers: number) => mul(mul(shiftRightUnsigned(count, numbers), i32(numbers)), i32(4));
  const wide = b.local("i32", bytesIn(4 * unroll));
  b.upTo(at, wide, 16 * unroll, () => {
    for (let slot = 0; slot < unroll; slot++) each("f32x4", at, 16 * slot, slot);
  });
  const narrow = b.local("i32", bytesIn(4));
  b.upTo(at, narrow, 16, () => each("f32x4", at, 0, 0));
  const end = b.local("i32", mul(count, i32(4)));
  b.upTo(at, end, 4, () => each("f32", at, 0, 0));
}

function shiftRightUnsigned(count: Expr<"i32">, by: number): Expr<"i32"> {
  return shiftRight(count, i32(Math.log2(by)));
}

type Term = (kind: LaneKind, at: Local<"i32">, offset: number, sum: Expr<LaneKind>) => Expr<LaneKind>;

/**
 * Folds a row of `count` numbers with `term` (sum so far → sum with one more) and joins the partial sums with `join`.
 * The order of the sum depends on `count` alone.
 */
export function foldLanes(
  b: Body,
  count: Expr<"i32">,
  term: Term,
  join: <K extends Kind>(a: Expr<K>, b: Expr<K>) => Expr<K> = add,
): Local<"f32"> {
  const sums = Array.from({ length: unroll }, () => b.local("f32x4", zeroOf("f32x4")));
  const total = b.local("f32", zeroOf("f32"));
  overLanes(b, count, (kind, at, offset, slot) => {
    const sum: Local<LaneKind> = kind === "f32x4" ? sums[slot]! : total;
    b.set(sum, term(kind, at, offset, sum));
  });
  const [s0, s1, s2, s3] = sums as [Local<"f32x4">, Local<"f32x4">, Local<"f32x4">, Local<"f32x4">];
  b.set(s0, join(join(s0, s1), join(s2, s3)));
  b.set(total, join(total, sumOfLanes(s0, join)));
  return total;
}

/** The four lanes of a vector joined: (0 + 1) + (2 + 3). */
export function sumOfLanes(
  v: Local<"f32x4">,
  join: <K extends Kind>(a: Expr<K>, b: Expr<K>) => Expr<K> = add,
): Expr<"f32"> {
  return join(join(lane(v, 0), lane(v, 1)), join(lane(v, 2), lane(v, 3)));
}
