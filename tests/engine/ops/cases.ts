// One table of operator cases, used twice: the runtime against the reference loops, and gradients against differences.

import type { DType, Shape, Value } from "../../../engine/onnx/graph.ts";
import {
  abs,
  add,
  and,
  cast,
  ceil,
  clip,
  cos,
  div,
  equal,
  erf,
  exp,
  floor,
  gelu,
  greater,
  greaterOrEqual,
  isInfinite,
  isNotANumber,
  less,
  lessOrEqual,
  log,
  max,
  min,
  mod,
  mul,
  neg,
  not,
  or,
  pow,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  where,
  xor,
} from "../../../engine/ops/elementwise.ts";
import {
  gather,
  gatherElements,
  gatherNd,
  oneHot,
  pad,
  scatterElements,
  scatterNd,
  slice,
  split,
  trilu,
} from "../../../engine/ops/indexing.ts";
import { gemm, matMul } from "../../../engine/ops/matmul.ts";
import { layerNorm, rmsNorm } from "../../../engine/ops/norm.ts";
import {
  argMax,
  cumSum,
  reduceMax,
  reduceMean,
  reduceMin,
  reduceSum,
  reduceSumSquare,
} from "../../../engine/ops/reduce.ts";
import { concatRows, splitRows } from "../../../engine/ops/rows.ts";
import {
  concat,
  expand,
  fill,
  identity,
  range,
  reshape,
  squeeze,
  tile,
  transpose,
  unsqueeze,
} from "../../../engine/ops/shape.ts";
import { logSoftmax, softmax } from "../../../engine/ops/softmax.ts";
import { argSort, topK } from "../../../engine/ops/topk.ts";

export interface InputCase {
  /** As the graph declares it: strings are symbolic sizes, resolved by `sizes`. */
  readonly shape: Shape;
  /** Default "float": checked in float32 and float64. */
  readonly dtype?: "float" | "int64" | "bool";
  /** Default: magnitudes between 0.2 and 1.5 with both signs, away from the kinks at 0. */
  readonly range?: readonly [number, number];
  readonly values?: readonly number[];
}

export interface Case {
  readonly title: string;
  readonly inputs: readonly InputCase[];
  readonly build: (...x: Value[]) => Value | Value[];
  /** The runtime rounds to float32 on the way: compared at that precision, and differentiated on the reference loops. */
  readonly rounds?: true;
}

/** What the symbolic sizes of the table are when it runs: all different, so that mixing two up shows. */
export const sizes: Readonly<Record<string, number>> = { S: 2, T: 3, B: 5, P: 4 };

const matrix: InputCase = { shape: ["B", 4] };
const batch: InputCase = { shape: ["S", "T", 4] };
const positive: InputCase = { shape: ["B", 4], range: [0.3, 2] };
const truth: InputCase = { shape: ["B", 4], dtype: "bool" };

const unary = (operators: Readonly<Record<string, (x: Value) => Value>>, input = matrix): Case[] =>
  Object.entries(operators).map(([title, build]) => ({ title, inputs: [input], build: (x) => build(x!) }));

type Binary = (a: Value | number, b: Value | number) => Value;

const binary = (operators: Readonly<Record<string, Binary>>, first = matrix): Case[] =>
  Object.entries(operators).flatMap(([name, build]): Case[] => [
    { title: name, inputs: [first, matrix], build: (a, b) => build(a!, b!) },
    {
      title: `${name}, a row stretched over all rows`,
      inputs: [first, { shape: [4] }],
      build: (a, b) => build(a!, b!),
    },
    {
      title: `${name}, a column and a row`,
      inputs: [
        { ...first, shape: ["B", 1] },
        { ...matrix, shape: [1, 4] },
      ],
      build: (a, b) => build(a!, b!),
    },
    { title: `${name} with a number`, inputs: [first], build: (x) => build(x!, 0.75) },
    { title: `${name} of a number`, inputs: [matrix], build: (x) => build(0.75, x!) },
  ]);

const pair = (operators: Readonly<Record<string, Binary>>, input: InputCase): Case[] =>
  Object.entries(operators).map(([title, build]) => ({
    title,
    inputs: [input, input],
    build: (a, b) => build(a!, b!),
  }));

export const elementwiseCases: readonly Case[] = [
  ...unary({ neg, abs, sign, exp, reciprocal, floor, ceil, round, sin, cos, tanh, erf, relu, sigmoid, softplus }),
  ...unary({ square, silu, gelu }),
  ...unary({ log, sqrt, rsqrt }, positive),
  ...binary({ add, sub, mul, div, min, max }),
  ...binary({ pow }, positive),
  ...pair({ equal, less, lessOrEqual, greater, greaterOrEqual }, matrix),
  ...pair({ and, or, xor }, truth),
  { title: "not", inputs: [truth], build: not },
  { title: "a square as a power", inputs: [matrix], build: (x) => pow(x, 2) },
  {
    title: "isNotANumber and isInfinite",
    inputs: [matrix],
    build: (x) => [isNotANumber(sqrt(x!)), isInfinite(reciprocal(relu(x!)))],
  },
  {
    title: "mod of integers",
    inputs: [{ shape: ["B"], dtype: "int64", values: [-7, -1, 0, 4, 8] }],
    build: (x) => mod(x, 3),
  },
  { title: "where", inputs: [truth, matrix, { shape: [4] }], build: (c, a, b) => where(c!, a!, b!) },
  { title: "where with a number", inputs: [truth, matrix], build: (c, a) => where(c!, a!, 0) },
  {
    title: "cast to integers and back",
    inputs: [matrix],
    build: (x) => cast(cast(x!, "int64"), "float32"),
  },
  {
    title: "cast between floats",
    inputs: [matrix],
    build: (x) => cast(cast(x!, x!.dtype === "float64" ? "float32" : "float64"), x!.dtype),
    rounds: true,
  },
  { title: "clip", inputs: [matrix], build: (x) => clip(x!, -0.5, 0.8) },
];

const overAxes = (operators: Readonly<Record<string, typeof reduceSum>>): Case[] =>
  Object.entries(operators).flatMap(([name, reduce]): Case[] => [
    { title: `${name} over everything`, inputs: [batch], build: (x) => reduce(x!) },
    { title: `${name} over a symbolic axis`, inputs: [batch], build: (x) => reduce(x!, [1]) },
    { title: `${name} over two axes, kept`, inputs: [batch], build: (x) => reduce(x!, [0, -1], { keepDims: true }) },
  ]);

export const numericCases: readonly Case[] = [
  ...overAxes({ reduceSum, reduceMean, reduceMax, reduceMin, reduceSumSquare }),
  { title: "argMax", inputs: [batch], build: (x) => argMax(x!, -1) },
  { title: "argMax, kept", inputs: [batch], build: (x) => argMax(x!, 1, { keepDims: true }) },
  { title: "cumSum", inputs: [batch], build: (x) => cumSum(x!, 1) },
  {
    title: "cumSum, exclusive, reversed",
    inputs: [batch],
    build: (x) => cumSum(x!, 2, { exclusive: true, reverse: true }),
  },
  { title: "matMul of matrices", inputs: [matrix, { shape: [4, 3] }], build: (a, b) => matMul(a!, b!) },
  { title: "matMul of a batch with one weight", inputs: [batch, { shape: [4, 3] }], build: (a, b) => matMul(a!, b!) },
  {
    title: "matMul of two batches",
    inputs: [{ shape: ["S", 2, "T", 4] }, { shape: ["S", 1, 4, "P"] }],
    build: (a, b) => matMul(a!, b!),
  },
  {
    title: "matMul of one matrix with a batch",
    inputs: [{ shape: ["B", "T"] }, batch],
    build: (a, b) => matMul(a!, b!),
  },
  ...[false, true].flatMap(
    (transposeA) =>
      [false, true].map((transposeB) => ({
        title: `gemm, transposeA ${transposeA}, transposeB ${transposeB}`,
        inputs: [{ shape: transposeA ? [4, "B"] : ["B", 4] }, { shape: transposeB ? [3, 4] : [4, 3] }, { shape: [3] }],
        build: (a: Value, b: Value, bias: Value) => gemm(a, b, { bias, transposeA, transposeB, alpha: 0.5, beta: 2 }),
      })) as Case[],
  ),
  { title: "gemm without a bias", inputs: [matrix, { shape: [4, 3] }], build: (a, b) => gemm(a!, b!) },
  { title: "softmax", inputs: [batch], build: (x) => softmax(x!) },
  { title: "softmax over the middle axis", inputs: [batch], build: (x) => softmax(x!, 1) },
  { title: "logSoftmax", inputs: [batch], build: (x) => logSoftmax(x!) },
  { title: "rmsNorm", inputs: [batch, { shape: [4] }], build: (x, w) => rmsNorm(x!, w!, 1e-5) },
  {
    title: "layerNorm",
    inputs: [batch, { shape: [4] }, { shape: [4] }],
    build: (x, w, b) => layerNorm(x!, w!, b!, 1e-5),
  },
  { title: "topK", inputs: [{ shape: ["B", 6] }], build: (x) => Object.values(topK(x!, 3)) },
  {
    title: "topK, smallest, along the first axis",
    inputs: [{ shape: [6, "B"] }],
    build: (x) => Object.values(topK(x!, 2, { axis: 0, largest: false })),
  },
];

const ids = (shape: Shape, ...values: number[]): InputCase => ({ shape, dtype: "int64", values });

export const movingCases: readonly Case[] = [
  { title: "identity", inputs: [matrix], build: (x) => identity(x!) },
  { title: "reshape that keeps leading sizes", inputs: [batch], build: (x) => reshape(x!, ["S", "T", 2, 2]) },
  { title: "reshape that joins symbolic axes", inputs: [batch], build: (x) => reshape(x!, ["S*T", 4]) },
  {
    title: "reshape that parts symbolic axes",
    inputs: [batch],
    build: (x) => reshape(reshape(x!, ["4*S*T"]), ["T", "S", 4]),
  },
  { title: "reshape of nothing", inputs: [{ shape: ["S", 0, 4] }], build: (x) => reshape(x!, [0, 4, "S"]) },
  { title: "transpose", inputs: [batch], build: (x) => transpose(x!, [2, 0, 1]) },
  { title: "transpose, reversed", inputs: [matrix], build: (x) => transpose(x!) },
  { title: "expand", inputs: [{ shape: ["S", 1, 4] }], build: (x) => expand(x!, [2, "S", 3, 4]) },
  {
    title: "expand to a symbolic size",
    inputs: [{ shape: [1, 4] }, matrix],
    build: (x, like) => expand(x!, like!.shape),
  },
  { title: "squeeze", inputs: [{ shape: ["S", 1, 4, 1] }], build: (x) => squeeze(x!, [1, -1]) },
  { title: "unsqueeze", inputs: [matrix], build: (x) => unsqueeze(x!, [0, -1]) },
  {
    title: "concat along a symbolic axis",
    inputs: [{ shape: ["S", "P", 4] }, batch],
    build: (a, b) => concat([a!, b!], 1),
  },
  {
    title: "concat of three",
    inputs: [matrix, { shape: ["B", 1] }, matrix],
    build: (a, b, c) => concat([a!, b!, c!], -1),
  },
  { title: "tile", inputs: [matrix], build: (x) => tile(x!, [2, 3]) },
  {
    title: "range and fill",
    inputs: [batch],
    build: (x) => [range(x!.graph, "S*T"), fill(x!.graph, ["T", 2], 1.5, x!.dtype)],
  },
  { title: "split", inputs: [{ shape: ["B", 6] }], build: (x) => split(x!, [1, 3, 2], 1) },
  {
    title: "split of which one piece is used",
    inputs: [{ shape: ["B", 6] }],
    build: (x) => split(x!, [1, 3, 2], 1)[1]!,
  },
  { title: "slice of a known axis", inputs: [{ shape: ["B", 6] }], build: (x) => slice(x!, 1, 1, -1) },
  { title: "slice from a place on, symbolic", inputs: [batch], build: (x) => slice(x!, 1, 1) },
  { title: "slice of the last ones, symbolic", inputs: [batch], build: (x) => slice(x!, 1, -2) },
  { title: "slice up to the last one, symbolic", inputs: [batch], build: (x) => slice(x!, 1, 0, -1) },
  {
    title: "slice with bounds known at run time",
    inputs: [matrix, ids([], 1), ids([1], 4)],
    build: (x, from, to) => slice(x!, 0, from!, to!, 3),
  },
  { title: "pad", inputs: [matrix], build: (x) => pad(x!, 0, 2, 1, 0.5) },
  { title: "trilu, lower", inputs: [{ shape: ["S", 4, 4] }], build: (x) => trilu(x!) },
  {
    title: "trilu, strictly upper",
    inputs: [{ shape: ["B", 4] }],
    build: (x) => trilu(x!, { upper: true, offset: 1 }),
  },
  {
    title: "gather of rows, with repeats",
    inputs: [matrix, ids(["S", 2], 0, 3, 3, 4)],
    build: (x, i) => gather(x!, i!),
  },
  {
    title: "gather along the last axis, with repeats and negatives",
    inputs: [batch, ids([3], 1, -1, 1)],
    build: (x, i) => gather(x!, i!, 2),
  },
  { title: "gather of one", inputs: [matrix, ids([], 2)], build: (x, i) => gather(x!, i!) },
  {
    title: "gatherElements, with repeats",
    inputs: [matrix, ids(["B", 2], 0, 0, 1, 3, 2, 2, 3, 1, 0, 1)],
    build: (x, i) => gatherElements(x!, i!, 1),
  },
  {
    title: "scatterElements",
    inputs: [matrix, ids(["B", 2], 0, 1, 1, 3, 2, 0, 3, 1, 0, 1), { shape: ["B", 2] }],
    build: (x, i, u) => scatterElements(x!, i!, u!, 1),
  },
  {
    title: "scatterElements, adding, with repeats",
    inputs: [matrix, ids([3, 4], 0, 0, 1, 4, 0, 2, 1, 4, 0, 2, 1, 4), { shape: [3, 4] }],
    build: (x, i, u) => scatterElements(x!, i!, u!, 0, "add"),
  },
  {
    title: "gatherNd of rows, with repeats",
    inputs: [batch, ids([3, 2], 0, 1, 1, 2, 0, 1)],
    build: (x, i) => gatherNd(x!, i!),
  },
  {
    title: "gatherNd of elements",
    inputs: [batch, ids([2, 1, 3], 0, 1, 3, 1, 2, 0)],
    build: (x, i) => gatherNd(x!, i!),
  },
  {
    title: "scatterNd",
    inputs: [batch, ids([2, 2], 0, 1, 1, 2), { shape: [2, 4] }],
    build: (x, i, u) => scatterNd(x!, i!, u!),
  },
  {
    title: "scatterNd, adding",
    inputs: [batch, ids([2, 2], 0, 1, 1, 2), { shape: [2, 4] }],
    build: (x, i, u) => scatterNd(x!, i!, u!, "add"),
  },
  { title: "argSort, with equals", inputs: [ids(["B"], 3, 1, 3, 0, 1)], build: (i) => argSort(i!) },
  {
    title: "rows in runs whose lengths are data, one of them empty",
    inputs: [ids(["B", 2], 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), ids([3], 2, 0, 3)],
    build(x, counts) {
      const [first, second, third] = splitRows(x!, counts!);
      return concatRows([third!, second!, first!], "B");
    },
  },
  { title: "oneHot", inputs: [ids(["B"], 0, 2, 1, 2, 3)], build: (i) => oneHot(i!, 4, "float32") },
];

export const cases: readonly Case[] = [...elementwiseCases, ...numericCases, ...movingCases];

/** Kernels that ONNX Runtime 1.30 lacks on the CPU in float64. A test finds out when one of them appears. */
export const withoutFloat64: ReadonlySet<string> = new Set(["Erf", "Softplus"]);

export type FloatType = Extract<DType, "float32" | "float64">;
