import { describe, expect, it } from "vitest";
import { Graph, type Value } from "../../../engine/onnx/graph.ts";
import { decodeModel } from "../../../engine/onnx/messages.ts";
import { modelBytes } from "../../../engine/onnx/serialize.ts";
import { add, cast, equal, mul, not, relu, where } from "../../../engine/ops/elementwise.ts";
import {
  gather,
  gatherElements,
  oneHot,
  pad,
  scatterElements,
  scatterNd,
  slice,
  split,
} from "../../../engine/ops/indexing.ts";
import { gemm, matMul } from "../../../engine/ops/matmul.ts";
import { reduceSum } from "../../../engine/ops/reduce.ts";
import { concat, expand, range, reshape, squeeze, tile, transpose, unsqueeze } from "../../../engine/ops/shape.ts";
import { softmax } from "../../../engine/ops/softmax.ts";
import { topK } from "../../../engine/ops/topk.ts";
import { openSession } from "../../../engine/runtime/session.ts";

interface Inputs {
  readonly graph: Graph;
  readonly x: Value;
  readonly w: Value;
  readonly ids: Value;
  readonly yes: Value;
}

function inputs(): Inputs {
  const graph = new Graph("test");
  return {
    graph,
    x: graph.input("x", "float32", ["S", "T", 4]),
    w: graph.input("w", "float32", [4, 3]),
    ids: graph.input("ids", "int64", ["S", 2]),
    yes: graph.input("yes", "bool", []),
  };
}

describe("an illegal graph fails while it is built, and the error names the node", () => {
  const illegal: readonly [title: string, build: (i: Inputs) => unknown, message: string][] = [
    [
      "two symbols that may differ",
      ({ x }) => add(x, transpose(x, [1, 0, 2])),
      "block/Add: [S, T, 4] and [T, S, 4] do not broadcast: S against T",
    ],
    [
      "a symbol against a number",
      ({ x, w }) => mul(x, w),
      "block/Mul: [S, T, 4] and [4, 3] do not broadcast: T against 4",
    ],
    [
      "two dtypes",
      ({ x, ids }) => add(x, cast(ids, "float64")),
      "block/Add: block/Cast:out must be float32, got float64",
    ],
    ["a number alone", () => add(1, 2), "needs at least one Value"],
    ["an operator that wants floats", ({ ids }) => softmax(ids), "block/Softmax: ids must be float32 or float64"],
    ["an operator that wants bool", ({ x }) => not(x), "block/Not: x must be bool, got float32"],
    ["a condition that is no bool", ({ x }) => where(x, 1, x), "block/Where: x must be bool"],
    [
      "inner sizes that differ",
      ({ x, w }) => matMul(x, transpose(w)),
      "block/MatMul: expected equal inner sizes, got [S, T, 4] · [3, 4]",
    ],
    ["a vector in a product", ({ x, w }) => matMul(reduceSum(w, [1]), x), "block/MatMul: expected two matrices"],
    ["gemm of a batch", ({ x, w }) => gemm(x, w), "block/Gemm: expected matrices with equal inner sizes"],
    [
      "a bias that does not fit",
      ({ w }) => gemm(w, w, { transposeB: true, bias: reduceSum(w, [0]) }),
      "block/Gemm: [4, 4] and [3] do not broadcast",
    ],
    [
      "a bias that is larger than the product",
      ({ x, w }) => gemm(w, w, { transposeB: true, bias: x }),
      "block/Gemm: [4, 4] and [S, T, 4] do not broadcast",
    ],
    [
      "an axis that does not exist",
      ({ x }) => softmax(x, 3),
      "block/Softmax: axis 3 does not exist in a tensor of rank 3",
    ],
    [
      "another number of elements",
      ({ w }) => reshape(w, [5, 2]),
      "block/Reshape: expected as many elements as [4, 3], got [5, 2]",
    ],
    [
      "an order that leaves an axis out",
      ({ x }) => transpose(x, [0, 1]),
      "block/Transpose: expected an order of 3 axes, got [0, 1]",
    ],
    [
      "a shape that one cannot stretch to",
      ({ w }) => expand(w, [2, 3]),
      "block/Expand: [4, 3] and [2, 3] do not broadcast",
    ],
    ["squeezing what is not 1", ({ w }) => squeeze(w, [0]), "block/Squeeze: expected size 1 on axes 0, got [4, 3]"],
    [
      "unsqueezing twice at a place",
      ({ w }) => unsqueeze(w, [0, 0]),
      "block/Unsqueeze: expected distinct axes, got [0, 0]",
    ],
    [
      "joining what differs elsewhere",
      ({ x }) => concat([x, transpose(x, [1, 0, 2])], 2),
      "block/Concat: expected [S, T, 4] outside axis 2, got [T, S, 4]",
    ],
    [
      "joining two dtypes",
      ({ x }) => concat([x, cast(x, "int64")], 2),
      "block/Concat: block/Cast:out is int64, not float32",
    ],
    ["joining nothing", () => concat([], 0), "expected at least one value"],
    ["repeats for another rank", ({ w }) => tile(w, [2]), "block/Tile: expected 2 repeats, got 1"],
    ["a size that nothing has", ({ graph }) => range(graph, "Q"), "block/Shape: no value of the graph has the size Q"],
    [
      "a slice beyond the end",
      ({ w }) => slice(w, 0, 1, 7),
      "block/Slice: expected bounds that fit 4 (they run over), got 1 … 7",
    ],
    [
      "a slice that runs backwards",
      ({ x }) => slice(x, 1, 3, 2),
      "block/Slice: expected bounds that fit T (they run backwards)",
    ],
    ["a slice of a size nobody can know", ({ x }) => slice(x, 1, -3, 2), "(pass the size)"],
    [
      "pieces that do not add up",
      ({ w }) => split(w, [1, 1], 1),
      "block/Split: expected pieces that add up to 3, got 2",
    ],
    ["indices that are floats", ({ x, w }) => gather(w, x), "block/Gather: x must be int64 or int32, got float32"],
    [
      "indices of another rank",
      ({ x, ids }) => gatherElements(x, ids, 2),
      "block/GatherElements: expected indices like [S, T, 4] outside axis 2, got [S, 2]",
    ],
    [
      "updates unlike the indices",
      ({ x, ids }) => scatterElements(x, ids, x, 0),
      "block/ScatterElements: expected updates like the indices [S, 2]",
    ],
    [
      "updates unlike the coordinates",
      ({ w, ids, x }) => scatterNd(w, ids, x),
      "block/ScatterND: expected updates of shape [S], got [S, T, 4]",
    ],
    ["padding by a value without a size", ({ w, ids }) => pad(w, 0, ids, 1), "block/Pad: expected a size"],
    ["one-hot of floats", ({ x }) => oneHot(x, 4, "float32"), "block/OneHot: x must be int64"],
    ["k above the axis", ({ w }) => topK(w, 4), "block/TopK: expected k between 1 and 3, got 4"],
    ["a name that is taken", ({ graph }) => graph.input("x", "float32", []), "x: the name is taken in graph test"],
    ["a name of nothing", ({ graph }) => graph.input("", "float32", []), "must not be empty"],
    ["a shape that is none", ({ graph }) => graph.input("z", "float32", [2, -1]), "z: [2, -1] is not a shape"],
    [
      "a constant with too few numbers",
      ({ graph }) => graph.constant([1, 2], "float32", [3], "c"),
      "c: shape [3] needs 3 numbers, got 2",
    ],
    [
      "a constant of unknown size",
      ({ graph }) => graph.constant([1], "float32", ["S"], "c"),
      "c: a stored tensor needs known sizes",
    ],
    [
      "a constant in the wrong array",
      ({ graph }) => graph.constant(new Float64Array(1), "float32"),
      "float32 data must be Float32Array, got Float64Array",
    ],
    [
      "a value of another graph",
      ({ x }) => new Graph("other").node("Relu", [x], [x]),
      "Relu: input x belongs to graph test, not to other",
    ],
    ["an output of another graph", ({ x }) => new Graph("other").output(x, "y"), "output y: x belongs to graph test"],
    ["a graph without outputs", ({ graph }) => modelBytes(graph), "graph test has no outputs"],
  ];

  it.each(illegal)("%s", (_title, build, message) => {
    const given = inputs();
    expect(() => given.graph.scope("block", () => build(given))).toThrow(message);
  });

  it("and adds no node", () => {
    const given = inputs();
    expect(() => matMul(given.x, given.x)).toThrow(RangeError);
    expect(given.graph.nodes).toEqual([]);
  });
});

describe("names", () => {
  it("carry the scopes around them and are numbered when repeated", () => {
    const { graph, x } = inputs();
    const [a, b, c] = graph.scope("layer3", () => [relu(x), relu(x), graph.scope("mlp", () => relu(x))]);
    expect([a, b, c].map((value) => graph.producer(value!)!.name)).toEqual([
      "layer3/Relu",
      "layer3/Relu_1",
      "layer3/mlp/Relu",
    ]);
  });

  it("are free again for the scope, not for the name, after an error", () => {
    const { graph, x } = inputs();
    expect(() => graph.scope("broken", () => softmax(x, 9))).toThrow("broken/Softmax");
    expect(graph.producer(relu(x))!.name).toBe("Relu");
  });
});

describe("symbolic sizes", () => {
  it("add and multiply under one name, however they were made", () => {
    const { x } = inputs();
    const past = x.graph.input("past", "float32", ["S", "P", 4]);
    expect(concat([past, x], 1).shape).toEqual(concat([x, past], 1).shape);
    expect(concat([past, x], 1).shape).toEqual(["S", "P+T", 4]);
    expect(reshape(x, ["S*T", 4]).shape).toEqual(reshape(reshape(x, ["4*S*T"]), ["S*T", 4]).shape);
  });

  it("broadcast against themselves and against 1", () => {
    const { x } = inputs();
    const mean = reduceSum(x, [1], { keepDims: true });
    expect(mul(x, mean).shape).toEqual(["S", "T", 4]);
  });

  it("may be 0 at run time, in a reshape too", async () => {
    const graph = new Graph("empty");
    const x = graph.input("x", "float32", ["E", "T", 4]);
    graph.output(reshape(x, ["E", "4*T"]), "y");
    const session = await openSession(graph);
    const { y } = await session.run({ x: { dtype: "float32", shape: [0, 3, 4], data: new Float32Array(0) } });
    expect(y!.shape).toEqual([0, 12]);
    await session.close();
  });

  it("of one name at run time must be one size", async () => {
    const graph = new Graph("g");
    graph.output(add(graph.input("a", "float32", ["B"]), graph.input("b", "float32", ["B"])), "y");
    const session = await openSession(graph);
    const of = (n: number) => ({ dtype: "float32", shape: [n], data: new Float32Array(n) }) as const;
    await expect(session.run({ a: of(2), b: of(3) })).rejects.toThrow("Add");
    await session.close();
  });
});

describe("serialised", () => {
  it("a graph holds its nodes, constants, external tensors and shapes", () => {
    const graph = new Graph("stored");
    const x = graph.input("x", "float32", ["B", 2]);
    const w = graph.external("w", "bfloat16", [2, 3], { file: "model.safetensors", offset: 8, lengthBytes: 12 });
    graph.output(
      gemm(x, cast(w, "float32"), { bias: graph.constant([1, 2, 3], "float32", [3], "b"), alpha: 0.5 }),
      "y",
    );
    const model = decodeModel(modelBytes(graph)) as { graph: Record<string, Record<string, unknown>[]> } & Record<
      string,
      unknown
    >;
    expect(model.opsetImport).toEqual([{ domain: "", version: 21 }]);
    expect(model.graph.node!.map((node) => [node.name, node.opType, node.input, node.output])).toEqual([
      ["Cast", "Cast", ["w"], ["Cast:out"]],
      ["Gemm", "Gemm", ["x", "Cast:out", "b"], ["Gemm:out"]],
      ["output", "Identity", ["Gemm:out"], ["y"]],
    ]);
    expect(model.graph.node![1]!.attribute).toEqual([
      { name: "transA", i: 0, type: 2 },
      { name: "transB", i: 0, type: 2 },
      { name: "alpha", f: 0.5, type: 1 },
      { name: "beta", f: 1, type: 1 },
    ]);
    expect(model.graph.initializer).toEqual([
      {
        name: "w",
        dims: [2, 3],
        dataType: 16,
        dataLocation: 1,
        externalData: [
          { key: "location", value: "model.safetensors" },
          { key: "offset", value: "8" },
          { key: "length", value: "12" },
        ],
      },
      { name: "b", dims: [3], dataType: 1, rawData: Buffer.from(Float32Array.of(1, 2, 3).buffer) },
    ]);
    expect(model.graph.input).toEqual([
      {
        name: "x",
        type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: "B" }, { dimValue: 2 }] } } },
      },
    ]);
  });

  it("names the operator sets of other domains", () => {
    const graph = new Graph("contrib");
    const x = graph.input("x", "float32", ["B", 4]);
    const [y] = graph.node("QuickGelu", [x], [x], { domain: "com.microsoft", attributes: { alpha: { float: 1 } } });
    graph.output(y!, "y");
    expect((decodeModel(modelBytes(graph)) as { opsetImport: unknown }).opsetImport).toContainEqual({
      domain: "com.microsoft",
      version: 1,
    });
  });

  it("is the same bytes when built again", () => {
    const build = () => {
      const { graph, x, w } = inputs();
      graph.output(equal(softmax(matMul(x, w)), 0.5), "y");
      return modelBytes(graph);
    };
    expect(Buffer.compare(build(), build())).toBe(0);
  });
});
