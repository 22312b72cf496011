// The gated delta rule over whole sequences of known sizes in elementary, differentiable operators: chunks of positions are
// products of matrices, and only one state per chunk is carried on. Yang, Kautz & Hatamizadeh 2024, section 3.3.

import type { Value } from "../onnx/graph.ts";
import { add, exp, mul, sub } from "../ops/elementwise.ts";
import { gather, pad, slice } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { concat, fill, reshape, transpose, unsqueeze } from "../ops/shape.ts";
import type { DeltaNet } from "./delta-net-config.ts";
import type { DeltaRuleInputs } from "./recurrence.ts";

/**
 * Positions of a chunk: products of 32 × 32, of which the inverse needs eight. Inference has the runtime's kernel instead, which is
 * faster on two cores (24 ms instead of 97 for 512 positions of 16 heads of 128 × 128, within 7e-7 relative).
 */
const chunk = 32;

/**
 * The same as ops/gated-delta.ts from an empty state: outputs [S, T, valueHeads · valueDim].
 *
 * In a chunk, with G the running sum of ln decay and A_ij = β_i (k_i·k_j) e^(G_i − G_j) for i > j, what the positions write is
 * U = (I + A)⁻¹ (β V − β e^G K M); they read O = e^G Q M + ((Q Kᵀ) ⊙ e^(G_i − G_j), i ≥ j) U, and the state goes on as
 * M′ = e^(G_last) M + (e^(G_last − G) K)ᵀ U.
 */
export function deltaRuleInChunks(inputs: DeltaRuleInputs, net: DeltaNet): Value {
  const { keyHeads, valueHeads, keyDim, valueDim } = net;
  const [S, T] = inputs.query.shape as [number, number];
  const graph = inputs.query.graph.current;
  const chunks = Math.ceil(T / chunk);

  /** [S, T, heads · width] → [S, heads, chunks, chunk, width] */
  const chunked = (value: Value, heads: number, width: number) => {
    const padded = pad(value, 1, 0, chunks * chunk - T);
    return transpose(reshape(padded, [S, chunks, chunk, heads, width]), [0, 3, 1, 2, 4]);
  };
  const shared = graph.constant(
    Array.from({ length: valueHeads }, (_, head) => Math.floor((head * keyHeads) / valueHeads)),
    "int64",
  );
  const query = mul(gather(chunked(inputs.query, keyHeads, keyDim), shared, 1), 1 / Math.sqrt(keyDim));
  const key = gather(chunked(inputs.key, keyHeads, keyDim), shared, 1);
  const rate = chunked(inputs.rate, valueHeads, 1);
  const lower = triangle(key, 0);
  const sums = matMul(lower, chunked(inputs.decay, valueHeads, 1));
  const total = slice(sums, 3, chunk - 1, chunk);
  // Masked before the exponential too: above the diagonal it would overflow.
  const between = mul(exp(mul(sub(sums, swapped(sums)), lower)), lower);
  const sinceStart = exp(sums);

  const keyed = mul(key, rate);
  const inverse = unitLowerInverse(mul(mul(matMul(keyed, swapped(key)), between), triangle(key, -1)));
  const writtenAlone = matMul(inverse, mul(chunked(inputs.value, valueHeads, valueDim), rate));
  const known = matMul(inverse, mul(keyed, sinceStart));
  const within = mul(matMul(query, swapped(key)), between);
  const fromState = mul(query, sinceStart);
  const toState = swapped(mul(key, exp(sub(total, sums))));
  const kept = exp(total);

  let state = fill(graph, [S, valueHeads, keyDim, valueDim], 0, inputs.value.dtype);
  const outputs = Array.from({ length: chunks }, (_, c) => {
    const at = (value: Value) => gather(value, graph.constant(c, "int64", []), 2);
    const written = sub(at(writtenAlone), matMul(at(known), state));
    const read = add(matMul(at(fromState), state), matMul(at(within), written));
    state = add(mul(at(kept), state), matMul(at(toState), written));
    return unsqueeze(read, [2]);
  });
  const byToken = transpose(concat(outputs, 2), [0, 2, 3, 1, 4]);
  return slice(reshape(byToken, [S, chunks * chunk, valueHeads * valueDim]), 1, 0, T);
}

/**
 * (I + A)⁻¹ of strictly lower triangular A [.., n, n], n a power of two. Blocks on the diagonal double: given the inverses P of two
 * neighbours and what A has between them, the inverse of both together is P − P·A_between·P. Unlike the product of (I + (−A)^(2^i)),
 * whose terms grow to binomial coefficients when keys resemble each other, no step here is larger than the result.
 */
function unitLowerInverse(a: Value): Value {
  const n = a.shape.at(-1) as number;
  const mask = (keep: (row: number, column: number) => boolean) =>
    a.graph.current.constant(
      Array.from({ length: n * n }, (_, i) => (keep(Math.floor(i / n), i % n) ? 1 : 0)),
      a.dtype,
      [n, n],
    );
  let inverse = mask((row, column) => row === column);
  for (let block = 1; block < n; block *= 2) {
    const half = (place: number) => Math.floor(place / block);
    const between = mask((row, column) => half(row) === half(column) + 1 && half(row) % 2 === 1);
    const link = mul(a, between);
    inverse = sub(inverse, block === 1 ? link : matMul(matMul(inverse, link), inverse));
  }
  return inverse;
}

/** 1 where row + offset ≥ column. */
function triangle(like: Value, offset: number): Value {
  const ones = Array.from({ length: chunk * chunk }, (_, i) => (Math.floor(i / chunk) + offset >= i % chunk ? 1 : 0));
  return like.graph.current.constant(ones, like.dtype, [chunk, chunk]);
}

/** The last two axes swapped. */
function swapped(x: Value): Value {
  const last = x.shape.length - 1;
  return transpose(x, [...Array(last - 1).keys(), last, last - 1]);
}
