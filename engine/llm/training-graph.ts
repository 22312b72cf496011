// One optimiser step of a whole decoder as one graph: forward, cross-entropy, gradients, clipping, AdamW.

import { gradients } from "../autodiff/gradient.ts";
import { Graph, type Value } from "../onnx/graph.ts";
import { adamUpdate } from "../optim/adam.ts";
import { clipByGlobalNorm } from "../optim/clip.ts";
import type { DecoderConfig } from "./config.ts";
import type { ParameterSpec } from "./parameter-spec.ts";
import { parameterSpecs } from "./parameters.ts";
import { languageModelLoss, type TrainingShape } from "./training-forward.ts";

export interface AdamSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled; applies to matrices, embeddings and convolutions, never to norms, biases and decay rates. */
  readonly weightDecay: number;
  /** Gradients are scaled down together to this Euclidean norm. */
  readonly maxGradientNorm: number;
}

export const defaultAdam: AdamSettings = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxGradientNorm: 1,
};

const decayedKinds: ReadonlySet<ParameterSpec["kind"]> = new Set(["matrix", "router", "embedding", "convolution"]);

/**
 * The whole training step.
 *
 * inputs:  `ids`, `targets` [S, T] int64; `learning_rate` float32 scalar; `step` float32 scalar, 1 at the first step;
 *          `parameter/NAME`, `mean/NAME`, `variance/NAME` for every parameter
 * outputs: `loss` (mean nats before the step), `gradient_norm` (before clipping); `next/parameter/NAME`, `next/mean/NAME`, `next/variance/NAME`
 */
export function buildTrainingGraph(
  config: DecoderConfig,
  shape: TrainingShape,
  adam: AdamSettings = defaultAdam,
): Graph {
  const graph = new Graph("training_step");
  const { ids, targets } = tokenInputs(graph, shape);
  const learningRate = graph.input("learning_rate", "float32", []);
  const step = graph.input("step", "float32", []);
  const specs = parameterSpecs(config);
  const parameters = new Map(
    specs.map(({ name, shape }) => [name, graph.input(`parameter/${name}`, "float32", shape)]),
  );
  const loss = languageModelLoss(config, shape, (name) => parameters.get(name)!, ids, targets);
  const raw = gradients(loss, [...parameters.values()]);
  const { gradients: clipped, norm } = clipByGlobalNorm(raw, adam.maxGradientNorm);
  graph.output(loss, "loss");
  graph.output(norm, "gradient_norm");
  specs.forEach(({ name, shape, kind }, i) => {
    const updated = adamUpdate({
      param: parameters.get(name)!,
      grad: clipped[i]!,
      m: graph.input(`mean/${name}`, "float32", shape),
      v: graph.input(`variance/${name}`, "float32", shape),
      lr: learningRate,
      step,
      beta1: adam.beta1,
      beta2: adam.beta2,
      epsilon: adam.epsilon,
      weightDecay: decayedKinds.has(kind) ? adam.weightDecay : 0,
    });
    graph.output(updated.param, `next/parameter/${name}`);
    graph.output(updated.m, `next/mean/${name}`);
    graph.output(updated.v, `next/variance/${name}`);
  });
  return graph;
}

/** Only the loss, for held-out text: the same inputs without the optimiser's. */
export function buildLossGraph(config: DecoderConfig, shape: TrainingShape): Graph {
  const graph = new Graph("held_out_loss");
  const { ids, targets } = tokenInputs(graph, shape);
  const parameters = new Map(
    parameterSpecs(config).map(({ name, shape }) => [name, graph.input(`parameter/${name}`, "float32", shape)]),
  );
  graph.output(
    languageModelLoss(config, shape, (name) => parameters.get(name)!, ids, targets),
    "loss",
  );
  return graph;
}

function tokenInputs(graph: Graph, { batch, sequenceLength }: TrainingShape): { ids: Value; targets: Value } {
  const shape = [batch, sequenceLength];
  return { ids: graph.input("ids", "int64", shape), targets: graph.input("targets", "int64", shape) };
}
