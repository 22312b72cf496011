// Gradients against central differences, in float64: on the runtime where it has the kernels, else on the reference loops.

import { gradients } from "../../../engine/autodiff/gradient.ts";
import type { RuleTable } from "../../../engine/autodiff/rule.ts";
import { rules } from "../../../engine/autodiff/rules.ts";
import { isFloat } from "../../../engine/onnx/dtype.ts";
import type { Graph, Value } from "../../../engine/onnx/graph.ts";
import { add, cast, mul } from "../../../engine/ops/elementwise.ts";
import { reduceSum } from "../../../engine/ops/reduce.ts";
import { evaluate } from "../../../engine/reference/evaluate.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { countOf, type Tensor, tensor } from "../../../engine/runtime/tensor.ts";
import { type Case, cases, type FloatType, withoutFloat64 } from "../ops/cases.ts";
import { buildCase, concrete, toNdArrays, toNumbers, worstError } from "../ops/run-case.ts";

/** Cases with something to differentiate: a float goes in and a float comes out. */
export const differentiable: readonly Case[] = cases.filter((testCase) => {
  const { inputs, results } = buildCase(testCase, "float64");
  return [inputs, results].every((values) => values.some((value) => isFloat(value.dtype)));
});

export interface GradientGraph {
  readonly graph: Graph;
  readonly wrt: readonly Value[];
  readonly feeds: Record<string, Tensor>;
}

/** The loss is Σ w ⊙ y with random w: so every element of every output has a gradient of its own. */
export function buildGradient(testCase: Case, float: FloatType, table: RuleTable = rules): GradientGraph {
  const { graph, inputs, results, feeds } = buildCase(testCase, float);
  const random = createRandom(`weights of ${testCase.title}`);
  const terms = results
    .filter((result) => isFloat(result.dtype))
    .map((result, i) => {
      const weight = graph.input(`w${i}`, float, result.shape);
      const shape = concreteLike(result);
      feeds[`w${i}`] = tensor(
        float,
        Array.from({ length: countOf(shape) }, () => random.normal()),
        shape,
      );
      return reduceSum(mul(cast(result, float), weight));
    });
  const loss = terms.reduce((a, b) => add(a, b));
  graph.output(loss, "loss");
  const wrt = inputs.filter((input) => isFloat(input.dtype));
  gradients(loss, wrt, table).forEach((gradient, i) => {
    graph.output(gradient, `d_${wrt[i]!.name}`);
  });
  return { graph, wrt, feeds };
}

/** Sizes such as "P+T" of a result, from the sizes of the table. */
function concreteLike(value: Value): number[] {
  return value.shape.map((dim) => {
    if (typeof dim === "number") return dim;
    return dim
      .split("+")
      .reduce((sum, term) => sum + term.split("*").reduce((product, name) => product * sizeOfName(name), 1), 0);
  });
}

function sizeOfName(name: string): number {
  return /^-?\d+$/.test(name) ? Number(name) : concrete([name])[0]!;
}

type Run = (feeds: Record<string, Tensor>) => Promise<Record<string, number[]>>;

async function runner(graph: Graph, testCase: Case): Promise<{ run: Run; close: () => Promise<void> }> {
  if (testCase.rounds || graph.nodes.some((node) => withoutFloat64.has(node.opType))) {
    const run: Run = async (feeds) =>
      Object.fromEntries(
        Object.entries(evaluate(graph, toNdArrays(feeds))).map(([name, { data }]) => [name, Array.from(data)]),
      );
    return { run, close: async () => {} };
  }
  const session = await openSession(graph, { threads: 1 });
  const run: Run = async (feeds) =>
    Object.fromEntries(Object.entries(await session.run(feeds)).map(([name, t]) => [name, toNumbers(t.data)]));
  return { run, close: () => session.close() };
}

/** Worst error of all gradients of the case, relative to max(1, |difference|). */
export async function gradientError(testCase: Case, table: RuleTable = rules): Promise<{ error: number; at: string }> {
  const { graph, wrt, feeds } = buildGradient(testCase, "float64", table);
  const { run, close } = await runner(graph, testCase);
  try {
    const analytic = await run(feeds);
    let worst = { error: 0, at: "nowhere" };
    for (const { name } of wrt) {
      const { error, at } = worstError(analytic[`d_${name}`]!, await differences(run, feeds, name));
      if (error > worst.error) worst = { error, at: `${name}, element ${at}` };
    }
    return worst;
  } finally {
    await close();
  }
}

/** (loss(x + h) − loss(x − h)) / 2h for every element; h balances rounding (1e-16 / h) against curvature (h²). */
async function differences(run: Run, feeds: Record<string, Tensor>, name: string): Promise<number[]> {
  const h = 1e-5;
  const data = feeds[name]!.data as Float64Array;
  const result: number[] = [];
  for (let i = 0; i < data.length; i++) {
    const kept = data[i]!;
    data[i] = kept + h;
    const above = (await run(feeds)).loss![0]!;
    data[i] = kept - h;
    const below = (await run(feeds)).loss![0]!;
    data[i] = kept;
    result.push((above - below) / (2 * h));
  }
  return result;
}
