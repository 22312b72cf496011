// The differentiable forward of a decoder: whole sequences under causal attention, every size known when the graph is built.

import type { Graph, Value } from "../onnx/graph.ts";
import { add, cast, div, greaterOrEqual, max, mul, neg, sigmoid, softplus } from "../ops/elementwise.ts";
import { gather, gatherElements, pad } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import { reduceSum } from "../ops/reduce.ts";
import { reshape, transpose, unsqueeze } from "../ops/shape.ts";
import { logSoftmax, softmax } from "../ops/softmax.ts";
import { type BlockContext, decoderBlock } from "./block.ts";
import type { DecoderConfig } from "./config.ts";
import { deltaRuleInChunks } from "./delta-chunks.ts";
import type { Recurrence } from "./delta-net.ts";
import type { DeltaNet } from "./delta-net-config.ts";
import { linear } from "./linear.ts";
import { blockWeights, normFactor, type Parameters, parameterNames } from "./parameters.ts";
import { inverseFrequencies } from "./rope.ts";

export interface TrainingShape {
  /** Sequences in one step. */
  readonly batch: number;
  /** Tokens in each sequence. */
  readonly sequenceLength: number;
}

/** Targets with this id (or any below 0) do not count in the loss. */
export const ignoredTarget = -100n;

/**
 * Mean cross-entropy in nats of the next tokens.
 *
 * inputs `ids` [S, T] int64, `targets` [S, T] int64 (already shifted; below 0 is ignored); output a scalar:
 * −Σ log softmax(logits)[target] / number of targets that count.
 */
export function languageModelLoss(
  config: DecoderConfig,
  shape: TrainingShape,
  parameters: Parameters,
  ids: Value,
  targets: Value,
): Value {
  const logits = forwardLogits(config, shape, parameters, ids);
  const rows = shape.batch * shape.sequenceLength;
  const flat = reshape(targets, [rows]);
  const counted = cast(greaterOrEqual(flat, 0), "float32");
  const picked = gatherElements(logSoftmax(logits, -1), unsqueeze(max(flat, 0), [1]), 1);
  const total = reduceSum(mul(reshape(picked, [rows]), counted));
  return div(neg(total), max(reduceSum(counted), 1));
}

/** Logits [S·T, V] of whole sequences under causal attention, every size known: the differentiable twin of the inference graph. */
export function forwardLogits(
  config: DecoderConfig,
  { batch, sequenceLength }: TrainingShape,
  parameters: Parameters,
  ids: Value,
): Value {
  const graph = ids.graph.root;
  const context = trainingContext(graph, config, batch, sequenceLength);
  const names = parameterNames(config);
  const embedding = parameters(names.embedding);
  let h = reshape(gather(embedding, ids), [batch * sequenceLength, config.dModel]);
  for (let layer = 0; layer < config.layers; layer++) {
    h = graph.scope(`layer${layer}`, () => decoderBlock(h, blockWeights(config, parameters, layer), config, context));
  }
  const normed = rmsNorm(h, normFactor(config, parameters(names.finalNorm)), config.rmsEpsilon);
  return linear(normed, { weight: parameters(names.head), bias: null });
}

function recurrenceFromStart(net: DeltaNet): Recurrence {
  return {
    gates: ({ decay, rate, bias, scale }) => ({ decay: mul(softplus(add(decay, bias)), scale), rate: sigmoid(rate) }),
    withPast: (mixed) => pad(mixed, 1, net.kernel - 1, 0),
    deltaRule: (inputs) => deltaRuleInChunks(inputs, net),
  };
}

function trainingContext(graph: Graph, config: DecoderConfig, S: number, T: number): BlockContext {
  const { kvHeads, heads, rope } = config;
  const group = heads / kvHeads;
  const frequencies = inverseFrequencies(rope);
  const angles = Array.from({ length: T }, (_, t) => [...frequencies].map((f) => Math.fround(t * f))).flat();
  const table = (f: (angle: number) => number) =>
    graph.constant(Float32Array.from(angles, f), "float32", [T, rope.dims / 2]);
  const mask = Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e30));
  const causal = graph.constant(mask, "float32", [T, T], "causal_mask");
  return {
    sequences: S,
    positions: T,
    cos: table(Math.cos),
    sin: table(Math.sin),
    reshape,
    attend(query, key, value) {
      const scores = matMul(query, transpose(key, [0, 1, 3, 2]));
      const masked = add(reshape(scores, [S, kvHeads, group, T, T]), causal);
      return matMul(reshape(softmax(masked, -1), [S, kvHeads, group * T, T]), value);
    },
    recurrence: config.deltaNet ? recurrenceFromStart(config.deltaNet) : null,
  };
}
