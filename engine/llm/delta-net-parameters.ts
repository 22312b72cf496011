// The parameters of a delta net by their Hugging Face names.

import type { Value } from "../onnx/graph.ts";
import type { DecoderConfig } from "./config.ts";
import { convolvedChannels } from "./delta-net-config.ts";
import type { Linear } from "./linear.ts";
import type { ParameterSpec, Parameters } from "./parameter-spec.ts";

export function deltaNetSpecs({ dModel, deltaNet }: DecoderConfig, prefix: string): ParameterSpec[] {
  const { valueHeads, valueDim, kernel } = deltaNet!;
  const channels = convolvedChannels(deltaNet!);
  const values = valueHeads * valueDim;
  const matrix = (name: string, out: number, into: number): ParameterSpec => ({
    name: `${prefix}.${name}.weight`,
    shape: [out, into],
    kind: "matrix",
  });
  return [
    { name: `${prefix}.dt_bias`, shape: [valueHeads], kind: "decay_bias" },
    { name: `${prefix}.A_log`, shape: [valueHeads], kind: "decay" },
    { name: `${prefix}.conv1d.weight`, shape: [channels, 1, kernel], kind: "convolution" },
    { name: `${prefix}.norm.weight`, shape: [valueDim], kind: "norm" },
    matrix("out_proj", dModel, values),
    matrix("in_proj_qkv", channels, dModel),
    matrix("in_proj_z", values, dModel),
    matrix("in_proj_b", valueHeads, dModel),
    matrix("in_proj_a", valueHeads, dModel),
  ];
}

export interface DeltaNetWeights {
  readonly kind: "delta_net";
  /** Queries, keys and values of all heads, before the convolution. */
  readonly mixed: Linear;
  readonly outputGate: Linear;
  readonly rate: Linear;
  readonly decay: Linear;
  readonly decayBias: Value;
  /** ln of the decay per unit of softplus. */
  readonly decayLog: Value;
  /** [channels, 1, kernel] */
  readonly convolution: Value;
  readonly outputNorm: Value;
  readonly output: Linear;
}

export function deltaNetWeights(at: Parameters): DeltaNetWeights {
  const linear = (name: string): Linear => ({ weight: at(`${name}.weight`), bias: null });
  return {
    kind: "delta_net",
    mixed: linear("in_proj_qkv"),
    outputGate: linear("in_proj_z"),
    rate: linear("in_proj_b"),
    decay: linear("in_proj_a"),
    decayBias: at("dt_bias"),
    decayLog: at("A_log"),
    convolution: at("conv1d.weight"),
    outputNorm: at("norm.weight"),
    output: linear("out_proj"),
  };
}
