// Rows and encoder as 8-bit integers, and how far those are from them.

import {
  abs,
  add,
  type Body,
  chooseLanes,
  div,
  type Expr,
  f32,
  i32,
  type Local,
  laneI32,
  lanesEqual,
  larger,
  load,
  madd,
  mul,
  nearest,
  packBytes,
  splat,
  splatI32,
  sqrt,
  sub,
  toLanesI32,
  zeroOf,
} from "./assembler.ts";
import { foldLanes, type LaneKind, sumOfLanes } from "./loops.ts";
import type { TensorAddresses } from "./memory.ts";
import { stepMemories } from "./row-kernels.ts";
import { type ScreeningAddresses, type ScreeningSizes, wordAt } from "./screening-layout.ts";

const { batch: B, weights: W } = stepMemories;
/** Magnitudes below this count as it: a row of zeros then has a scale too. */
const leastMagnitude = 1e-20;
const inputLevels = 127;

/**
 * What rounding took from a row. Errors of numbers that kept some of themselves have mixed signs and are given a share of their norm.
 * A number that became 0 is lost whole: these errors are the row itself, which features are aligned with, and count in full. (A row
 * with one huge dimension loses all others: given only a share, the wrong features passed.)
 */
function createResidue(b: Body) {
  const kept = b.local("f32x4");
  const lost = b.local("f32x4");
  const part = b.local("f32x4");
  return {
    clear(): void {
      b.set(kept, zeroOf("f32x4"));
      b.set(lost, zeroOf("f32x4"));
    },
    add(rest: Expr<"f32x4">, integers: Expr<"f32x4">): void {
      b.set(part, chooseLanes(rest, zeroOf("f32x4"), lanesEqual(integers, zeroOf("f32x4"))));
      b.set(lost, madd(part, part, lost));
      b.set(part, sub(rest, part));
      b.set(kept, madd(part, part, kept));
    },
    bound: (margin: number): Expr<"f32"> => add(mul(f32(margin), sqrt(sumOfLanes(kept))), sqrt(sumOfLanes(lost))),
  };
}

/** Every 16 numbers of a row of D. */
function overSixteens(b: Body, dModel: number, each: (at: Local<"i32">, slot: number) => void): void {
  const at = b.local("i32", i32(0));
  b.upTo(at, i32(4 * dModel), 64, () => {
    for (let slot = 0; slot < 4; slot++) each(at, slot);
  });
}

/**
 * Rows f of W_enc as bytes round(w/s_f) + levels + 1, with s_f = max|w| / levels; ‖ŵ‖, ‖w − ŵ‖ for what the bytes stand for,
 * ŵ, the latter as `createResidue` bounds it; and bias_f.
 */
export function writeQuantiseWeights(
  b: Body,
  { dModel, weightLevels, margin }: ScreeningSizes,
  at: ScreeningAddresses,
  tensors: TensorAddresses,
): void {
  const f = b.param("i32");
  const to = b.param("i32");
  const row = b.local("i32");
  const out = b.local("i32");
  const scale = b.local("f32");
  const scale4 = b.local("f32x4");
  const perScale4 = b.local("f32x4");
  const zero = splatI32(i32(weightLevels + 1));
  const norm = b.local("f32x4");
  const along = b.local("f32x4");
  const residue = createResidue(b);
  const q = Array.from({ length: 4 }, () => b.local("f32x4"));
  const rounded = b.local("f32x4");
  const rest = b.local("f32x4");

  b.upTo(f, to, 1, () => {
    b.set(row, add(i32(tensors.W_enc_FD), mul(f, i32(4 * dModel))));
    b.set(out, add(i32(at.quantised_FD), mul(f, i32(dModel))));
    const largest = foldLanes(
      b,
      i32(dModel),
      (kind, lanes, offset, most) => larger(most, abs(load(kind, W, add(row, lanes), offset))),
      larger,
    );
    b.set(scale, div(larger(largest, f32(leastMagnitude)), f32(weightLevels)));
    b.set(scale4, splat(scale));
    b.set(perScale4, splat(div(f32(1), scale)));
    for (const sum of [norm, along]) b.set(sum, zeroOf("f32x4"));
    residue.clear();
    overSixteens(b, dModel, (lanes, slot) => {
      const w = load("f32x4", W, add(row, lanes), 16 * slot);
      b.set(q[slot]!, nearest(mul(w, perScale4)));
      b.set(rounded, mul(q[slot]!, scale4));
      b.set(rest, sub(w, rounded));
      b.set(norm, madd(rounded, rounded, norm));
      residue.add(rest, q[slot]!);
      b.set(along, madd(w, load("f32x4", B, add(i32(at.centre_D), lanes), 16 * slot), along));
      if (slot < 3) return;
      const bytes = q.map((four) => add(toLanesI32(four), zero));
      b.store(B, out, packBytes(bytes as unknown as Parameters<typeof packBytes>[0]));
      b.set(out, add(out, i32(16)));
    });
    b.store(B, wordAt(at.scale_F, f), scale);
    b.store(B, wordAt(at.norm_F, f), sqrt(sumOfLanes(norm)));
    b.store(B, wordAt(at.residue_F, f), residue.bound(margin));
    b.store(B, wordAt(at.bias_F, f), add(load("f32", W, wordAt(tensors.b_enc_F, f)), sumOfLanes(along)));
  });
}

/** Rows `firstRow + r` of x − c as columns of signed bytes, with 1/s_b, ‖x − c‖ and what rounding took, bounded. */
export function writeQuantiseRows(b: Body, { dModel, rows, margin }: ScreeningSizes, at: ScreeningAddresses): void {
  const r = b.param("i32");
  const to = b.param("i32");
  const firstRow = b.param("i32");
  const row = b.local("i32");
  const out = b.local("i32");
  const scale = b.local("f32");
  const scale4 = b.local("f32x4");
  const perScale4 = b.local("f32x4");
  const norm = b.local("f32x4");
  const residue = createResidue(b);
  const centred = b.local("f32x4");
  const q = b.local("f32x4");
  const integers = b.local("i32x4");
  const rest = b.local("f32x4");
  const difference = (kind: LaneKind, lanes: Expr<"i32">, offset: number): Expr<LaneKind> =>
    sub(load(kind, B, add(row, lanes), offset), load(kind, B, add(i32(at.centre_D), lanes), offset));

  b.upTo(r, to, 1, () => {
    b.set(row, add(i32(at.x_BD), mul(add(firstRow, r), i32(4 * dModel))));
    b.set(out, add(i32(at.quantised_DR), r));
    const largest = foldLanes(
      b,
      i32(dModel),
      (kind, lanes, offset, most) => larger(most, abs(difference(kind, lanes, offset))),
      larger,
    );
    b.set(scale, div(larger(largest, f32(leastMagnitude)), f32(inputLevels)));
    b.set(scale4, splat(scale));
    b.set(perScale4, splat(div(f32(1), scale)));
    b.set(norm, zeroOf("f32x4"));
    residue.clear();
    overSixteens(b, dModel, (lanes, slot) => {
      b.set(centred, difference("f32x4", lanes, 16 * slot) as Expr<"f32x4">);
      b.set(q, nearest(mul(centred, perScale4)));
      b.set(rest, sub(centred, mul(q, scale4)));
      b.set(norm, madd(centred, centred, norm));
      residue.add(rest, q);
      b.set(integers, toLanesI32(q));
      for (let i = 0; i < 4; i++) {
        b.storeU8(B, out, laneI32(integers, i));
        b.set(out, add(out, i32(rows)));
      }
    });
    b.store(B, wordAt(at.perScale_R, r), div(f32(1), scale));
    b.store(B, wordAt(at.norm_R, r), sqrt(sumOfLanes(norm)));
    b.store(B, wordAt(at.residue_R, r), residue.bound(margin));
  });
}
