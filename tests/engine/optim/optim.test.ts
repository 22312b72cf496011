import { describe, expect, it } from "vitest";
import { Graph } from "../../../engine/onnx/graph.ts";
import { loop } from "../../../engine/ops/control.ts";
import { add } from "../../../engine/ops/elementwise.ts";
import { adamUpdate } from "../../../engine/optim/adam.ts";
import { clipByGlobalNorm } from "../../../engine/optim/clip.ts";
import { learningRate, learningRateOf, type Schedule } from "../../../engine/optim/schedule.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import { runOnce, toNumbers, worstError } from "../ops/run-case.ts";

interface AdamNumbers {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/** Adam as the paper writes it, number by number. */
function adamLoop(start: readonly number[], gradients: readonly (readonly number[])[], a: AdamNumbers): number[] {
  const [m, v] = [start.map(() => 0), start.map(() => 0)];
  const param = [...start];
  gradients.forEach((gradient, i) => {
    const t = i + 1;
    gradient.forEach((g, j) => {
      m[j] = a.beta1 * m[j]! + (1 - a.beta1) * g;
      v[j] = a.beta2 * v[j]! + (1 - a.beta2) * g * g;
      const mHat = m[j]! / (1 - a.beta1 ** t);
      const vHat = v[j]! / (1 - a.beta2 ** t);
      param[j] = param[j]! - a.lr * a.weightDecay * param[j]! - (a.lr * mHat) / (Math.sqrt(vHat) + a.epsilon);
    });
  });
  return param;
}

describe("Adam", () => {
  const random = createRandom("adam");
  const numbers = (n: number) => Array.from({ length: n }, () => random.normal());
  const start = numbers(5);
  const steps = [numbers(5), numbers(5), numbers(5), numbers(5)];

  const run = async (dtype: "float32" | "float64", settings: AdamNumbers) => {
    const graph = new Graph("adam");
    const param = graph.input("param", dtype, [5]);
    const zero = graph.constant([0, 0, 0, 0, 0], dtype);
    const all = graph.input("gradients", dtype, [4, 5]);
    // A loop over steps, as a trainer that keeps its state inside the graph would run it.
    const { state } = loop({
      count: 4,
      state: [param, zero, zero],
      body: (iteration, [p, m, v]) => {
        const grad = graph.current.node("Gather", [all, iteration], [{ dtype, shape: [5] }])[0]!;
        const next = adamUpdate({ ...settings, param: p!, grad, m: m!, v: v!, step: add(iteration, 1) });
        return { state: [next.param, next.m, next.v] };
      },
    });
    graph.output(state[0]!, "param_after");
    const feeds = { param: tensor(dtype, start), gradients: tensor(dtype, steps.flat(), [4, 5]) };
    return toNumbers((await runOnce(graph, feeds)).param_after!.data);
  };

  it.each([
    ["plain", { lr: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }],
    [
      "with weight decay, a large epsilon and other betas",
      { lr: 0.02, beta1: 0.5, beta2: 0.9, epsilon: 0.3, weightDecay: 0.1 },
    ],
  ] as const)("%s is the algorithm of the papers after four steps", async (_title, settings) => {
    const expected = adamLoop(start, steps, settings);
    expect(worstError(await run("float64", settings), expected).error).toBeLessThan(1e-14);
    expect(worstError(await run("float32", settings), expected).error).toBeLessThan(1e-6);
  });

  it("takes its learning rate from the graph too", async () => {
    const build = async (fromGraph: boolean) => {
      const graph = new Graph("rate");
      const param = graph.input("param", "float32", [2]);
      const lr = graph.input("lr", "float32", []);
      const [m, v] = [graph.constant([0.1, 0], "float32"), graph.constant([0.2, 1], "float32")];
      const step = graph.constant(3, "int64");
      const grad = graph.constant([1, -2], "float32");
      const next = adamUpdate({ param, grad, m, v, step, lr: fromGraph ? lr : 0.25, weightDecay: 0.5 });
      graph.output(next.param, "p");
      return (await runOnce(graph, { param: tensor("float32", [3, 4]), lr: tensor("float32", 0.25) })).p;
    };
    expect(await build(true)).toEqual(await build(false));
  });
});

describe("clipping by the global norm", () => {
  const clip = async (maxNorm: number, scale = 1) => {
    const graph = new Graph("clip");
    const [a, b] = [graph.input("a", "float32", [2]), graph.input("b", "float32", [1, 1])];
    const { gradients, norm } = clipByGlobalNorm([a, b], maxNorm);
    graph.output(gradients[0]!, "ca");
    graph.output(gradients[1]!, "cb");
    graph.output(norm, "norm");
    const feeds = { a: tensor("float32", [2 * scale, 3 * scale]), b: tensor("float32", [6 * scale], [1, 1]) };
    const { ca, cb, norm: n } = await runOnce(graph, feeds);
    return [...toNumbers(ca!.data), ...toNumbers(cb!.data), ...toNumbers(n!.data)];
  };

  it("scales all gradients together down to the norm", async () => {
    expect(worstError(await clip(3.5), [1, 1.5, 3, 7]).error).toBeLessThan(1e-6);
  });

  it("leaves smaller ones exactly as they are", async () => {
    expect(await clip(7.5)).toEqual([2, 3, 6, 7]);
  });

  it("of nothing is nothing", async () => {
    expect(await clip(1, 0)).toEqual([0, 0, 0, 0]);
  });

  it("refuses a norm that is not positive", async () => {
    await expect(clip(0)).rejects.toThrow("maxNorm must be positive, got 0");
  });
});

describe("learning rate schedules", () => {
  const cosine: Schedule = { shape: "cosine", peak: 2, totalSteps: 100, warmupSteps: 10, floor: 0.1 };
  const linear: Schedule = { shape: "linear", peak: 1, totalSteps: 100, warmupSteps: 5, decaySteps: 20 };

  it("rise from zero, stay and fall to the floor", () => {
    expect([0, 1, 5, 50, 80, 90, 100, 120].map((step) => learningRate(linear, step))).toEqual([
      0, 0.2, 1, 1, 1, 0.5, 0, 0,
    ]);
    expect(learningRate(cosine, 5)).toBe(1);
    expect(learningRate(cosine, 10)).toBe(2);
    expect(learningRate(cosine, 55)).toBeCloseTo(1.1, 12);
    expect(learningRate(cosine, 100)).toBeCloseTo(0.2, 12);
  });

  it("without warm-up and decay are constant", () => {
    const constant: Schedule = { shape: "linear", peak: 3, totalSteps: 10, decaySteps: 0 };
    expect([0, 5, 10].map((step) => learningRate(constant, step))).toEqual([3, 3, 3]);
  });

  it.each([cosine, linear, { ...linear, warmupSteps: 0, decaySteps: 0 }])(
    "are the same in a graph: %o",
    async (schedule) => {
      const graph = new Graph("schedule");
      graph.output(learningRateOf(schedule, graph.input("steps", "int64", ["N"])), "rates");
      const steps = Array.from({ length: 111 }, (_, i) => i);
      const { rates } = await runOnce(graph, { steps: tensor("int64", steps) });
      const expected = steps.map((step) => learningRate(schedule, step));
      expect(worstError(toNumbers(rates!.data), expected).error).toBeLessThan(1e-6);
    },
  );

  it("refuse phases that do not fit", () => {
    const long = { ...linear, warmupSteps: 90 };
    expect(() => learningRate(long, 0)).toThrow("warm-up 90 and decay 20 do not fit into 100 steps");
  });
});
