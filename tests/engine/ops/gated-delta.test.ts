import { describe, expect, it } from "vitest";
import { gradients } from "../../../engine/autodiff/gradient.ts";
import { deltaRuleInChunks } from "../../../engine/llm/delta-chunks.ts";
import { Graph } from "../../../engine/onnx/graph.ts";
import { mul } from "../../../engine/ops/elementwise.ts";
import { decayAndRate, gatedDelta } from "../../../engine/ops/gated-delta.ts";
import { reduceSum } from "../../../engine/ops/reduce.ts";
import { evaluate } from "../../../engine/reference/evaluate.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { countOf, type Tensor, tensor } from "../../../engine/runtime/tensor.ts";
import { runOnce, toNdArrays, toNumbers, worstError } from "./run-case.ts";

const net = { keyHeads: 2, valueHeads: 4, keyDim: 6, valueDim: 5, kernel: 4 };
const names = ["query", "key", "value", "decay", "rate", "state"] as const;

function shapesOf(S: number | string, T: number | string): Record<(typeof names)[number], (number | string)[]> {
  const { keyHeads, valueHeads, keyDim, valueDim } = net;
  return {
    query: [S, T, keyHeads * keyDim],
    key: [S, T, keyHeads * keyDim],
    value: [S, T, valueHeads * valueDim],
    decay: [S, T, valueHeads],
    rate: [S, T, valueHeads],
    state: [S, valueHeads, keyDim, valueDim],
  };
}

/** Random numbers as the rule gets them: keys of length 1, ln decay ≤ 0, rates between 0 and 1. */
function feedsFor(S: number, T: number, seed: string, dtype: "float32" | "float64" = "float32") {
  const random = createRandom(seed);
  const feeds: Record<string, Tensor> = {};
  for (const [name, shape] of Object.entries(shapesOf(S, T)) as [(typeof names)[number], number[]][]) {
    const draw = { decay: () => -2 * random.float(), rate: () => random.float() };
    const numbers = Array.from(
      { length: countOf(shape) },
      (draw as Record<string, () => number>)[name] ?? random.normal,
    );
    if (name === "query" || name === "key") toLengthOne(numbers, net.keyDim);
    feeds[name] = tensor(dtype, numbers, shape);
  }
  return feeds;
}

function toLengthOne(numbers: number[], width: number): void {
  for (let start = 0; start < numbers.length; start += width) {
    const length = Math.hypot(...numbers.slice(start, start + width));
    for (let i = start; i < start + width; i++) numbers[i]! /= length;
  }
}

function ruleGraph(): Graph {
  const graph = new Graph("rule");
  const [query, key, value, decay, rate, state] = Object.entries(shapesOf("S", "T")).map(([name, shape]) =>
    graph.input(name, "float32", shape),
  ) as [never, never, never, never, never, never];
  const result = gatedDelta({ query, key, value, decay, rate, state, keyHeads: net.keyHeads });
  graph.output(result.output, "output");
  graph.output(result.state, "next");
  return graph;
}

describe("the gated delta rule", () => {
  it.each([1, 2, 37])("the runtime's kernel agrees with plain loops over %i tokens", async (T) => {
    const feeds = feedsFor(3, T, "loops");
    const [actual, expected] = [await runOnce(ruleGraph(), feeds), evaluate(ruleGraph(), toNdArrays(feeds))];
    for (const name of ["output", "next"]) {
      const { error, at } = worstError(toNumbers(actual[name]!.data), Array.from(expected[name]!.data));
      expect(error, `${name} ${at}`).toBeLessThan(1e-6);
    }
  });

  it("what is read is exact: a key's value comes back, after one step of full rate, scaled by 1/√keyDim", async () => {
    const feeds = feedsFor(1, 1, "exact");
    feeds.query = feeds.key!;
    feeds.rate = tensor("float32", new Float32Array(4).fill(1), [1, 1, 4]);
    const { output } = await runOnce(ruleGraph(), feeds);
    const expected = toNumbers(feeds.value!.data).map((value) => value / Math.sqrt(net.keyDim));
    expect(worstError(toNumbers(output!.data), expected).error).toBeLessThan(1e-6);
  });

  it("token by token has the bits of all tokens at once, with one thread or two", async () => {
    const [S, T] = [2, 9];
    const feeds = feedsFor(S, T, "bits");
    const whole = await runOnce(ruleGraph(), feeds);
    expect(await runOnce(ruleGraph(), feeds, 1)).toEqual(whole);
    let state = feeds.state!;
    for (let t = 0; t < T; t++) {
      const step: Record<string, Tensor> = { state };
      for (const name of names.slice(0, 5)) {
        const width = feeds[name]!.shape[2]!;
        const rows = Array.from({ length: S }, (_, s) =>
          toNumbers(feeds[name]!.data).slice((s * T + t) * width, (s * T + t + 1) * width),
        );
        step[name] = tensor("float32", rows.flat(), [S, 1, width]);
      }
      const out = await runOnce(ruleGraph(), step);
      const width = net.valueHeads * net.valueDim;
      for (let s = 0; s < S; s++) {
        const expected = toNumbers(whole.output!.data).slice((s * T + t) * width, (s * T + t + 1) * width);
        expect(toNumbers(out.output!.data).slice(s * width, (s + 1) * width)).toEqual(expected);
      }
      state = out.next!;
    }
    expect(state).toEqual(whole.next);
  });

  it("inputs that do not fit each other are refused with the operator's name and both shapes", () => {
    const graph = new Graph("wrong");
    const input = (name: string, shape: (number | string)[]) => graph.input(name, "float32", shape);
    const shapes = { ...shapesOf("S", "T"), value: ["S", "T", 19] };
    const [query, key, value, decay, rate, state] = names.map((name) => input(name, shapes[name])) as never[];
    const build = () =>
      gatedDelta({ query: query!, key: key!, value: value!, decay: decay!, rate: rate!, state: state!, keyHeads: 2 });
    expect(build).toThrow(/LinearAttention.*S, T, 20.*value.*S, T, 19/);
    const gates = { decay: decay!, rate: rate!, bias: input("bias", [3]), scale: input("scale", [4]) };
    expect(() => decayAndRate(gates)).toThrow(/LinearAttentionGate/);
  });

  it("its gates agree with plain loops, and a token's bits do not depend on its place in the array", async () => {
    const graph = new Graph("gates");
    const [decay, rate] = [
      graph.input("decay", "float32", ["S", "T", 4]),
      graph.input("rate", "float32", ["S", "T", 4]),
    ];
    const [bias, scale] = [graph.input("bias", "float32", [4]), graph.input("scale", "float32", [4])];
    const gates = decayAndRate({ decay, rate, bias, scale });
    graph.output(gates.decay, "ln_decay");
    graph.output(gates.rate, "share");
    const random = createRandom("gates");
    const normal = (count: number) => Float32Array.from({ length: count }, () => 4 * random.normal());
    const [projected, b, s] = [normal(4 * 33), normal(4), normal(4)];
    const feedsOf = (tokens: number) => ({
      decay: tensor("float32", projected.slice(0, 4 * tokens), [1, tokens, 4]),
      rate: tensor("float32", projected.slice(-4 * tokens), [1, tokens, 4]),
      bias: tensor("float32", b, [4]),
      scale: tensor("float32", s, [4]),
    });
    const [actual, expected] = [await runOnce(graph, feedsOf(33)), evaluate(graph, toNdArrays(feedsOf(33)))];
    for (const name of ["ln_decay", "share"])
      expect(worstError(toNumbers(actual[name]!.data), Array.from(expected[name]!.data)).error, name).toBeLessThan(
        1e-6,
      );
    for (const tokens of [1, 3, 17]) {
      const fewer = await runOnce(graph, feedsOf(tokens));
      expect(toNumbers(fewer.ln_decay!.data)).toEqual(toNumbers(actual.ln_decay!.data).slice(0, 4 * tokens));
    }
  });
});

/** The differentiable form over whole sequences, in the given precision. */
function chunkGraph(S: number, T: number, dtype: "float32" | "float64"): Graph {
  const graph = new Graph("chunks");
  const shapes = shapesOf(S, T);
  const inputs = names.slice(0, 5).map((name) => graph.input(name, dtype, shapes[name]));
  const [query, key, value, decay, rate] = inputs as [never, never, never, never, never];
  const output = deltaRuleInChunks({ query, key, value, decay, rate }, net);
  const weight = graph.input("weight", dtype, output.shape);
  const loss = reduceSum(mul(output, weight));
  graph.output(output, "output");
  graph.output(loss, "loss");
  gradients(loss, inputs).forEach((gradient, i) => {
    graph.output(gradient, `d_${names[i]!}`);
  });
  return graph;
}

function chunkFeeds(S: number, T: number, dtype: "float32" | "float64") {
  const { state: _, ...feeds } = feedsFor(S, T, `chunks of ${T}`, dtype);
  const random = createRandom("weight");
  const width = net.valueHeads * net.valueDim;
  const weight = Array.from({ length: S * T * width }, () => random.normal());
  return { ...feeds, weight: tensor(dtype, weight, [S, T, width]) } as Record<string, Tensor>;
}

describe("the delta rule in chunks", () => {
  it.each([1, 31, 32, 33, 100])("gives what the rule gives token by token, over %i tokens", async (T) => {
    const feeds = chunkFeeds(2, T, "float32");
    const { output } = await runOnce(chunkGraph(2, T, "float32"), feeds);
    const state = tensor("float32", new Float32Array(2 * 4 * 6 * 5), [2, 4, 6, 5]);
    const { weight: _, ...inputs } = feeds;
    const expected = evaluate(ruleGraph(), toNdArrays({ ...inputs, state }));
    const { error, at } = worstError(toNumbers(output!.data), Array.from(expected.output!.data));
    expect(error, `${at}`).toBeLessThan(1e-5);
  });

  it("keys that are all the same, kept for ever at full rate, do not spoil its sums", async () => {
    const T = 64;
    const feeds = chunkFeeds(1, T, "float32");
    const keys = toNumbers(feeds.key!.data);
    const row = keys.slice(0, 12);
    feeds.key = tensor("float32", Array.from({ length: T }, () => row).flat(), [1, T, 12]);
    feeds.decay = tensor("float32", new Float32Array(T * 4), [1, T, 4]);
    feeds.rate = tensor("float32", new Float32Array(T * 4).fill(1), [1, T, 4]);
    const { output } = await runOnce(chunkGraph(1, T, "float32"), feeds);
    const state = tensor("float32", new Float32Array(4 * 6 * 5), [1, 4, 6, 5]);
    const { weight: _, ...inputs } = feeds;
    const expected = evaluate(ruleGraph(), toNdArrays({ ...inputs, state }));
    expect(worstError(toNumbers(output!.data), Array.from(expected.output!.data)).error).toBeLessThan(1e-5);
  });

  it("its gradients are the limits of differences", async () => {
    const [S, T, h] = [1, 35, 1e-5];
    const graph = chunkGraph(S, T, "float64");
    const feeds = chunkFeeds(S, T, "float64");
    const analytic = await runOnce(graph, feeds, 1);
    const random = createRandom("places");
    for (const name of names.slice(0, 5)) {
      const data = feeds[name]!.data as Float64Array;
      for (let count = 0; count < 6; count++) {
        const i = random.int(data.length);
        const kept = data[i]!;
        const lossAt = async (x: number) => {
          data[i] = x;
          return Number((await runOnce(graph, feeds, 1)).loss!.data[0]);
        };
        const difference = ((await lossAt(kept + h)) - (await lossAt(kept - h))) / (2 * h);
        data[i] = kept;
        const gradient = Number(analytic[`d_${name}`]!.data[i]);
        expect(Math.abs(gradient - difference) / Math.max(1, Math.abs(difference)), `${name} ${i}`).toBeLessThan(1e-7);
      }
    }
  });
});
