import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gradients } from "../../../engine/autodiff/gradient.ts";
import { toBfloat16Bits } from "../../../engine/onnx/dtype.ts";
import { Graph, type Value } from "../../../engine/onnx/graph.ts";
import { add, cast, mul, silu } from "../../../engine/ops/elementwise.ts";
import { gather, scatterElements } from "../../../engine/ops/indexing.ts";
import { gemm, matMul } from "../../../engine/ops/matmul.ts";
import { reduceSum } from "../../../engine/ops/reduce.ts";
import { expand, fill, unsqueeze } from "../../../engine/ops/shape.ts";
import { softmax } from "../../../engine/ops/softmax.ts";
import { topK } from "../../../engine/ops/topk.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession, type Session } from "../../../engine/runtime/session.ts";
import { tensor, zeros } from "../../../engine/runtime/tensor.ts";

async function withSession<T>(
  graph: Graph,
  use: (session: Session) => Promise<T>,
  threads = 2,
  externalFolder?: string,
): Promise<T> {
  const session = await openSession(graph, { threads, ...(externalFolder === undefined ? {} : { externalFolder }) });
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

function doubler(dtype: "float32" | "float16" | "int64" = "float32"): Graph {
  const graph = new Graph("doubler");
  const x = graph.input("x", dtype, ["B"]);
  graph.output(add(x, x), "y");
  graph.output(reduceSum(x), "sum");
  return graph;
}

describe("a session", () => {
  it("names its inputs and outputs", () =>
    withSession(doubler(), async (session) => {
      expect(session.inputNames).toEqual(["x"]);
      expect(session.outputNames).toEqual(["y", "sum"]);
    }));

  it("returns only what is fetched", () =>
    withSession(doubler(), async (session) => {
      const results = await session.run({ x: tensor("float32", [1, 2]) }, { fetch: ["sum"] });
      expect(results).toEqual({ sum: { dtype: "float32", shape: [], data: new Float32Array([3]) } });
    }));

  it("writes into the array that the caller gives", () =>
    withSession(doubler(), async (session) => {
      const into = zeros("float32", [3]);
      const results = await session.run({ x: tensor("float32", [1, 2, 3]) }, { fetch: ["sum"], into: { y: into } });
      expect(results.y).toBe(into);
      expect(Array.from(into.data as Float32Array)).toEqual([2, 4, 6]);
    }));

  it("refuses an array of another shape or dtype", () =>
    withSession(doubler(), async (session) => {
      const feeds = { x: tensor("float32", [1, 2, 3]) };
      await expect(session.run(feeds, { into: { y: zeros("float32", [3, 1]) } })).rejects.toThrow("Invalid rank");
      await expect(session.run(feeds, { into: { y: zeros("float64", [3]) } })).rejects.toThrow("data type");
    }));

  it("names an input or output that does not exist", () =>
    withSession(doubler(), async (session) => {
      const x = tensor("float32", [1]);
      await expect(session.run({ x, z: x })).rejects.toThrow("there is no input z; inputs: x");
      await expect(session.run({ x }, { fetch: ["z"] })).rejects.toThrow("there is no output z; outputs: y, sum");
      await expect(session.run({})).rejects.toThrow("x");
    }));

  it("carries half floats as bit patterns, in and out and in place", () =>
    withSession(doubler("float16"), async (session) => {
      const into = zeros("float16", [2]);
      const results = await session.run({ x: tensor("float16", [1.5, -2]) }, { into: { y: into } });
      expect(Array.from(into.data as Uint16Array)).toEqual([0x4200, 0xc400]);
      expect(results.sum!.data).toEqual(new Uint16Array([0xb800]));
    }));

  it("carries 64-bit integers exactly", () =>
    withSession(doubler("int64"), async (session) => {
      const { y } = await session.run({ x: tensor("int64", [2n ** 60n + 1n, -3n]) });
      expect(y!.data).toEqual(new BigInt64Array([2n ** 61n + 2n, -6n]));
    }));

  it("runs on nothing: an empty batch", () =>
    withSession(doubler(), async (session) => {
      const { y, sum } = await session.run({ x: zeros("float32", [0]) });
      expect([y!.shape, sum!.data]).toEqual([[0], new Float32Array([0])]);
    }));

  it("finishes what runs before it closes, and refuses to run afterwards", async () => {
    const session = await openSession(doubler());
    const result = session.run({ x: tensor("float32", [4]) });
    await session.close();
    await session.close();
    expect((await result).sum!.data).toEqual(new Float32Array([4]));
    await expect(session.run({ x: tensor("float32", [4]) })).rejects.toThrow("the session is closed");
  });

  it("refuses bfloat16 numbers with the way around", () =>
    withSession(doubler(), async (session) => {
      await expect(session.run({ x: tensor("bfloat16", [1]) })).rejects.toThrow("external initializer");
    }));

  it("says what array a dtype needs", () =>
    withSession(doubler(), async (session) => {
      const x = { dtype: "float32", shape: [1], data: new Float64Array(1) } as const;
      await expect(session.run({ x })).rejects.toThrow("x: float32 needs Float32Array, got Float64Array");
    }));
});

describe("external initializers", () => {
  let folder = "";
  const first = [1, 2, 3, 4, 5, 6];
  const second = [-1, 0.5, 3];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "external-"));
    // Three odd bytes in front: offsets of a real checkpoint are aligned to nothing.
    const bytes = Buffer.concat([
      Buffer.from([7, 7, 7]),
      Buffer.from(Float32Array.from(first).buffer),
      Buffer.from(Uint16Array.from(second, toBfloat16Bits).buffer),
    ]);
    writeFileSync(join(folder, "weights.bin"), bytes);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const weights = (graph: Graph, offset = 3): [Value, Value] => [
    graph.external("w", "float32", [2, 3], { file: "weights.bin", offset, lengthBytes: 24 }),
    graph.external("b", "bfloat16", [3], { file: "weights.bin", offset: offset + 24, lengthBytes: 6 }),
  ];

  it("read two tensors out of one file, and bfloat16 through a cast", async () => {
    const graph = new Graph("external");
    const x = graph.input("x", "float32", ["B", 2]);
    const [w, b] = weights(graph);
    graph.output(gemm(x, w, { bias: cast(b, "float32") }), "y");
    const y = await withSession(
      graph,
      async (s) => (await s.run({ x: tensor("float32", [1, 10], [1, 2]) })).y!,
      2,
      folder,
    );
    expect(Array.from(y.data as Float32Array)).toEqual([41 - 1, 52 + 0.5, 63 + 3]);
  });

  it("are refused when their length is not that of the shape", () => {
    const where = { file: "weights.bin", offset: 0, lengthBytes: 20 };
    expect(() => new Graph("g").external("w", "float32", [2, 3], where)).toThrow(
      "w: float32 [2, 3] is 24 bytes, but weights.bin gives 20",
    );
  });

  it("fail on opening when the file is too short", async () => {
    const graph = new Graph("external");
    const [w] = weights(graph, 1000);
    graph.output(w, "y");
    await expect(openSession(graph, { externalFolder: folder })).rejects.toThrow("w offset: 1000");
  });
});

describe("results are bit-identical", () => {
  const random = createRandom(3);
  const normal = (...shape: [number, number]) =>
    tensor(
      "float32",
      Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal()),
      shape,
    );
  const feeds = { x: normal(70, 320), w: normal(320, 96) };

  it("between sessions with equally many threads, gradients included", async () => {
    const graph = new Graph("training");
    const x = graph.input("x", "float32", ["B", 320]);
    const w = graph.input("w", "float32", [320, 96]);
    const product = matMul(x, w);
    const loss = reduceSum(mul(softmax(silu(product)), product));
    for (const [i, gradient] of gradients(loss, [x, w]).entries()) graph.output(gradient, `gradient${i}`);
    const results = [];
    for (let i = 0; i < 3; i++) results.push(await withSession(graph, (session) => session.run(feeds), 2));
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it("between 1, 2 and 4 threads when the weights are constants", async () => {
    const graph = new Graph("inference");
    const x = graph.input("x", "float32", ["B", 320]);
    const product = matMul(x, graph.constant(feeds.w.data, "float32", [320, 96]));
    graph.output(softmax(silu(product)), "probabilities");
    graph.output(reduceSum(product), "sum");
    graph.output(topK(product, 8).values, "top");
    const results = [];
    for (const threads of [1, 2, 4]) results.push(await withSession(graph, (s) => s.run({ x: feeds.x }), threads));
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

describe("sums over repeated indices are exact with 2 and 4 threads", () => {
  // Small integers: every order of adding gives the same float, so that any difference is a lost update.
  const [rows, width, columns] = [2048, 512, 64];
  const random = createRandom(5);
  const index = BigInt64Array.from({ length: rows }, () => BigInt(random.int(16)));
  const weight = Float32Array.from({ length: rows * columns }, () => random.int(8));
  const expected = new Float32Array(width * columns);
  for (const [i, row] of index.entries()) {
    for (let j = 0; j < columns; j++) expected[Number(row) * columns + j]! += weight[i * columns + j]!;
  }
  const feeds = { index: tensor("int64", index), weight: tensor("float32", weight, [rows, columns]) };

  const check = async (build: (graph: Graph, index: Value, weight: Value) => Value, threads: number) => {
    const graph = new Graph("repeats");
    graph.output(
      build(graph, graph.input("index", "int64", ["N"]), graph.input("weight", "float32", ["N", columns])),
      "y",
    );
    await withSession(
      graph,
      async (session) => {
        for (let repeat = 0; repeat < 5; repeat++) {
          const sum = (await session.run(feeds)).y!.data as Float32Array;
          expect(sum.findIndex((x, i) => x !== expected[i])).toBe(-1);
        }
      },
      threads,
    );
  };

  it.each([2, 4])("in the gradient of gather (%i threads)", (threads) =>
    check((graph, i, w) => {
      const table = graph.constant(new Float32Array(width * columns), "float32", [width, columns]);
      return gradients(reduceSum(mul(gather(table, i), w)), [table])[0]!;
    }, threads),
  );

  it.each([2, 4])("in scatterElements (%i threads)", (threads) =>
    check((graph, i, w) => {
      const target = fill(graph, [width, columns], 0, "float32");
      return scatterElements(target, expand(unsqueeze(i, [1]), w.shape), w, 0, "add");
    }, threads),
  );
});
