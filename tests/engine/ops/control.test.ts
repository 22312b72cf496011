import { describe, expect, it } from "vitest";
import { gradients } from "../../../engine/autodiff/gradient.ts";
import { Graph } from "../../../engine/onnx/graph.ts";
import { ifElse, loop } from "../../../engine/ops/control.ts";
import { add, less, mul, sub } from "../../../engine/ops/elementwise.ts";
import { slice } from "../../../engine/ops/indexing.ts";
import { matMul } from "../../../engine/ops/matmul.ts";
import { reduceSum } from "../../../engine/ops/reduce.ts";
import { evaluate } from "../../../engine/reference/evaluate.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import { runOnce, toNdArrays, toNumbers } from "./run-case.ts";

async function both(graph: Graph, feeds: Parameters<typeof runOnce>[1]): Promise<Record<string, number[]>> {
  const actual = await runOnce(graph, feeds);
  const expected = evaluate(graph, toNdArrays(feeds));
  return Object.fromEntries(
    Object.entries(actual).map(([name, result]) => {
      const numbers = toNumbers(result.data);
      expect(result.shape).toEqual(expected[name]!.shape);
      expect(numbers).toEqual(Array.from(expected[name]!.data));
      return [name, numbers];
    }),
  );
}

describe("If", () => {
  const graph = new Graph("branches");
  const condition = graph.input("condition", "bool", []);
  const x = graph.input("x", "float32", [2, 2]);
  const doubled = mul(x, 2);
  const [y, z] = ifElse(
    condition,
    () => [matMul(doubled, x), doubled],
    () => [add(x, 1), x],
  );
  graph.output(y!, "y");
  graph.output(z!, "z");
  const feeds = (value: boolean) => ({ condition: tensor("bool", value), x: tensor("float32", [1, 2, 3, 4], [2, 2]) });

  it("runs the branch of the condition, on values made outside", async () => {
    expect(await both(graph, feeds(true))).toEqual({ y: [14, 20, 30, 44], z: [2, 4, 6, 8] });
    expect(await both(graph, feeds(false))).toEqual({ y: [2, 3, 4, 5], z: [1, 2, 3, 4] });
  });

  it("keeps the work of a branch inside it", () => {
    expect(graph.nodes.map((node) => node.opType)).toEqual(["Mul", "If", "Identity", "Identity"]);
  });

  it("refuses branches that return different things, by its name", () => {
    const build = (other: () => readonly (typeof x)[]) => () =>
      graph.scope("gate", () => ifElse(condition, () => [x], other));
    expect(build(() => [])).toThrow("gate/If: the branches return 1 and 0 values");
    expect(build(() => [condition])).toThrow("gate/If: result 0 is float32 in one branch, bool in the other");
    expect(build(() => [slice(x, 0, 0, 1)])).toThrow("gate/If: result 0 is [2, 2] in one branch, [1, 2] in the other");
  });

  it("may return different sizes under a name that the caller gives", async () => {
    const g = new Graph("sizes");
    const c = g.input("condition", "bool", []);
    const v = g.input("x", "float32", [2, 2]);
    const [rows] = ifElse(
      c,
      () => [v],
      () => [slice(v, 0, 0, 1)],
      { shapes: [["R", 2]] },
    );
    g.output(reduceSum(rows!, [0]), "y");
    expect(await both(g, feeds(false))).toEqual({ y: [1, 2] });
  });
});

describe("Loop", () => {
  it("carries state, stacks results and reads captured values", async () => {
    const graph = new Graph("powers");
    const count = graph.input("count", "int64", []);
    const x = graph.input("x", "float32", ["B"]);
    const { state, scan } = loop({
      count,
      state: [x],
      rounds: "rounds",
      body: (_iteration, [power]) => {
        const next = mul(power!, x);
        return { state: [next], scan: [power!] };
      },
    });
    graph.output(state[0]!, "last");
    graph.output(scan[0]!, "all");
    const feeds = { count: tensor("int64", 3), x: tensor("float32", [2, 3]) };
    expect(await both(graph, feeds)).toEqual({ last: [16, 81], all: [2, 3, 4, 9, 8, 27] });
  });

  it("of no rounds returns its state as it was", async () => {
    const graph = new Graph("none");
    const x = graph.input("x", "float32", ["B"]);
    const { state } = loop({ count: 0, state: [x], body: (_i, [v]) => ({ state: [mul(v!, 2)] }) });
    graph.output(state[0]!, "y");
    expect(await both(graph, { x: tensor("float32", [2, 3]) })).toEqual({ y: [2, 3] });
  });

  it("ends when its condition says so", async () => {
    const graph = new Graph("until");
    const x = graph.input("x", "float32", []);
    const { state } = loop({
      count: 100,
      state: [x],
      body: (_iteration, [value]) => ({ state: [mul(value!, 2)], condition: less(value!, 10) }),
    });
    graph.output(state[0]!, "y");
    expect(await both(graph, { x: tensor("float32", 3) })).toEqual({ y: [24] });
  });

  it("nests, and branches inside", async () => {
    const graph = new Graph("nested");
    const x = graph.input("x", "float32", []);
    const { state } = loop({
      count: 3,
      state: [x],
      body: (_i, [outer]) => {
        const inner = loop({ count: 2, state: [outer!], body: (_j, [v]) => ({ state: [add(v!, x)] }) });
        return {
          state: ifElse(
            less(inner.state[0]!, 5),
            () => [inner.state[0]!],
            () => [sub(inner.state[0]!, 1)],
          ),
        };
      },
    });
    graph.output(state[0]!, "y");
    // 1 → 3 → 5−1 = 4 → 6−1 = 5
    expect(await both(graph, { x: tensor("float32", 1) })).toEqual({ y: [5] });
  });

  it("takes gradients inside its body: some steps of descent in one run", async () => {
    const graph = new Graph("descent");
    const target = graph.input("target", "float32", [2]);
    const start = graph.input("start", "float32", [2]);
    const { state, scan } = loop({
      count: 4,
      state: [start],
      body: (_i, [w]) => {
        const error = sub(w!, target);
        const loss = reduceSum(mul(error, error));
        return { state: [sub(w!, mul(gradients(loss, [w!])[0]!, 0.25))], scan: [loss] };
      },
    });
    graph.output(state[0]!, "w");
    graph.output(scan[0]!, "losses");
    const feeds = { target: tensor("float32", [1, -2]), start: tensor("float32", [17, 14]) };
    // Each step halves the distance.
    expect(await both(graph, feeds)).toEqual({ w: [2, -1], losses: [512, 128, 32, 8] });
  });

  it("refuses a state that changes its shape, by its name", () => {
    const graph = new Graph("bad");
    const x = graph.input("x", "float32", [4]);
    expect(() => loop({ count: 2, state: [x], body: (_i, [v]) => ({ state: [slice(v!, 0, 1)] }) })).toThrow(
      "Loop: state 0 (x) is float32 [4], the body returns float32 [3]",
    );
  });
});
