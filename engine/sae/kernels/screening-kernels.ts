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
  add,
  and,
  anyBit,
  type Body,
  chooseLanes,
  type Expr,
  f32,
  i32,
  type KernelSource,
  lanesAtLeast,
  lanesAtLeastI32,
  lanesToF32,
  larger,
  lessThan,
  load,
  loadSplat,
  madd,
  mul,
  shiftRight,
  signBits,
  splat,
  splatI32,
  sub,
  trailingZeros,
  zeroOf,
} from "./assembler.ts";
import { writeChooseLargest, writeValueCandidates } from "./candidate-kernels.ts";
import type { TensorAddresses } from "./memory.ts";
import { writeQuantiseRows, writeQuantiseWeights } from "./rounding-kernels.ts";
import { stepMemories } from "./row-kernels.ts";
import { type ScreeningAddresses, type ScreeningSizes, wordAt } from "./screening-layout.ts";

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

const { batch: B } = stepMemories;

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
      b.store(B, wordAt(at.candidatesFrom_F, f), n);
      b.if(
        lessThan(capacityEnd, add(n, i32(rows))),
        () => b.store(B, i32(at.overflow), i32(1)),
        () => {
          b.set(acc, add(i32(at.acc_FR), mul(f, i32(4 * rows))));
          b.set(scale, loadSplat(B, wordAt(at.scale_F, f)));
          b.set(bias, loadSplat(B, wordAt(at.bias_F, f)));
          b.set(slack, loadSplat(B, wordAt(at.slack_F, f)));
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
                b.store(B, wordAt(at.candidateLane_C, n), found);
                b.set(n, add(n, i32(1)));
                b.set(bits, and(bits, sub(bits, i32(1))));
              });
            });
          });
        },
      );
      b.store(B, wordAt(at.candidatesTo_F, f), n);
    });
  });
}
