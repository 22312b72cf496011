// What follows the gradients of a step: projection, norm, Adam and unit rows, each number read and written once.

import {
  add,
  type Body,
  div,
  type Expr,
  f32,
  i32,
  type KernelSource,
  load,
  madd,
  moreThanF64,
  mul,
  splat,
  sqrt,
  sub,
  toF32,
  toF64,
} from "./assembler.ts";
import { byLane, foldLanes, type LaneKind, overLanes } from "./loops.ts";
import { leadBytes, type TensorAddresses, type TensorRole } from "./memory.ts";

/** Numbers of the memories that these kernels see. */
const memories = { gradients: 0, weights: 1, m: 2, v: 3, partial: 4 } as const;

/** Tensors of each role lie at their addresses among the weights, plus what their role leaves free before them. */
const loadOf = <K extends LaneKind>(kind: K, role: TensorRole, address: Expr<"i32">, offset: number): Expr<K> =>
  load(kind, memories[role], address, offset + leadBytes[role]);
const storeOf = (b: Body, role: TensorRole, address: Expr<"i32">, value: Expr, offset: number): void =>
  b.store(memories[role], address, value, offset + leadBytes[role]);

export function optimiserKernels(dModel: number, squares_F: number, at: TensorAddresses): KernelSource[] {
  return [
    { name: "projectAndSquare", write: (b) => writeProjectAndSquare(b, dModel, squares_F, at) },
    { name: "adam", write: writeAdam },
  ];
}

/**
 * Removes from the decoder's gradient rows g their part along the decoder's unit rows d, g ← g − (g·d)d, and leaves
 * ‖dW_dec[f]‖² + ‖dW_enc[f]‖² of each feature in squares_F. That part would only change a row's length, which normalising
 * undoes, and would spoil Adam's moments meanwhile.
 */
function writeProjectAndSquare(b: Body, dModel: number, squares_F: number, at: TensorAddresses): void {
  const f = b.param("i32");
  const to = b.param("i32");
  const rowBytes = i32(4 * dModel);
  const decoder = b.local("i32");
  const encoder = b.local("i32");
  const along = b.local("f32");
  const along4 = b.local("f32x4");
  const total = b.local("f64");
  b.upTo(f, to, 1, () => {
    b.set(decoder, add(i32(at.W_dec_FD), mul(f, rowBytes)));
    b.set(encoder, add(i32(at.W_enc_FD), mul(f, rowBytes)));
    const dot = foldLanes(b, i32(dModel), (kind, lane, offset, sum) =>
      madd(
        loadOf(kind, "gradients", add(decoder, lane), offset),
        loadOf(kind, "weights", add(decoder, lane), offset),
        sum,
      ),
    );
    b.set(along, sub(f32(0), dot));
    b.set(along4, splat(along));
    const squares = foldLanes(b, i32(dModel), (kind, lane, offset, sum) => {
      const address = add(decoder, lane);
      const unit = loadOf(kind, "weights", address, offset);
      const left = madd(byLane(kind, { one: along, four: along4 }), unit, loadOf(kind, "gradients", address, offset));
      storeOf(b, "gradients", address, left, offset);
      const stored = loadOf(kind, "gradients", address, offset);
      return madd(stored, stored, sum);
    });
    b.set(total, toF64(squares));
    const encoderSquares = foldLanes(b, i32(dModel), (kind, lane, offset, sum) => {
      const value = loadOf(kind, "gradients", add(encoder, lane), offset);
      return madd(value, value, sum);
    });
    b.store(memories.partial, add(i32(squares_F), mul(f, i32(8))), add(total, toF64(encoderSquares)));
  });
}

/**
 * Adam (see optimiser.ts) on rows of `length` numbers that begin at `address` in the memories of gradients, weights, m and v,
 * then, where `unit` is 1, each row scaled to length 1 (a row of zeros stays).
 */
function writeAdam(b: Body): void {
  const row = b.param("i32");
  const to = b.param("i32");
  const address = b.param("i32");
  const length = b.param("i32");
  const unit = b.param("i32");
  const names = ["gradientScale", "beta1", "rest1", "beta2", "rest2", "rate", "correction2", "epsilon"] as const;
  const one = names.map(() => b.param("f32"));
  const four = one.map((value) => b.local("f32x4", splat(value)));
  const start = b.local("i32");
  const factor = b.local("f32");
  const factor4 = b.local("f32x4");
  const total = b.local("f64");

  b.upTo(row, to, 1, () => {
    b.set(start, add(address, mul(mul(row, length), i32(4))));
    const squares = foldLanes(b, length, (kind, lane, offset, sum) => {
      const use = (name: (typeof names)[number]) => {
        const index = names.indexOf(name);
        return byLane(kind, { one: one[index]!, four: four[index]! });
      };
      const at = add(start, lane);
      const value = (role: TensorRole) => loadOf(kind, role, at, offset);
      const g = b.local(kind, mul(value("gradients"), use("gradientScale")));
      const m = b.local(kind, madd(use("beta1"), value("m"), mul(use("rest1"), g)));
      const v = b.local(kind, madd(use("beta2"), value("v"), mul(mul(use("rest2"), g), g)));
      storeOf(b, "m", at, m, offset);
      storeOf(b, "v", at, v, offset);
      const step = div(mul(use("rate"), m), add(sqrt(mul(v, use("correction2"))), use("epsilon")));
      const p = b.local(kind, sub(value("weights"), step));
      storeOf(b, "weights", at, p, offset);
      return madd(p, p, sum);
    });
    b.set(total, toF64(squares));
    b.if(unit, () => {
      b.if(moreThanF64(total, toF64(f32(0))), () => {
        b.set(factor, div(f32(1), toF32(sqrt(total))));
        b.set(factor4, splat(factor));
        overLanes(b, length, (kind, lane, offset) => {
          const at = add(start, lane);
          const scaled = mul(loadOf(kind, "weights", at, offset), byLane(kind, { one: factor, four: factor4 }));
          storeOf(b, "weights", at, scaled, offset);
        });
      });
    });
  });
}
