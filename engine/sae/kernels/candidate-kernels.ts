// Pre-activations of the candidates in float32, and the largest of them.

import {
  add,
  and,
  atLeast,
  type Body,
  choose,
  type Expr,
  i32,
  type Local,
  laneI32,
  lanesAtLeastI32,
  lessThan,
  load,
  madd,
  mul,
  shiftRight,
  splatI32,
  sub,
  zeroOf,
} from "./assembler.ts";
import { sumOfLanes } from "./loops.ts";
import type { TensorAddresses } from "./memory.ts";
import { stepMemories } from "./row-kernels.ts";
import { type ScreeningAddresses, type ScreeningSizes, wordAt } from "./screening-layout.ts";

const { batch: B, weights: W } = stepMemories;

/** Rows whose products with one feature are formed together: its weights are then read once for all. */
const together = 4;

/** For features f: pre-activations W_enc[f] · x_b + b_enc[f] in float32 of its candidates, rows `firstRow + lane`. */
export function writeValueCandidates(
  b: Body,
  { dModel }: ScreeningSizes,
  at: ScreeningAddresses,
  tensors: TensorAddresses,
): void {
  const f = b.param("i32");
  const to = b.param("i32");
  const firstRow = b.param("i32");
  const weights = b.local("i32");
  const entry = b.local("i32");
  const end = b.local("i32");
  const lanes = b.local("i32");
  const slots = Array.from({ length: together }, () => b.local("i32"));
  const rows = Array.from({ length: together }, () => b.local("i32"));
  const sums = Array.from({ length: together }, () => [b.local("f32x4"), b.local("f32x4")] as const);
  const w0 = b.local("f32x4");
  const w1 = b.local("f32x4");

  b.upTo(f, to, 1, () => {
    b.set(weights, add(i32(tensors.W_enc_FD), mul(f, i32(4 * dModel))));
    b.set(entry, load("i32", B, wordAt(at.candidatesFrom_F, f)));
    b.set(end, load("i32", B, wordAt(at.candidatesTo_F, f)));
    b.upTo(entry, end, together, () => {
      for (let j = 0; j < together; j++) {
        // Past the end the last candidate is valued again: the same sum, the same bits, stored where it is already.
        const slot = add(entry, i32(j));
        b.set(slots[j]!, choose(slot, sub(end, i32(1)), lessThan(slot, end)));
        const row = add(firstRow, load("i32", B, wordAt(at.candidateLane_C, slots[j]!)));
        b.set(rows[j]!, add(i32(at.x_BD), mul(row, i32(4 * dModel))));
        for (const sum of sums[j]!) b.set(sum, zeroOf("f32x4"));
      }
      b.set(lanes, i32(0));
      b.upTo(lanes, i32(4 * dModel), 32, () => {
        b.set(w0, load("f32x4", W, add(weights, lanes)));
        b.set(w1, load("f32x4", W, add(weights, lanes), 16));
        for (let j = 0; j < together; j++) {
          const [even, odd] = sums[j]!;
          b.set(even, madd(w0, load("f32x4", B, add(rows[j]!, lanes)), even));
          b.set(odd, madd(w1, load("f32x4", B, add(rows[j]!, lanes), 16), odd));
        }
      });
      for (let j = 0; j < together; j++) {
        const [even, odd] = sums[j]!;
        b.set(even, add(even, odd));
        const value = add(sumOfLanes(even), load("f32", W, wordAt(tensors.b_enc_F, f)));
        b.store(B, wordAt(at.candidateValue_C, slots[j]!), value);
      }
    });
  });
}

const infinityBits = 0x7f80_0000;

/**
 * For rows r with candidates rowFrom_R[r] … rowTo_R[r] − 1 (features ascending; padded with zeros to a multiple of four):
 * the k largest of those above 0, of equal ones the lowest features, in ascending order of features.
 */
export function writeChooseLargest(b: Body, at: ScreeningAddresses): void {
  const r = b.param("i32");
  const to = b.param("i32");
  const k = b.param("i32");
  const stride = b.param("i32");
  const from = b.local("i32");
  const end = b.local("i32");
  const entry = b.local("i32");
  const low = b.local("i32");
  const high = b.local("i32");
  const middle = b.local("i32");
  const above = b.local("i32");
  const equals = b.local("i32");
  const bits = b.local("i32");
  const n = b.local("i32");
  const out = b.local("i32");
  const count = b.local("i32x4");
  /** How many candidates are at least `least`; positive floats are ordered like their bits. */
  const countAtLeast = (result: Local<"i32">, least: Expr<"i32">) => {
    b.set(count, splatI32(i32(0)));
    b.set(entry, from);
    b.upTo(entry, end, 4, () => {
      const values = load("i32x4", B, wordAt(at.rowValue_C, entry));
      b.set(count, sub(count, lanesAtLeastI32(values, splatI32(least))));
    });
    const pair = (i: number) => add(laneI32(count, i), laneI32(count, i + 1));
    b.set(result, add(pair(0), pair(2)));
  };

  b.upTo(r, to, 1, () => {
    b.set(from, load("i32", B, wordAt(at.rowFrom_R, r)));
    b.set(end, load("i32", B, wordAt(at.rowTo_R, r)));
    b.set(low, i32(1));
    countAtLeast(above, low);
    b.set(equals, i32(0));
    b.if(lessThan(k, above), () => {
      // Largest `low` that k reach: low always is reached by k, high never.
      b.set(high, i32(infinityBits));
      b.while(lessThan(add(low, i32(1)), high), () => {
        b.set(middle, add(low, shiftRight(sub(high, low), i32(1))));
        countAtLeast(above, middle);
        b.if(
          atLeast(above, k),
          () => b.set(low, middle),
          () => b.set(high, middle),
        );
      });
      countAtLeast(above, add(low, i32(1)));
      b.set(equals, sub(k, above));
      b.set(low, add(low, i32(1)));
    });
    b.set(n, i32(0));
    b.set(out, mul(r, stride));
    b.set(entry, from);
    b.upTo(entry, end, 1, () => {
      b.set(bits, load("i32", B, wordAt(at.rowValue_C, entry)));
      // Signed: negative numbers have the top bit set and must not pass for large ones.
      const positive = lessThan(bits, i32(infinityBits));
      b.if(and(positive, atLeast(add(bits, i32(1)), low)), () => {
        const isAbove = atLeast(bits, low);
        b.if(add(isAbove, choose(i32(1), i32(0), and(lessThan(i32(0), equals), lessThan(i32(0), bits)))), () => {
          b.if(lessThan(bits, low), () => b.set(equals, sub(equals, i32(1))));
          b.store(B, wordAt(at.chosenFeature_RK, add(out, n)), load("i32", B, wordAt(at.rowFeature_C, entry)));
          b.store(B, wordAt(at.chosenValue_RK, add(out, n)), load("f32", B, wordAt(at.rowValue_C, entry)));
          b.set(n, add(n, i32(1)));
        });
      });
    });
    b.store(B, wordAt(at.count_R, r), n);
  });
}
