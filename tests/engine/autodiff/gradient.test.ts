import { describe, expect, it } from "vitest";
import { gradients } from "../../../engine/autodiff/gradient.ts";
import { Graph, type Value } from "../../../engine/onnx/graph.ts";
import { ifElse, loop } from "../../../engine/ops/control.ts";
import { add, cast, exp, mul, neg } from "../../../engine/ops/elementwise.ts";
import { gather, gatherElements, slice } from "../../../engine/ops/indexing.ts";
import { gemm, matMul } from "../../../engine/ops/matmul.ts";
import { rmsNorm } from "../../../engine/ops/norm.ts";
import { reduceMean, reduceSum } from "../../../engine/ops/reduce.ts";
import { concat, reshape, transpose, unsqueeze } from "../../../engine/ops/shape.ts";
import { logSoftmax, softmax } from "../../../engine/ops/softmax.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { countOf, type Tensor, tensor } from "../../../engine/runtime/tensor.ts";
import { runOnce, toNumbers } from "../ops/run-case.ts";

describe("gradients", () => {
  it("add up over all uses of a value", async () => {
    const graph = new Graph("uses");
    const x = graph.input("x", "float32", [2]);
    graph.output(gradients(reduceSum(add(mul(x, x), mul(x, 3))), [x])[0]!, "dx");
    const { dx } = await runOnce(graph, { x: tensor("float32", [5, -1]) });
    expect(toNumbers(dx!.data)).toEqual([13, 1]);
  });

  it("are zero for what the loss does not read, with its shape", async () => {
    const graph = new Graph("unread");
    const x = graph.input("x", "float32", ["B"]);
    const y = graph.input("y", "float32", ["C", 2]);
    graph.output(gradients(reduceSum(x), [y])[0]!, "dy");
    const { dy } = await runOnce(graph, { x: tensor("float32", [1]), y: tensor("float32", [1, 2, 3, 4], [2, 2]) });
    expect(dy).toEqual(tensor("float32", [0, 0, 0, 0], [2, 2]));
  });

  it("can be taken by results in the middle, and by the loss itself", async () => {
    const graph = new Graph("middle");
    const x = graph.input("x", "float32", [2]);
    const middle = mul(x, 2);
    const loss = reduceSum(mul(middle, middle));
    gradients(loss, [middle, loss]).forEach((gradient, i) => {
      graph.output(gradient, `d${i}`);
    });
    const { d0, d1 } = await runOnce(graph, { x: tensor("float32", [1, 3]) });
    expect([toNumbers(d0!.data), toNumbers(d1!.data)]).toEqual([[4, 12], [1]]);
  });

  it("reach through a body to what its captured values were made of", async () => {
    const graph = new Graph("captured");
    const x = graph.input("x", "float32", [2]);
    const squares = mul(x, x);
    const { scan } = loop({
      count: 2,
      state: [x],
      body: (_i, [v]) => ({ state: [v!], scan: gradients(reduceSum(mul(squares, 3)), [x]) }),
    });
    graph.output(scan[0]!, "dx");
    const { dx } = await runOnce(graph, { x: tensor("float32", [1, -2]) });
    expect(toNumbers(dx!.data)).toEqual([6, -12, 6, -12]);
  });

  it("of gradients are second derivatives", async () => {
    const graph = new Graph("second");
    const x = graph.input("x", "float64", [2]);
    const first = gradients(reduceSum(mul(x, exp(x))), [x])[0]!;
    graph.output(gradients(reduceSum(first), [x])[0]!, "second");
    const { second } = await runOnce(graph, { x: tensor("float64", [0, 1]) });
    expect((second!.data as Float64Array)[0]).toBeCloseTo(2, 12);
    expect((second!.data as Float64Array)[1]).toBeCloseTo(3 * Math.E, 12);
  });

  it("do not pass through integers", async () => {
    const graph = new Graph("integers");
    const x = graph.input("x", "float32", [2]);
    const steps = cast(cast(x, "int64"), "float32");
    graph.output(gradients(reduceSum(mul(x, steps)), [x])[0]!, "dx");
    const { dx } = await runOnce(graph, { x: tensor("float32", [2.5, -3.5]) });
    expect(toNumbers(dx!.data)).toEqual([2, -3]);
  });

  it("are named after the nodes that they belong to", () => {
    const graph = new Graph("names");
    const x = graph.input("x", "float32", [2]);
    const loss = graph.scope("layer0", () => reduceSum(mul(x, 2)));
    gradients(loss, [x]);
    expect(graph.nodes.map((node) => node.name)).toContain("gradient/layer0/Mul/Mul");
  });
});

describe("gradients are refused", () => {
  const given = () => {
    const graph = new Graph("refused");
    return { graph, x: graph.input("x", "float32", [2]), yes: graph.input("yes", "bool", []) };
  };

  it("of more than one number", () => {
    const { x } = given();
    expect(() => gradients(x, [x])).toThrow("the loss must be one float, got x: float32 [2]");
  });

  it("by integers, and by values of another graph", () => {
    const { graph, x } = given();
    const ids = graph.input("ids", "int64", []);
    expect(() => gradients(reduceSum(x), [ids])).toThrow("ids is int64: only floats have gradients");
    const other = new Graph("other").input("z", "float32", []);
    expect(() => gradients(reduceSum(x), [other])).toThrow("z belongs to graph other, the loss to refused");
  });

  it("through If, also when the branch captures what is asked for, and through Loop", () => {
    const { graph, x, yes } = given();
    const [branched] = graph.scope("gate", () =>
      ifElse(
        yes,
        () => [mul(x, 2)],
        () => [x],
      ),
    );
    expect(() => gradients(reduceSum(branched!), [x])).toThrow("gate/If: gradients do not pass through control flow");
    const { state } = loop({ count: 2, state: [x], body: (_i, [v]) => ({ state: [neg(v!)] }) });
    expect(() => gradients(reduceSum(state[0]!), [x])).toThrow("Loop: gradients do not pass through control flow");
  });

  it("through an operator without a rule, but only where the loss depends on it", () => {
    const { graph, x } = given();
    const y = graph.node("HardSwish", [x], [x], { name: "odd" })[0]!;
    expect(() => gradients(reduceSum(y), [x])).toThrow("odd: there is no gradient rule for HardSwish");
    expect(() => gradients(reduceSum(add(y, x)), [y])).not.toThrow();
  });

  it("when a rule gives the wrong shape", () => {
    const { x } = given();
    const table = { ReduceSum: () => [() => x.graph.constant([1, 2, 3], "float32")] };
    expect(() => gradients(reduceSum(x), [x], table)).toThrow(
      "the ReduceSum rule gave float32 [3] for input 0, which is float32 [2]",
    );
  });
});

describe("a small transformer with symbolic sizes", () => {
  // Embedding, norm, rotated queries, causal-free attention, residual, gated output and cross-entropy.
  const shapes: Readonly<Record<string, readonly number[]>> = {
    embedding: [11, 8],
    query: [8, 8],
    key: [8, 4],
    norm: [8],
    gate: [8, 8],
    head: [8, 11],
  };
  const names = Object.keys(shapes);

  function build(): Graph {
    const graph = new Graph("transformer");
    const ids = graph.input("ids", "int64", ["S", "T"]);
    const next = graph.input("next", "int64", ["S", "T"]);
    const p = Object.fromEntries(names.map((name) => [name, graph.input(name, "float64", shapes[name]!)])) as Record<
      string,
      Value
    >;
    const x = gather(p.embedding!, ids);
    const h = rmsNorm(x, p.norm!, 1e-5);
    const q = matMul(h, p.query!);
    const rotated = add(q, concat([neg(slice(q, -1, 4)), slice(q, -1, 0, 4)], 2));
    const heads = transpose(reshape(rotated, ["S", "T", 2, 4]), [0, 2, 1, 3]);
    const keys = unsqueeze(transpose(matMul(h, p.key!), [0, 2, 1]), [1]);
    const attended = transpose(matMul(softmax(matMul(heads, keys)), heads), [0, 2, 1, 3]);
    const out = add(x, reshape(attended, ["S", "T", 8]));
    const rows = reshape(mul(out, matMul(out, p.gate!)), ["S*T", 8]);
    const logProbabilities = logSoftmax(gemm(rows, p.head!));
    const loss = neg(reduceMean(gatherElements(logProbabilities, reshape(next, ["S*T", 1]), 1)));
    graph.output(loss, "loss");
    gradients(
      loss,
      names.map((name) => p[name]!),
    ).forEach((gradient, i) => {
      graph.output(gradient, `d_${names[i]}`);
    });
    return graph;
  }

  it("has the gradient along a random direction that differences give, for every parameter", async () => {
    const random = createRandom("transformer");
    const ids = () =>
      tensor(
        "int64",
        Array.from({ length: 10 }, () => random.int(11)),
        [2, 5],
      );
    const normals = (shape: readonly number[]) =>
      Float64Array.from({ length: countOf(shape) }, () => 0.5 * random.normal());
    const feeds: Record<string, Tensor> = { ids: ids(), next: ids() };
    for (const name of names) feeds[name] = tensor("float64", normals(shapes[name]!), shapes[name]!);
    const session = await openSession(build(), { threads: 2 });
    const results = await session.run(feeds);
    for (const name of names) {
      const center = feeds[name]!.data as Float64Array;
      const direction = normals(shapes[name]!);
      const lossAt = async (h: number) => {
        const moved = tensor(
          "float64",
          center.map((value, i) => value + h * direction[i]!),
          shapes[name]!,
        );
        return Number((await session.run({ ...feeds, [name]: moved }, { fetch: ["loss"] })).loss!.data[0]);
      };
      const difference = ((await lossAt(1e-5)) - (await lossAt(-1e-5))) / 2e-5;
      const analytic = (results[`d_${name}`]!.data as Float64Array).reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(analytic - difference), name).toBeLessThan(1e-7);
      expect(Math.abs(analytic), name).toBeGreaterThan(1e-3);
    }
    await session.close();
  });
});
