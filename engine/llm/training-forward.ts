// The differentiable forward of a decoder: whole sequences under causal attention, every size known when the graph is built.

import type { Graph, Value } from "../onnx/graph.ts";
import { add, cast, div, greaterOrEqual, max, mul, neg, sigmoid, softplus } from "../ops/elementwise.ts";
import { gather, gatherElements, pad } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/norm.ts";
import { reduceSum } from "../ops/reduce.ts";
import { reshape, transpose, unsqueeze } from "../ops/shape.ts";
import { logSoftmax, softmax } from "../ops/softmax.ts";
import { decoderBlock } from "./block.ts";
import type { BlockContext } from "./block-context.ts";
import type { DecoderConfig } from "./config.ts";
import { deltaRuleInChunks } from "./delta-chunks.ts";
import type { DeltaNet } from "./delta-net-config.ts";
import { denseExperts } from "./experts.ts";
import type { LayerKind } from "./families.ts";
import { linear } from "./linear.ts";
import type { Parameters } from "./parameter-spec.ts";
import { blockWeights, normFactor, parameterNames } from "./parameters.ts";
import type { Recurrence } from "./recurrence.ts";
import { inverseFrequencies, rotationGain } from "./rope.ts";

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
  const contextOf = trainingContext(graph, config, batch, sequenceLength);
  const names = parameterNames(config);
  const embedding = parameters(names.embedding);
  let h = reshape(gather(embedding, ids), [batch * sequenceLength, config.dModel]);
  for (let layer = 0; layer < config.layers; layer++) {
    const context = contextOf(config.layerKinds[layer]!);
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

function trainingContext(graph: Graph, config: DecoderConfig, S: number, T: number): (kind: LayerKind) => BlockContext {
  const { kvHeads, heads, rope } = config;
  const group = heads / kvHeads;
  const frequencies = inverseFrequencies(rope);
  const angles = Array.from({ length: T }, (_, t) => [...frequencies].map((f) => Math.fround(t * f))).flat();
  const table = (f: (angle: number) => number) =>
    graph.constant(Float32Array.from(angles, f), "float32", [T, rope.dims / 2]);
  const gain = rotationGain(rope);
  const shared = {
    sequences: S,
    positions: T,
    cos: table((angle) => gain * Math.cos(angle)),
    sin: table((angle) => gain * Math.sin(angle)),
    reshape,
    recurrence: config.deltaNet ? recurrenceFromStart(config.deltaNet) : null,
    runExperts: denseExperts,
  };
  const masks = new Map<number | null, Value>();
  const maskOf = (window: number | null) => {
    if (!masks.has(window)) masks.set(window, causalMask(graph, T, window));
    return masks.get(window)!;
  };
  return ({ window }) => ({
    ...shared,
    attend(query, key, value) {
      const scores = matMul(query, transpose(key, [0, 1, 3, 2]));
      const masked = add(reshape(scores, [S, kvHeads, group, T, T]), maskOf(window));
      return matMul(reshape(softmax(masked, -1), [S, kvHeads, group * T, T]), value);
    },
  });
}

/** [T, T]: row t sees the columns t − window + 1 … t, without a window 0 … t. */
function causalMask(graph: Graph, T: number, window: number | null): Value {
  const seen = (t: number, column: number) => column <= t && (window === null || column > t - window);
  const mask = Float32Array.from({ length: T * T }, (_, i) => (seen(Math.floor(i / T), i % T) ? 0 : -1e30));
  return graph.constant(mask, "float32", [T, T], window === null ? "causal_mask" : `window_${window}_mask`);
}
