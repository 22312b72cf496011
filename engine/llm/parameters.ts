// The parameters of a decoder by their Hugging Face names: one list that loading, training and writing share.

import type { Value } from "../onnx/graph.ts";
import type { DecoderConfig } from "./config.ts";
import type { Linear } from "./linear.ts";

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** What a random start draws it from, and whether weight decay applies to it (matrices only). */
  readonly kind: "matrix" | "embedding" | "norm" | "bias";
}

/** Names of the parameters outside the blocks, and what the names inside a block begin with. */
export function parameterNames({ tensorPrefix, tiedEmbeddings }: DecoderConfig) {
  const embedding = `${tensorPrefix}.embed_tokens.weight`;
  return {
    embedding,
    finalNorm: `${tensorPrefix}.norm.weight`,
    head: tiedEmbeddings ? embedding : "lm_head.weight",
    layer: (layer: number) => `${tensorPrefix}.layers.${layer}`,
  };
}

/** Every parameter of the model in file order. Linear weights are [out, in], as in the checkpoint. */
export function parameterSpecs(config: DecoderConfig): ParameterSpec[] {
  const { embedding, finalNorm, head, layer } = parameterNames(config);
  const specs: ParameterSpec[] = [
    { name: embedding, shape: [config.vocabulary, config.dModel], kind: "embedding" },
    ...config.layerKinds.flatMap((_, index) => blockSpecs(config, layer(index))),
    { name: finalNorm, shape: [config.dModel], kind: "norm" },
  ];
  if (!config.tiedEmbeddings) {
    specs.push({ name: head, shape: [config.vocabulary, config.dModel], kind: "embedding" });
  }
  return specs;
}

function blockSpecs(config: DecoderConfig, prefix: string): ParameterSpec[] {
  return [
    norm(`${prefix}.input_layernorm`, config.dModel),
    ...attentionSpecs(config, `${prefix}.self_attn`),
    norm(`${prefix}.post_attention_layernorm`, config.dModel),
    ...denseSpecs(config, `${prefix}.mlp`),
  ];
}

function attentionSpecs(config: DecoderConfig, prefix: string): ParameterSpec[] {
  const { dModel, heads, kvHeads, headDim } = config;
  return [
    ...linear(`${prefix}.q_proj`, heads * headDim, dModel, config.inputBias),
    ...linear(`${prefix}.k_proj`, kvHeads * headDim, dModel, config.inputBias),
    ...linear(`${prefix}.v_proj`, kvHeads * headDim, dModel, config.inputBias),
    ...linear(`${prefix}.o_proj`, dModel, heads * headDim, config.outputBias),
    ...(config.headNorm ? [norm(`${prefix}.q_norm`, headDim), norm(`${prefix}.k_norm`, headDim)] : []),
  ];
}

function denseSpecs({ dModel, intermediate, mlpBias }: DecoderConfig, prefix: string): ParameterSpec[] {
  return [
    ...linear(`${prefix}.gate_proj`, intermediate, dModel, mlpBias),
    ...linear(`${prefix}.up_proj`, intermediate, dModel, mlpBias),
    ...linear(`${prefix}.down_proj`, dModel, intermediate, mlpBias),
  ];
}

function linear(name: string, out: number, into: number, bias: boolean): ParameterSpec[] {
  const weight: ParameterSpec = { name: `${name}.weight`, shape: [out, into], kind: "matrix" };
  return bias ? [weight, { name: `${name}.bias`, shape: [out], kind: "bias" }] : [weight];
}

function norm(name: string, size: number): ParameterSpec {
  return { name: `${name}.weight`, shape: [size], kind: "norm" };
}

/** The value of the graph that stands for the parameter of this name. */
export type Parameters = (name: string) => Value;

export interface AttentionWeights {
  readonly kind: "attention";
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly queryNorm: Value | null;
  readonly keyNorm: Value | null;
}

export interface DenseWeights {
  readonly kind: "dense";
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

export interface BlockWeights {
  readonly inputNorm: Value;
  readonly mixer: AttentionWeights;
  readonly feedForwardNorm: Value;
  readonly feedForward: DenseWeights;
}

export function blockWeights(config: DecoderConfig, parameters: Parameters, layer: number): BlockWeights {
  const prefix = parameterNames(config).layer(layer);
  const at = (name: string) => parameters(`${prefix}.${name}`);
  const linear = (name: string, bias: boolean): Linear => ({
    weight: at(`${name}.weight`),
    bias: bias ? at(`${name}.bias`) : null,
  });
  return {
    inputNorm: at("input_layernorm.weight"),
    mixer: {
      kind: "attention",
      query: linear("self_attn.q_proj", config.inputBias),
      key: linear("self_attn.k_proj", config.inputBias),
      value: linear("self_attn.v_proj", config.inputBias),
      output: linear("self_attn.o_proj", config.outputBias),
      queryNorm: config.headNorm ? at("self_attn.q_norm.weight") : null,
      keyNorm: config.headNorm ? at("self_attn.k_norm.weight") : null,
    },
    feedForwardNorm: at("post_attention_layernorm.weight"),
    feedForward: {
      kind: "dense",
      gate: linear("mlp.gate_proj", config.mlpBias),
      up: linear("mlp.up_proj", config.mlpBias),
      down: linear("mlp.down_proj", config.mlpBias),
    },
  };
}

export function parameterCount(config: DecoderConfig): number {
  return parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
