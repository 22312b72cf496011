// The parameters of a decoder by their Hugging Face names: one list that loading, training and writing share.

import type { Value } from "../onnx/graph.ts";
import { add } from "../ops/elementwise.ts";
import type { DecoderConfig } from "./config.ts";
import { type DeltaNetWeights, deltaNetSpecs, deltaNetWeights } from "./delta-net-parameters.ts";
import { type ExpertWeights, expertSpecs, expertWeights } from "./expert-parameters.ts";
import type { LayerKind } from "./families.ts";
import type { DenseWeights } from "./feed-forward.ts";
import type { Linear } from "./linear.ts";
import type { ParameterSpec, Parameters } from "./parameter-spec.ts";

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
    ...config.layerKinds.flatMap((kind, index) => blockSpecs(config, kind, layer(index))),
    { name: finalNorm, shape: [config.dModel], kind: normKind(config) },
  ];
  if (!config.tiedEmbeddings) {
    specs.push({ name: head, shape: [config.vocabulary, config.dModel], kind: "embedding" });
  }
  return specs;
}

function blockSpecs(config: DecoderConfig, { mixer, feedForward }: LayerKind, prefix: string): ParameterSpec[] {
  return [
    norm(config, `${prefix}.input_layernorm`, config.dModel),
    ...(mixer === "attention"
      ? attentionSpecs(config, `${prefix}.self_attn`)
      : deltaNetSpecs(config, `${prefix}.linear_attn`)),
    norm(config, `${prefix}.post_attention_layernorm`, config.dModel),
    ...(feedForward === "dense"
      ? denseSpecs(config, `${prefix}.mlp`)
      : expertSpecs(config.experts!, config.dModel, `${prefix}.mlp`)),
  ];
}

function attentionSpecs(config: DecoderConfig, prefix: string): ParameterSpec[] {
  const { dModel, heads, kvHeads, headDim } = config;
  const queries = heads * headDim * (config.outputGate ? 2 : 1);
  const headNorm = (name: string) => norm(config, `${prefix}.${name}`, headDim);
  return [
    ...linear(`${prefix}.q_proj`, queries, dModel, config.inputBias),
    ...linear(`${prefix}.k_proj`, kvHeads * headDim, dModel, config.inputBias),
    ...linear(`${prefix}.v_proj`, kvHeads * headDim, dModel, config.inputBias),
    ...linear(`${prefix}.o_proj`, dModel, heads * headDim, config.outputBias),
    ...(config.headNorm ? [headNorm("q_norm"), headNorm("k_norm")] : []),
  ];
}

function denseSpecs({ dModel, intermediate, mlpBias }: DecoderConfig, prefix: string): ParameterSpec[] {
  return [
    ...linear(`${prefix}.gate_proj`, intermediate!, dModel, mlpBias),
    ...linear(`${prefix}.up_proj`, intermediate!, dModel, mlpBias),
    ...linear(`${prefix}.down_proj`, dModel, intermediate!, mlpBias),
  ];
}

function linear(name: string, out: number, into: number, bias: boolean): ParameterSpec[] {
  const weight: ParameterSpec = { name: `${name}.weight`, shape: [out, into], kind: "matrix" };
  return bias ? [weight, { name: `${name}.bias`, shape: [out], kind: "bias" }] : [weight];
}

function norm(config: DecoderConfig, name: string, size: number): ParameterSpec {
  return { name: `${name}.weight`, shape: [size], kind: normKind(config) };
}

function normKind({ centredNorms }: DecoderConfig): ParameterSpec["kind"] {
  return centredNorms ? "centred_norm" : "norm";
}

/** What a norm of the model multiplies by, given its parameter. */
export function normFactor({ centredNorms }: DecoderConfig, weight: Value): Value {
  return centredNorms ? add(weight, 1) : weight;
}

export interface AttentionWeights {
  readonly kind: "attention";
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly queryNorm: Value | null;
  readonly keyNorm: Value | null;
}

export interface BlockWeights {
  readonly inputNorm: Value;
  readonly mixer: AttentionWeights | DeltaNetWeights;
  readonly feedForwardNorm: Value;
  readonly feedForward: DenseWeights | ExpertWeights;
}

export function blockWeights(config: DecoderConfig, parameters: Parameters, layer: number): BlockWeights {
  const prefix = parameterNames(config).layer(layer);
  const at = (name: string) => parameters(`${prefix}.${name}`);
  const norm = (name: string) => normFactor(config, at(`${name}.weight`));
  const linear = (name: string, bias: boolean): Linear => ({
    weight: at(`${name}.weight`),
    bias: bias ? at(`${name}.bias`) : null,
  });
  return {
    inputNorm: norm("input_layernorm"),
    mixer:
      config.layerKinds[layer]!.mixer === "delta_net"
        ? deltaNetWeights((name) => at(`linear_attn.${name}`))
        : {
            kind: "attention",
            query: linear("self_attn.q_proj", config.inputBias),
            key: linear("self_attn.k_proj", config.inputBias),
            value: linear("self_attn.v_proj", config.inputBias),
            output: linear("self_attn.o_proj", config.outputBias),
            queryNorm: config.headNorm ? norm("self_attn.q_norm") : null,
            keyNorm: config.headNorm ? norm("self_attn.k_norm") : null,
          },
    feedForwardNorm: norm("post_attention_layernorm"),
    feedForward:
      config.layerKinds[layer]!.feedForward === "experts"
        ? expertWeights(config.experts!, (name) => at(`mlp.${name}`))
        : {
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
