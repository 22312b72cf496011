// A mixture of experts as a feed-forward: each token passes the few experts that its router finds most probable.

import type { Value } from "../onnx/graph.ts";
import { add, div, mul, sigmoid } from "../ops/elementwise.ts";
import { oneHot, slice, split } from "../ops/indexing.ts";
import { reduceSum } from "../ops/reduce.ts";
import { softmax } from "../ops/softmax.ts";
import { topK } from "../ops/topk.ts";
import type { ExpertWeights } from "./expert-parameters.ts";
import type { Experts } from "./experts-config.ts";
import type { DenseWeights } from "./feed-forward.ts";
import { denseFeedForward } from "./feed-forward.ts";
import { linear } from "./linear.ts";

/** Where each of N tokens goes. */
export interface Routing {
  /** Softmax over all experts, [N, E]. */
  readonly probabilities: Value;
  /** The K most probable experts, [N, K] int64; of equals the lower one. */
  readonly chosen: Value;
  /** What their results are multiplied by, [N, K]. */
  readonly weights: Value;
  readonly normalized: boolean;
}

/** Σ_k weights[n, k] · expert_{chosen[n, k]}(x[n]); x and the result [N, D]. Computed sparsely for inference, densely for training. */
export type RunExperts = (x: Value, routing: Routing, experts: readonly DenseWeights[]) => Value;

/** The routed experts and, where there is one, sigmoid(g·x) times the shared expert; x [N, D], already normed. */
export function expertFeedForward(x: Value, weights: ExpertWeights, sizes: Experts, run: RunExperts): Value {
  const routed = run(x, route(x, weights, sizes), weights.experts);
  if (!weights.shared) return routed;
  const { gate, expert } = weights.shared;
  return add(routed, mul(sigmoid(linear(x, gate)), denseFeedForward(x, expert)));
}

function route(x: Value, { router }: ExpertWeights, { active, normalized }: Experts): Routing {
  const probabilities = softmax(linear(x, router), -1);
  const { values, indices } = topK(probabilities, active);
  const weights = normalized ? div(values, sumOfColumns(values)) : values;
  return { probabilities, chosen: indices, weights, normalized };
}

/** [N, K] to [N, 1], one column after the other: over 5 or 6 columns the bits of a reduction depend on N. */
function sumOfColumns(x: Value): Value {
  const ones = Array.from({ length: x.shape[1] as number }, () => 1);
  return split(x, ones, 1).reduce((sum, column) => add(sum, column));
}

/** Every expert on every token, weighed by 0 where it was not chosen: differentiable, and E / K times the work. */
export function denseExperts(
  x: Value,
  { probabilities, chosen, normalized }: Routing,
  experts: readonly DenseWeights[],
): Value {
  const mask = reduceSum(oneHot(chosen, experts.length, x.dtype), [1]);
  const kept = mul(probabilities, mask);
  const weights = normalized ? div(kept, reduceSum(kept, [1], { keepDims: true })) : kept;
  return experts
    .map((expert, e) => mul(denseFeedForward(x, expert), slice(weights, 1, e, e + 1)))
    .reduce((sum, part) => add(sum, part));
}
