// The parameters of a decoder by their Hugging Face names: one list that loading, training and writing share.

import type { Value } from "../onnx/graph.ts";
import type { DecoderConfig } from "./config.ts";

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** What a random start draws it from, and whether weight decay applies to it (matrices only). */
  readonly kind: "matrix" | "embedding" | "norm" | "bias";
}

/** Every parameter of the model in file order. Linear weights are [out, in], as in the checkpoint. */
export function parameterSpecs(config: DecoderConfig): ParameterSpec[] {
  const specs: ParameterSpec[] = [
    { name: "model.embed_tokens.weight", shape: [config.vocabulary, config.dModel], kind: "embedding" },
  ];
  for (let layer = 0; layer < config.layers; layer++) specs.push(...blockSpecs(config, layer));
  specs.push({ name: "model.norm.weight", shape: [config.dModel], kind: "norm" });
  if (!config.tiedEmbeddings) {
    specs.push({ name: "lm_head.weight", shape: [config.vocabulary, config.dModel], kind: "embedding" });
  }
  return specs;
}

function blockSpecs(config: DecoderConfig, layer: number): ParameterSpec[] {
  const { dModel, heads, kvHeads, headDim, intermediate } = config;
  const prefix = `model.layers.${layer}`;
  const linear = (name: string, out: number, into: number, bias: boolean): ParameterSpec[] => [
    { name: `${prefix}.${name}.weight`, shape: [out, into], kind: "matrix" },
    ...(bias ? [{ name: `${prefix}.${name}.bias`, shape: [out], kind: "bias" as const }] : []),
  ];
  const norm = (name: string, size: number): ParameterSpec => ({
    name: `${prefix}.${name}.weight`,
    shape: [size],
    kind: "norm",
  });
  return [
    norm("input_layernorm", dModel),
    ...linear("self_attn.q_proj", heads * headDim, dModel, config.inputBias),
    ...linear("self_attn.k_proj", kvHeads * headDim, dModel, config.inputBias),
    ...linear("self_attn.v_proj", kvHeads * headDim, dModel, config.inputBias),
    ...linear("self_attn.o_proj", dModel, heads * headDim, config.outputBias),
    ...(config.headNorm ? [norm("self_attn.q_norm", headDim), norm("self_attn.k_norm", headDim)] : []),
    norm("post_attention_layernorm", dModel),
    ...linear("mlp.gate_proj", intermediate, dModel, config.mlpBias),
    ...linear("mlp.up_proj", intermediate, dModel, config.mlpBias),
    ...linear("mlp.down_proj", dModel, intermediate, config.mlpBias),
  ];
}

/** The value of the graph that stands for the parameter of this name. */
export type Parameters = (name: string) => Value;

export interface Linear {
  readonly weight: Value;
  readonly bias: Value | null;
}

export interface BlockWeights {
  readonly inputNorm: Value;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly queryNorm: Value | null;
  readonly keyNorm: Value | null;
  readonly mlpNorm: Value;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

export function blockWeights(config: DecoderConfig, parameters: Parameters, layer: number): BlockWeights {
  const at = (name: string) => parameters(`model.layers.${layer}.${name}`);
  const linear = (name: string, bias: boolean): Linear => ({
    weight: at(`${name}.weight`),
    bias: bias ? at(`${name}.bias`) : null,
  });
  return {
    inputNorm: at("input_layernorm.weight"),
    query: linear("self_attn.q_proj", config.inputBias),
    key: linear("self_attn.k_proj", config.inputBias),
    value: linear("self_attn.v_proj", config.inputBias),
    output: linear("self_attn.o_proj", config.outputBias),
    queryNorm: config.headNorm ? at("self_attn.q_norm.weight") : null,
    keyNorm: config.headNorm ? at("self_attn.k_norm.weight") : null,
    mlpNorm: at("post_attention_layernorm.weight"),
    gate: linear("mlp.gate_proj", config.mlpBias),
    up: linear("mlp.up_proj", config.mlpBias),
    down: linear("mlp.down_proj", config.mlpBias),
  };
}

export function parameterCount(config: DecoderConfig): number {
  return parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
