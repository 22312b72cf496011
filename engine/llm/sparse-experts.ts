// The experts of a mixture on the tokens that were routed to them, and on no others.
//
// Tokens are sorted by expert and every expert is three plain products on its run of rows. A product of no rows costs the call
// alone, so nothing is skipped by control flow. Measured with version 1.30, 2 threads of an AMD Zen 5, one layer of
// Qwen3-30B-A3B's shape (128 experts, 8 active, width 768, d 2048; 604 M weights from bfloat16), milliseconds for 1, 8 and 512 tokens:
//
//                                                      1      8     512
//   products on runs of 0 … n rows (this file)         5.8    25    249
//   an If around each expert, before and after it  6.6, 5.1  35, 28  246, 257
//   a Loop over the hit experts, weights gathered       16    150   1233    and a token's bits depend on its company
//   com.microsoft.MoE                                   89    127    422    likewise
//
// One token's 8 experts are 151 MB of weights. The weights must be constants of the root graph, read there or one If below:
// deeper (an If for each expert, inside the layer's own) the runtime does not prepack them, and declared inside a branch it keeps a second copy.

import type { Value } from "../onnx/graph.ts";
import { productOfDims } from "../onnx/shape.ts";
import { add, div, mul } from "../ops/elementwise.ts";
import { gather, scatterElements, split } from "../ops/indexing.ts";
import { concatRows, splitRows } from "../ops/rows.ts";
import { fill, reshape, transpose } from "../ops/shape.ts";
import { argSort } from "../ops/topk.ts";
import type { Routing } from "./experts.ts";
import type { DenseWeights } from "./feed-forward.ts";
import { denseFeedForward } from "./feed-forward.ts";

/**
 * Σ_k weights[n, k] · expert_{chosen[n, k]}(x[n]). A token's result has the same bits in any company: products with constant weights
 * do not depend on the number of rows, and the sum over its experts runs in the order of their probabilities.
 */
export function sparseExperts(x: Value, { chosen, weights }: Routing, experts: readonly DenseWeights[]): Value {
  const K = chosen.shape[1] as number;
  const routes = reshape(chosen, [productOfDims([K, x.shape[0]!])]);
  const order = argSort(routes);
  const runs = splitRows(gather(x, div(order, K)), rowsPerExpert(routes, experts.length));
  const results = concatRows(
    runs.map((run, e) => denseFeedForward(run, experts[e]!)) as [Value, ...Value[]],
    order.shape[0]!,
  );
  return weightedSum(results, transpose(reshape(argSort(order), chosen.shape)), weights);
}

/** How many routes lead to each expert, [E] int64. */
function rowsPerExpert(routes: Value, experts: number): Value {
  const graph = routes.graph.current;
  const none = graph.constant(new BigInt64Array(experts), "int64", [experts]);
  return scatterElements(none, routes, fill(graph, routes.shape, 1, "int64"), 0, "add");
}

/** Added one after the other: a reduction over the experts would take another order for a single token. */
function weightedSum(results: Value, places_KN: Value, weights_NK: Value): Value {
  const K = weights_NK.shape[1] as number;
  const ones = Array.from({ length: K }, () => 1);
  const places = split(places_KN, ones, 0);
  return split(weights_NK, ones, 1)
    .map((weight, k) => mul(gather(results, reshape(places[k]!, [weight.shape[0]!])), weight))
    .reduce((sum, part) => add(sum, part));
}
