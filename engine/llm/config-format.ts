// The config as config.json of Hugging Face, readable by transformers 4 and 5.

import type { DecoderConfig } from "./config.ts";
import { ModelConfigError } from "./config-json.ts";
import { families } from "./families.ts";
import { formatRopeScaling } from "./rope-scaling.ts";

/** @throws ModelConfigError for a decoder out of a multimodal checkpoint: what belongs beside it is not known here. */
export function formatDecoderConfig(
  config: DecoderConfig,
  dtype: "float32" | "float16" | "bfloat16",
): Record<string, unknown> {
  if (families[config.family].textConfig !== null) {
    throw new ModelConfigError(`${config.family} is a multimodal layout: write the decoder as ${config.family}_text`);
  }
  return {
    ...hybridKeys(config),
    ...expertKeys(config),
    ...windowKeys(config),
    architectures: [families[config.family].architecture],
    model_type: config.family,
    hidden_size: config.dModel,
    ...(config.intermediate === null ? {} : { intermediate_size: config.intermediate }),
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    vocab_size: config.vocabulary,
    max_position_embeddings: config.contextLength,
    rope_theta: config.rope.theta,
    rope_scaling: config.rope.scaling ? formatRopeScaling(config.rope.scaling) : null,
    rms_norm_eps: config.rmsEpsilon,
    tie_word_embeddings: config.tiedEmbeddings,
    attention_bias: config.family === "qwen2" ? true : config.inputBias,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length === 1 ? config.eosTokenIds[0] : config.eosTokenIds,
    torch_dtype: dtype,
    dtype,
    use_cache: true,
  };
}

function hybridKeys({ deltaNet, layerKinds, rope, headDim }: DecoderConfig): Record<string, unknown> {
  if (!deltaNet) return {};
  return {
    layer_types: layerKinds.map(({ mixer }) => (mixer === "delta_net" ? "linear_attention" : "full_attention")),
    linear_num_key_heads: deltaNet.keyHeads,
    linear_num_value_heads: deltaNet.valueHeads,
    linear_key_head_dim: deltaNet.keyDim,
    linear_value_head_dim: deltaNet.valueDim,
    linear_conv_kernel_dim: deltaNet.kernel,
    partial_rotary_factor: rope.dims / headDim,
  };
}

function expertKeys({ experts, layerKinds }: DecoderConfig): Record<string, unknown> {
  if (!experts) return {};
  return {
    num_experts: experts.count,
    num_experts_per_tok: experts.active,
    moe_intermediate_size: experts.width,
    norm_topk_prob: experts.normalized,
    mlp_only_layers: [...layerKinds.keys()].filter((layer) => layerKinds[layer]!.feedForward === "dense"),
    decoder_sparse_step: 1,
    ...(experts.sharedWidth === null ? {} : { shared_expert_intermediate_size: experts.sharedWidth }),
  };
}

function windowKeys({ family, layerKinds }: DecoderConfig): Record<string, unknown> {
  const { windows } = families[family];
  if (!windows) return {};
  const window = layerKinds.find((kind) => kind.window !== null)?.window ?? null;
  const types = layerKinds.map((kind) => (kind.window === null ? "full_attention" : "sliding_attention"));
  return {
    sliding_window: window,
    ...(windows.flagged ? { use_sliding_window: window !== null } : {}),
    ...(windows.layers === "all" ? {} : { layer_types: types }),
  };
}
