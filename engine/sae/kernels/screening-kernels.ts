// Which features can be among the k largest of a row, found from products of 8-bit integers, and their exact values.
//
// Everything here is in units of a row's own scale s_b, which keeps order: with integers q_f ≈ W_enc[f]/s_f and
// q_b ≈ (x_b − c)/s_b, and acc = q_f · q_b,
//
//     pre_bf / s_b = s_f · acc + bias_f / s_b ± slack_f · spread_b         bias_f = b_enc[f] + W_enc[f] · c
//
// A row's k-th largest lower bound (−) is below its k-th largest pre-activation, so a feature whose upper bound (+) is below
// that cannot be among the k largest. The rest, the candidates, get their pre-activation in float32.

import {
  abs,
  add,
  and,
  anyBit,
  atLeast,
  type Body,
  choose,
  chooseLanes,
  div,
  type Expr,
  f32,
  i32,
  type KernelSource,
  type Local,
  laneI32,
  lanesAtLeast,
  lanesAtLeastI32,
  lanesToF32,
  larger,
  lessThan,
  load,
  loadSplat,
  madd,
  mul,
  nearest,
  packBytes,
  shiftRight,
  signBits,
  splat,
  splatI32,
  sqrt,
  sub,
  toLanesI32,
  trailingZeros,
  zeroOf,
} from "./assembler.ts";
import { foldLanes, type LaneKind, sumOfLanes } from "./loops.ts";
import type { TensorAddresses } from "./memory.ts";
import { stepMemories } from "./row-kernels.ts";

export interface ScreeningSizes {
  readonly dModel: number;
  readonly width: number;
  /** Rows screened at a time: the lanes R of every array below. */
  readonly rows: number;
  /** Features whose largest lower bound stands for them all. */
  readonly groupSize: number;
  /** Parts of the dictionary whose candidates have a place each, and how many candidates fit there. */
  readonly parts: number;
  readonly partCapacity: number;
  /** Largest magnitude of a weight's integer, and what is added to store it as an unsigned byte. */
  readonly weightLevels: number;
}

export type ScreeningAddresses = Readonly<
  Record<
    | "x_BD"
    | "centre_D"
    | "quantised_FD"
    | "scale_F"
    | "norm_F"
    | "residue_F"
    | "bias_F"
    | "slack_F"
    | "quantised_DR"
    | "perScale_R"
    | "norm_R"
    | "residue_R"
    | "spread_R"
    | "acc_FR"
    | "maxima_RG"
    | "least_R"
    | "candidatesFrom_F"
    | "candidatesTo_F"
    | "candidateLane_C"
    | "candidateValue_C"
    | "overflow"
    | "rowFrom_R"
    | "rowTo_R"
    | "rowFeature_C"
    | "rowValue_C"
    | "count_R"
    | "chosenFeature_RK"
    | "chosenValue_RK",
    number
  >
>;

export function screeningKernels(
  sizes: ScreeningSizes,
  at: ScreeningAddresses,
  tensors: TensorAddresses,
): KernelSource[] {
  return [
    { name: "quantiseWeights", write: (b) => writeQuantiseWeights(b, sizes, at, tensors) },
    { name: "quantiseRows", write: (b) => writeQuantiseRows(b, sizes, at) },
    { name: "groupMaxima", write: (b) => writeGroupMaxima(b, sizes, at) },
    { name: "leastOfRows", write: (b) => writeLeastOfRows(b, sizes, at) },
    { name: "collect", write: (b) => writeCollect(b, sizes, at) },
    { name: "valueCandidates", write: (b) => writeValueCandidates(b, sizes, at, tensors) },
    { name: "chooseLargest", write: (b) => writeChooseLargest(b, at) },
  ];
}

const { batch: B, weights: W } = stepMemories;
const word = (address: number, index: Expr<"i32">): Expr<"i32"> => add(i32(address), mul(index, i32(4)));
/** Magnitudes below this count as it: a row of zeros then has a scale too. */
const leastMagnitude = 1e-20;
const inputLevels = 127;

/** Every 16 numbers of a row of D. */
function overSixteens(b: Body, dModel: number, each: (at: Local<"i32">, slot: number) => void): void {
  const at = b.local("i32", i32(0));
  b.upTo(at, i32(4 * dModel), 64, () => {
    for (let slot = 0; slot < 4; slot++) each(at, slot);
  });
}

/**
 * Rows f of W_enc as bytes round(w/s_f) + levels + 1, with s_f = max|w| / levels; ‖ŵ‖, ‖w − ŵ‖ for what the bytes stand for,
 * ŵ; and bias_f.
 */
function writeQuantiseWeights(
  b: Body,
  { dModel, weightLevels }: ScreeningSizes,
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
  const sums = ["norm", "residue", "along"].map(() => b.local("f32x4"));
  const [norm, residue, along] = sums as [Local<"f32x4">, Local<"f32x4">, Local<"f32x4">];
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
    for (const sum of sums) b.set(sum, zeroOf("f32x4"));
    overSixteens(b, dModel, (lanes, slot) => {
      const w = load("f32x4", W, add(row, lanes), 16 * slot);
      b.set(q[slot]!, nearest(mul(w, perScale4)));
      b.set(rounded, mul(q[slot]!, scale4));
      b.set(rest, sub(w, rounded));
      b.set(norm, madd(rounded, rounded, norm));
      b.set(residue, madd(rest, rest, residue));
      b.set(along, madd(w, load("f32x4", B, add(i32(at.centre_D), lanes), 16 * slot), along));
      if (slot < 3) return;
      const bytes = q.map((four) => add(toLanesI32(four), zero));
      b.store(B, out, packBytes(bytes as unknown as Parameters<typeof packBytes>[0]));
      b.set(out, add(out, i32(16)));
    });
    b.store(B, word(at.scale_F, f), scale);
    b.store(B, word(at.norm_F, f), sqrt(sumOfLanes(norm)));
    b.store(B, word(at.residue_F, f), sqrt(sumOfLanes(residue)));
    b.store(B, word(at.bias_F, f), add(load("f32", W, word(tensors.b_enc_F, f)), sumOfLanes(along)));
  });
}

/** Rows `firstRow + r` of x − c as columns of signed bytes, with 1/s_b, ‖x − c‖ and the norm of what rounding took. */
function writeQuantiseRows(b: Body, { dModel, rows }: ScreeningSizes, at: ScreeningAddresses): void {
  const r = b.param("i32");
  const to = b.param("i32");
  const firstRow = b.param("i32");
  const row = b.local("i32");
  const out = b.local("i32");
  const scale = b.local("f32");
  const scale4 = b.local("f32x4");
  const perScale4 = b.local("f32x4");
  const norm = b.local("f32x4");
  const residue = b.local("f32x4");
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
    b.set(residue, zeroOf("f32x4"));
    overSixteens(b, dModel, (lanes, slot) => {
      b.set(centred, difference("f32x4", lanes, 16 * slot) as Expr<"f32x4">);
      b.set(q, nearest(mul(centred, perScale4)));
      b.set(rest, sub(centred, mul(q, scale4)));
      b.set(norm, madd(centred, centred, norm));
      b.set(residue, madd(rest, rest, residue));
      b.set(integers, toLanesI32(q));
      for (let i = 0; i < 4; i++) {
        b.storeU8(B, out, laneI32(integers, i));
        b.set(out, add(out, i32(rows)));
      }
    });
    b.store(B, word(at.perScale_R, r), div(f32(1), scale));
    b.store(B, word(at.norm_R, r), sqrt(sumOfLanes(norm)));
    b.store(B, word(at.residue_R, r), sqrt(sumOfLanes(residue)));
  });
}

/** The lower (sign −1) or upper (1) bounds of four rows for one feature, in units of the rows. */
function boundOf(
  feature: { scale: Expr<"f32x4">; bias: Expr<"f32x4">; slack: Expr<"f32x4"> },
  acc: Expr<"i32x4">,
  perScale: Expr<"f32x4">,
  spread: Expr<"f32x4">,
  sign: -1 | 1,
): Expr<"f32x4"> {
  const middle = madd(lanesToF32(acc), feature.scale, mul(feature.bias, perScale));
  return sign === 1 ? madd(feature.slack, spread, middle) : sub(middle, mul(feature.slack, spread));
}

/** For groups of features: the largest lower bound of each row. */
function writeGroupMaxima(b: Body, { width, rows, groupSize }: ScreeningSizes, at: ScreeningAddresses): void {
  const group = b.param("i32");
  const to = b.param("i32");
  const groups = width / groupSize;
  const sixteen = b.local("i32");
  const acc = b.local("i32");
  const features = b.local("i32");
  const lanes = b.local("i32");
  const scale = b.local("f32x4");
  const bias = b.local("f32x4");
  const slack = b.local("f32x4");
  const most = Array.from({ length: 4 }, () => b.local("f32x4"));
  const vector = (address: number, slot: number) => load("f32x4", B, add(i32(address), lanes), 16 * slot);

  b.upTo(group, to, 1, () => {
    b.set(sixteen, i32(0));
    b.upTo(sixteen, i32(rows / 16), 1, () => {
      b.set(lanes, mul(sixteen, i32(64)));
      b.set(features, mul(group, i32(4 * groupSize)));
      b.set(acc, add(i32(at.acc_FR), add(mul(features, i32(rows)), lanes)));
      for (const one of most) b.set(one, splat(f32(-3e38)));
      for (let j = 0; j < groupSize; j++) {
        const word4 = (address: number) => loadSplat(B, add(i32(address + 4 * j), features));
        b.set(scale, word4(at.scale_F));
        b.set(bias, word4(at.bias_F));
        b.set(slack, word4(at.slack_F));
        for (let slot = 0; slot < 4; slot++) {
          const products = load("i32x4", B, acc, 4 * rows * j + 16 * slot);
          const perScale = vector(at.perScale_R, slot);
          const lower = boundOf({ scale, bias, slack }, products, perScale, vector(at.spread_R, slot), -1);
          b.set(most[slot]!, larger(most[slot]!, lower));
        }
      }
      for (let slot = 0; slot < 4; slot++) {
        const quad = add(mul(sixteen, i32(4)), i32(slot));
        const place = add(mul(quad, i32(16 * groups)), mul(group, i32(16)));
        b.store(B, add(i32(at.maxima_RG), place), most[slot]!);
      }
    });
  });
}

/** Halvings of the range of a row's maxima: the bound found is within 2⁻²⁰ of that range below the k-th largest. */
const halvings = 20;

/** For rows 4·from … 4·to − 1: a number that at least k of the groups' maxima reach, close to the largest such; at least 0. */
function writeLeastOfRows(b: Body, { width, groupSize }: ScreeningSizes, at: ScreeningAddresses): void {
  const quad = b.param("i32");
  const to = b.param("i32");
  const k = b.param("i32");
  const groups = width / groupSize;
  const start = b.local("i32");
  const step = b.local("i32");
  const offset = b.local("i32");
  const low = b.local("f32x4");
  const high = b.local("f32x4");
  const middle = b.local("f32x4");
  const value = b.local("f32x4");
  const count = b.local("i32x4");
  const enough = b.local("i32x4");
  const overGroups = (each: () => void) => {
    b.set(offset, i32(0));
    b.upTo(offset, i32(16 * groups), 16, () => {
      b.set(value, load("f32x4", B, add(start, offset)));
      each();
    });
  };
  b.upTo(quad, to, 1, () => {
    b.set(start, add(i32(at.maxima_RG), mul(quad, i32(16 * groups))));
    b.set(low, load("f32x4", B, start));
    b.set(high, low);
    overGroups(() => {
      b.set(low, chooseLanes(value, low, lanesAtLeast(low, value)));
      b.set(high, larger(high, value));
    });
    b.set(step, i32(0));
    b.upTo(step, i32(halvings), 1, () => {
      b.set(middle, mul(add(low, high), splat(f32(0.5))));
      b.set(count, splatI32(i32(0)));
      overGroups(() => b.set(count, sub(count, lanesAtLeast(value, middle))));
      b.set(enough, lanesAtLeastI32(count, splatI32(k)));
      b.set(low, chooseLanes(middle, low, enough));
      b.set(high, chooseLanes(high, middle, enough));
    });
    // What is not above 0 is never active, however few features are.
    b.store(B, add(i32(at.least_R), mul(quad, i32(16))), larger(low, zeroOf("f32x4")));
  });
}

/** For parts of the dictionary: the rows for which each feature is a candidate. Sets `overflow` where they do not fit. */
function writeCollect(b: Body, { width, rows, parts, partCapacity }: ScreeningSizes, at: ScreeningAddresses): void {
  const part = b.param("i32");
  const to = b.param("i32");
  const partWidth = width / parts;
  const f = b.local("i32");
  const n = b.local("i32");
  const acc = b.local("i32");
  const lanes = b.local("i32");
  const bits = b.local("i32");
  const scale = b.local("f32x4");
  const bias = b.local("f32x4");
  const slack = b.local("f32x4");
  const hit = b.local("i32x4");
  const capacityEnd = mul(add(part, i32(1)), i32(partCapacity));

  b.upTo(part, to, 1, () => {
    b.set(f, mul(part, i32(partWidth)));
    b.set(n, mul(part, i32(partCapacity)));
    b.upTo(f, mul(add(part, i32(1)), i32(partWidth)), 1, () => {
      b.store(B, word(at.candidatesFrom_F, f), n);
      b.if(
        lessThan(capacityEnd, add(n, i32(rows))),
        () => b.store(B, i32(at.overflow), i32(1)),
        () => {
          b.set(acc, add(i32(at.acc_FR), mul(f, i32(4 * rows))));
          b.set(scale, loadSplat(B, word(at.scale_F, f)));
          b.set(bias, loadSplat(B, word(at.bias_F, f)));
          b.set(slack, loadSplat(B, word(at.slack_F, f)));
          b.set(lanes, i32(0));
          b.upTo(lanes, i32(4 * rows), 16, () => {
            const vector = (address: number) => load("f32x4", B, add(i32(address), lanes));
            const products = load("i32x4", B, add(acc, lanes));
            const feature = { scale, bias, slack };
            const upper = boundOf(feature, products, vector(at.perScale_R), vector(at.spread_R), 1);
            b.set(hit, lanesAtLeast(upper, vector(at.least_R)));
            b.if(anyBit(hit), () => {
              b.set(bits, signBits(hit));
              b.while(bits, () => {
                const found = add(shiftRight(lanes, i32(2)), trailingZeros(bits));
                b.store(B, word(at.candidateLane_C, n), found);
                b.set(n, add(n, i32(1)));
                b.set(bits, and(bits, sub(bits, i32(1))));
              });
            });
          });
        },
      );
      b.store(B, word(at.candidatesTo_F, f), n);
    });
  });
}

/** Rows whose products with one feature are formed together: its weights are then read once for all. */
const together = 4;

/** For features f: pre-activations W_enc[f] · x_b + b_enc[f] in float32 of its candidates, rows `firstRow + lane`. */
function writeValueCandidates(
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
    b.set(entry, load("i32", B, word(at.candidatesFrom_F, f)));
    b.set(end, load("i32", B, word(at.candidatesTo_F, f)));
    b.upTo(entry, end, together, () => {
      for (let j = 0; j < together; j++) {
        // Past the end the last candidate is valued again: the same sum, the same bits, stored where it is already.
        const slot = add(entry, i32(j));
        b.set(slots[j]!, choose(slot, sub(end, i32(1)), lessThan(slot, end)));
        const row = add(firstRow, load("i32", B, word(at.candidateLane_C, slots[j]!)));
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
        const value = add(sumOfLanes(even), load("f32", W, word(tensors.b_enc_F, f)));
        b.store(B, word(at.candidateValue_C, slots[j]!), value);
      }
    });
  });
}

const infinityBits = 0x7f80_0000;

/**
 * For rows r with candidates rowFrom_R[r] … rowTo_R[r] − 1 (features ascending; padded with zeros to a multiple of four):
 * the k largest of those above 0, of equal ones the lowest features, in ascending order of features.
 */
function writeChooseLargest(b: Body, at: ScreeningAddresses): void {
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
      const values = load("i32x4", B, word(at.rowValue_C, entry));
      b.set(count, sub(count, lanesAtLeastI32(values, splatI32(least))));
    });
    const pair = (i: number) => add(laneI32(count, i), laneI32(count, i + 1));
    b.set(result, add(pair(0), pair(2)));
  };

  b.upTo(r, to, 1, () => {
    b.set(from, load("i32", B, word(at.rowFrom_R, r)));
    b.set(end, load("i32", B, word(at.rowTo_R, r)));
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
      b.set(bits, load("i32", B, word(at.rowValue_C, entry)));
      // Signed: negative numbers have the top bit set and must not pass for large ones.
      const positive = lessThan(bits, i32(infinityBits));
      b.if(and(positive, atLeast(add(bits, i32(1)), low)), () => {
        const isAbove = atLeast(bits, low);
        b.if(add(isAbove, choose(i32(1), i32(0), and(lessThan(i32(0), equals), lessThan(i32(0), bits)))), () => {
          b.if(lessThan(bits, low), () => b.set(equals, sub(equals, i32(1))));
          b.store(B, word(at.chosenFeature_RK, add(out, n)), load("i32", B, word(at.rowFeature_C, entry)));
          b.store(B, word(at.chosenValue_RK, add(out, n)), load("f32", B, word(at.rowValue_C, entry)));
          b.set(n, add(n, i32(1)));
        });
      });
    });
    b.store(B, word(at.count_R, r), n);
  });
}
