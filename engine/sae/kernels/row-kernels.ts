// What a training step does with the rows of the big matrices once the active features are known.
//
// Every kernel works on rows `from` … `to − 1` of something and writes to nobody else's row, so that threads can share it
// and its result cannot depend on how many there are.

import {
  add,
  type Body,
  type Expr,
  equal,
  i32,
  isZero,
  type KernelSource,
  type Local,
  lessThan,
  load,
  loadU8,
  madd,
  mul,
  splat,
  sub,
  zeroOf,
} from "./assembler.ts";
import { byLane, foldLanes, type LaneKind, overLanes } from "./loops.ts";
import type { TensorAddresses } from "./memory.ts";

/** Numbers of the memories that these kernels see. */
export const stepMemories = { batch: 0, gradients: 1, weights: 2 } as const;
const memories = stepMemories;

export interface RowSizes {
  readonly dModel: number;
  readonly batchRows: number;
  /** Nested parts of the dictionary: 1, or a Matryoshka sae's number of prefixes. */
  readonly blocks: number;
}

/** Where the arrays of a batch begin in its memory, in bytes. */
export type BatchAddresses = Readonly<
  Record<
    | "x_BD"
    | "errors_MBD"
    | "segments_BM"
    | "features_N"
    | "z_N"
    | "dz_N"
    | "offsets_F"
    | "sortedEntry_N"
    | "sortedRow_N"
    | "blockOf_F"
    | "keep_F"
    | "squares_BM",
    number
  >
>;

export function rowKernels(
  sizes: RowSizes,
  batch: BatchAddresses,
  weights: TensorAddresses,
  gradients: TensorAddresses,
): KernelSource[] {
  return [
    { name: "decode", write: (b) => writeDecode(b, sizes, batch, weights) },
    { name: "sumByFeature", write: (b) => writeSumByFeature(b, sizes, batch, gradients) },
  ];
}

const word = (address: number, index: Expr<"i32">): Expr<"i32"> => add(i32(address), mul(index, i32(4)));

/** Adds Σ coefficient · row to the row at `out`, four rows at a time: `out` is read and written once for the four. */
function addRows(
  b: Body,
  dModel: number,
  entries: { from: Local<"i32">; to: Local<"i32"> },
  at: (entry: Expr<"i32">) => { memory: number; row: Expr<"i32">; coefficient: Expr<"f32"> },
  out: { memory: number; row: Local<"i32"> },
): void {
  for (const together of [8, 2, 1]) {
    const rows = Array.from({ length: together }, () => b.local("i32"));
    const one = Array.from({ length: together }, () => b.local("f32"));
    const four = Array.from({ length: together }, () => b.local("f32x4"));
    b.while(lessThan(add(entries.from, i32(together - 1)), entries.to), () => {
      let memory = 0;
      for (let j = 0; j < together; j++) {
        const entry = at(add(entries.from, i32(j)));
        memory = entry.memory;
        b.set(rows[j]!, entry.row);
        b.set(one[j]!, entry.coefficient);
        b.set(four[j]!, splat(one[j]!));
      }
      overLanes(b, i32(dModel), (kind, lane, offset) => {
        let sum: Expr<LaneKind> = load(kind, out.memory, add(out.row, lane), offset);
        for (let j = 0; j < together; j++) {
          const value = load(kind, memory, add(rows[j]!, lane), offset);
          sum = madd(byLane(kind, { one: one[j]!, four: four[j]! }), value, sum);
        }
        b.store(out.memory, add(out.row, lane), sum, offset);
      });
      b.set(entries.from, add(entries.from, i32(together)));
    });
  }
}

/**
 * For rows b of the batch and blocks m of the dictionary:
 *
 *     error_m = Σ_{features of blocks ≤ m} z · W_dec[f] + b_dec − x       squares = ‖error_m‖²
 *     S_m = Σ_{l ≥ m} error_l  (left where error_m was)                   dz_i = S_{block of i} · W_dec[f_i]
 */
function writeDecode(
  b: Body,
  { dModel, batchRows, blocks }: RowSizes,
  batch: BatchAddresses,
  at: TensorAddresses,
): void {
  const row = b.param("i32");
  const to = b.param("i32");
  const rowBytes = i32(4 * dModel);
  const first = b.local("i32");
  const last = b.local("i32");
  const error = b.local("i32");
  const other = b.local("i32");
  const decoderRow = (entry: Expr<"i32">) =>
    add(i32(at.W_dec_FD), mul(load("i32", memories.batch, word(batch.features_N, entry)), rowBytes));
  const errorRow = (m: number) => add(i32(batch.errors_MBD + m * batchRows * dModel * 4), mul(row, rowBytes));
  const segment = (m: number) => word(batch.segments_BM, add(mul(row, i32(blocks)), i32(m)));
  const setSegment = (m: number) => {
    b.set(first, load("i32", memories.batch, segment(m)));
    b.set(last, load("i32", memories.batch, segment(m), 4));
  };

  b.upTo(row, to, 1, () => {
    for (let m = 0; m < blocks; m++) {
      b.set(error, errorRow(m));
      b.set(other, m === 0 ? add(i32(batch.x_BD), mul(row, rowBytes)) : errorRow(m - 1));
      overLanes(b, i32(dModel), (kind, lane, offset) => {
        const before = load(kind, memories.batch, add(other, lane), offset);
        const start = m === 0 ? sub(load(kind, memories.weights, add(i32(at.b_dec_D), lane), offset), before) : before;
        b.store(memories.batch, add(error, lane), start, offset);
      });
      setSegment(m);
      const entryAt = (entry: Expr<"i32">) => ({
        memory: memories.weights,
        row: decoderRow(entry),
        coefficient: load("f32", memories.batch, word(batch.z_N, entry)),
      });
      addRows(b, dModel, { from: first, to: last }, entryAt, { memory: memories.batch, row: error });
      const squares = foldLanes(b, i32(dModel), (kind, lane, offset, sum) => {
        const value = load(kind, memories.batch, add(error, lane), offset);
        return madd(value, value, sum);
      });
      b.store(memories.batch, word(batch.squares_BM, add(mul(row, i32(blocks)), i32(m))), squares);
    }
    for (let m = blocks - 2; m >= 0; m--) {
      b.set(error, errorRow(m));
      b.set(other, errorRow(m + 1));
      overLanes(b, i32(dModel), (kind, lane, offset) => {
        const mine = load(kind, memories.batch, add(error, lane), offset);
        b.store(
          memories.batch,
          add(error, lane),
          add(mine, load(kind, memories.batch, add(other, lane), offset)),
          offset,
        );
      });
    }
    for (let m = 0; m < blocks; m++) {
      b.set(error, errorRow(m));
      setSegment(m);
      b.upTo(first, last, 1, () => {
        b.set(other, decoderRow(first));
        const along = foldLanes(b, i32(dModel), (kind, lane, offset, sum) =>
          madd(
            load(kind, memories.weights, add(other, lane), offset),
            load(kind, memories.batch, add(error, lane), offset),
            sum,
          ),
        );
        b.store(memories.batch, word(batch.dz_N, first), along);
      });
    }
  });
}

/**
 * For features f, over their entries i in rows b_i, in ascending order of rows:
 *
 *     dW_dec[f] = scale · Σ z_i · S_{block of f, b_i}     dW_enc[f] = scale · Σ dz_i · x_{b_i}     db_enc[f] = scale · Σ dz_i
 *
 * added to what is there where keep[f] is 1 (AuxK wrote it), in place of it elsewhere.
 */
function writeSumByFeature(b: Body, { dModel, batchRows }: RowSizes, batch: BatchAddresses, at: TensorAddresses): void {
  const f = b.param("i32");
  const to = b.param("i32");
  const scale = b.param("f32");
  const rowBytes = i32(4 * dModel);
  const first = b.local("i32");
  const last = b.local("i32");
  const out = b.local("i32");
  const rows = b.local("i32");
  const keep = b.local("i32");
  const bias = b.local("f32");
  const entryOf = (slot: Expr<"i32">) => load("i32", memories.batch, word(batch.sortedEntry_N, slot));
  const rowOf = (slot: Expr<"i32">) => mul(load("i32", memories.batch, word(batch.sortedRow_N, slot)), rowBytes);

  b.upTo(f, to, 1, () => {
    b.set(keep, loadU8(memories.batch, add(i32(batch.keep_F), f)));
    for (const [tensor, coefficients] of [
      [at.W_dec_FD, batch.z_N],
      [at.W_enc_FD, batch.dz_N],
    ] as const) {
      b.set(out, add(i32(tensor), mul(f, rowBytes)));
      b.if(isZero(keep), () => {
        overLanes(b, i32(dModel), (kind, lane, offset) => {
          b.store(memories.gradients, add(out, lane), zeroOf(kind), offset);
        });
      });
      b.set(first, load("i32", memories.batch, word(batch.offsets_F, f)));
      b.set(last, load("i32", memories.batch, word(batch.offsets_F, f), 4));
      const block = mul(loadU8(memories.batch, add(i32(batch.blockOf_F), f)), i32(batchRows * dModel * 4));
      b.set(rows, tensor === at.W_dec_FD ? add(i32(batch.errors_MBD), block) : i32(batch.x_BD));
      const entryAt = (slot: Expr<"i32">) => ({
        memory: memories.batch,
        row: add(rows, rowOf(slot)),
        coefficient: mul(scale, load("f32", memories.batch, word(coefficients, entryOf(slot)))),
      });
      addRows(b, dModel, { from: first, to: last }, entryAt, { memory: memories.gradients, row: out });
    }
    b.set(first, load("i32", memories.batch, word(batch.offsets_F, f)));
    b.set(bias, zeroOf("f32"));
    b.upTo(first, last, 1, () => b.set(bias, add(bias, load("f32", memories.batch, word(batch.dz_N, entryOf(first))))));
    b.set(bias, mul(bias, scale));
    b.if(equal(keep, i32(1)), () => {
      b.set(bias, add(bias, load("f32", memories.gradients, word(at.b_enc_F, f))));
    });
    b.store(memories.gradients, word(at.b_enc_F, f), bias);
  });
}
