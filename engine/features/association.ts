// Whether two figures of benchmarks go together, with p-values by permuting which benchmark is which.

import type { Random } from "../runtime/random.ts";
import { isConstant, pearson, ranks, spearman } from "./correlation.ts";

export interface Association {
  readonly value: number | null;
  /** Two-sided. */
  readonly pValue: number | null;
  /** Every permutation was tried, not some drawn at random. */
  readonly exact: boolean;
  /** That have both figures. */
  readonly benchmarks: number;
  /** Why there is no value. */
  readonly reason: string | null;
}

export interface PermutationOptions {
  readonly permutations: number;
  readonly random: Random;
  readonly method: "pearson" | "spearman";
}

/** Below three anything correlates perfectly. */
const FEWEST = 3;
/** Rounding may put an equal permutation just below the observed value. */
const SLACK = 1e-12;

/**
 * Correlation of two figures over benchmarks. p = share of permutations of y whose |correlation| is at least the observed: exact when
 * all n! fit into the permutations asked for, else (1 + hits) / (1 + drawn).
 *
 * @param x one figure per benchmark; null where it has none: such a benchmark is left out
 */
export function associate(
  x: readonly (number | null)[],
  y: readonly (number | null)[],
  options: PermutationOptions,
): Association {
  const kept = [...x.keys()].filter((i) => x[i] != null && y[i] != null);
  const [a, b] = [x, y].map((values) => Float64Array.from(kept, (i) => values[i]!));
  const without = undefinedBecause(a!, b!, kept.length, "benchmarks");
  if (without) return without;
  const [left, right] = [a!, b!].map((values) => standardised(values, options.method));
  return tested(a!, b!, kept.length, options, (order) => {
    let sum = 0;
    for (let i = 0; i < order.length; i++) sum += left![i]! * right![order[i]!]!;
    return sum;
  });
}

/**
 * Correlation of two symmetric matrices over pairs of benchmarks, and Mantel's test: the pairs of a matrix are not independent (one odd
 * benchmark spoils D − 1 of them), so whole benchmarks are permuted, rows and columns together.
 *
 * A benchmark that lacks figures (null, NaN) is left out, the one lacking most first, until the rest is complete.
 *
 * @param x row-major D × D, as y; only entries above the diagonal are read
 */
export function associateMatrices(
  x: ArrayLike<number | null>,
  y: ArrayLike<number | null>,
  size: number,
  options: PermutationOptions,
): Association {
  const kept = completeBenchmarks(x, y, size);
  const n = kept.length;
  const [a, b] = [x, y].map((matrix) => pairsOf(matrix, kept, size));
  const without = undefinedBecause(a!, b!, n, "benchmarks");
  if (without) return without;
  const left = standardised(a!, options.method);
  const right_NN = squareOf(standardised(b!, options.method), n);
  return tested(a!, b!, n, options, (order) => {
    let [sum, pair] = [0, 0];
    for (let i = 0; i < n; i++) {
      const row = order[i]! * n;
      for (let j = i + 1; j < n; j++) sum += left[pair++]! * right_NN[row + order[j]!]!;
    }
    return sum;
  });
}

/** Centred and of length 1, so that a correlation is a sum of products: it is taken once for each of thousands of permutations. */
function standardised(values: Float64Array, method: PermutationOptions["method"]): Float64Array {
  const used = method === "spearman" ? ranks(values) : values;
  const mean = used.reduce((sum, value) => sum + value, 0) / used.length;
  const centred = used.map((value) => value - mean);
  const length = Math.sqrt(centred.reduce((sum, value) => sum + value * value, 0));
  return centred.map((value) => value / length);
}

/** The pairs i < j as a symmetric matrix. */
function squareOf(pairs: Float64Array, n: number): Float64Array {
  const square = new Float64Array(n * n);
  let pair = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      square[i * n + j] = pairs[pair]!;
      square[j * n + i] = pairs[pair++]!;
    }
  }
  return square;
}

function undefinedBecause(a: Float64Array, b: Float64Array, n: number, what: string): Association | null {
  const because = (reason: string) => ({ value: null, pValue: null, exact: false, benchmarks: n, reason });
  if (n < FEWEST) return because(`fewer than ${FEWEST} ${what} have both figures`);
  if (isConstant(a) || isConstant(b)) return because("one of the two figures is the same everywhere");
  return null;
}

function tested(
  a: Float64Array,
  b: Float64Array,
  n: number,
  options: PermutationOptions,
  valueAt: (order: Uint32Array) => number,
): Association {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const value = (options.method === "spearman" ? spearman : pearson)(a, b)!;
  const reaches = (other: number) => Math.abs(other) >= Math.abs(value) - SLACK;
  const all = factorialUpTo(n, options.permutations);
  let hits = 0;
  if (all !== null) {
    for (const one of permutationsOf(order)) if (reaches(valueAt(one))) hits += 1;
    return { value, pValue: hits / all, exact: true, benchmarks: n, reason: null };
  }
  for (let i = 0; i < options.permutations; i++) if (reaches(valueAt(options.random.shuffle(order)))) hits += 1;
  return { value, pValue: (1 + hits) / (1 + options.permutations), exact: false, benchmarks: n, reason: null };
}

function factorialUpTo(n: number, limit: number): number | null {
  let all = 1;
  for (let i = 2; i <= n; i++) {
    all *= i;
    if (all > limit) return null;
  }
  return all;
}

/** Heap's algorithm; the same array every time. */
function* permutationsOf(items: Uint32Array): Generator<Uint32Array> {
  const counters = new Uint32Array(items.length);
  yield items;
  for (let i = 1; i < items.length; ) {
    if (counters[i]! >= i) {
      counters[i++] = 0;
      continue;
    }
    const other = i % 2 === 0 ? 0 : counters[i]!;
    const held = items[i]!;
    items[i] = items[other]!;
    items[other] = held;
    yield items;
    counters[i]! += 1;
    i = 1;
  }
}

function completeBenchmarks(x: ArrayLike<number | null>, y: ArrayLike<number | null>, size: number): number[] {
  let kept = Array.from({ length: size }, (_, i) => i);
  const lacks = (i: number, j: number) => {
    const at = Math.min(i, j) * size + Math.max(i, j);
    return i !== j && !(Number.isFinite(x[at]) && Number.isFinite(y[at]));
  };
  for (;;) {
    const missing = kept.map((i) => kept.filter((j) => lacks(i, j)).length);
    const most = Math.max(0, ...missing);
    if (most === 0) return kept;
    const worst = kept[missing.lastIndexOf(most)]!;
    kept = kept.filter((i) => i !== worst);
  }
}

function pairsOf(matrix: ArrayLike<number | null>, kept: readonly number[], size: number): Float64Array {
  return Float64Array.from(kept.flatMap((i, a) => kept.slice(a + 1).map((j) => matrix[i * size + j]!)));
}
