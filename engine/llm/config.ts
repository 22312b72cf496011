// What a decoder-only model is made of, read from Hugging Face's config.json in the words of transformers 4 and 5.

import { flag, isObject, type Json, ModelConfigError, positive, size, tokenIds } from "./config-json.ts";
import { type Family, type FamilyName, families, type LayerKind } from "./families.ts";
import { parseRope, type Rope } from "./rope.ts";

export interface DecoderConfig {
  readonly family: FamilyName;
  readonly tensorPrefix: string;
  readonly layers: number;
  /** What each layer is made of, [layers]. */
  readonly layerKinds: readonly LayerKind[];
  readonly dModel: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Width of a dense feed-forward. */
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly rope: Rope;
  readonly rmsEpsilon: number;
  readonly tiedEmbeddings: boolean;
  readonly headNorm: boolean;
  readonly inputBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** Ids that end a text, from config.json; generation_config.json may add some. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
}

/**
 * Reads a parsed config.json.
 *
 * @throws ModelConfigError naming the key: an unknown family, a missing or impossible size, or a feature that would
 * change the numbers if it were ignored (sliding windows, rope scaling, another activation, quantised weights).
 */
export function parseDecoderConfig(json: unknown): DecoderConfig {
  if (!isObject(json)) throw new ModelConfigError("config.json is not an object");
  const name = familyName(json);
  const family: Family = families[name];
  refuseUnknownMathematics(json);
  const dModel = size(json, "hidden_size");
  const heads = size(json, "num_attention_heads");
  const kvHeads = size(json, "num_key_value_heads", family.defaults.kvHeads ?? heads);
  if (heads % kvHeads !== 0) {
    throw new ModelConfigError(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`);
  }
  const headDim = size(json, "head_dim", family.defaults.headDim ?? dModel / heads);
  const attentionBias = flag(json, "attention_bias", false);
  const layers = size(json, "num_hidden_layers");
  return {
    family: name,
    tensorPrefix: family.tensorPrefix,
    layers,
    layerKinds: layerKinds(json, family, layers),
    dModel,
    heads,
    kvHeads,
    headDim,
    intermediate: size(json, "intermediate_size"),
    vocabulary: size(json, "vocab_size"),
    contextLength: size(json, "max_position_embeddings", family.defaults.contextLength),
    rope: parseRope(json, headDim),
    rmsEpsilon: positive(json, "rms_norm_eps", 1e-6),
    tiedEmbeddings: flag(json, "tie_word_embeddings", false),
    headNorm: family.headNorm,
    inputBias: family.inputBias === "configured" ? attentionBias : family.inputBias,
    outputBias: family.outputBias === "configured" ? attentionBias : family.outputBias,
    mlpBias: flag(json, "mlp_bias", false),
    eosTokenIds: tokenIds(json, "eos_token_id"),
    bosTokenId: tokenIds(json, "bos_token_id")[0] ?? null,
  };
}

function familyName({ model_type: name }: Json): FamilyName {
  if (typeof name === "string" && Object.hasOwn(families, name)) return name as FamilyName;
  throw new ModelConfigError(
    `model_type ${JSON.stringify(name)} is not supported; supported are ${Object.keys(families).join(", ")}`,
  );
}

function layerKinds(json: Json, { feedForward }: Family, layers: number): LayerKind[] {
  if (Array.isArray(json.layer_types)) {
    const other = json.layer_types.find((type) => type !== "full_attention");
    if (other !== undefined) throw new ModelConfigError(`layer_types: ${JSON.stringify(other)} is not supported`);
  }
  return Array.from({ length: layers }, () => ({ mixer: "attention", feedForward }));
}

function refuseUnknownMathematics(json: Json): void {
  if (json.use_sliding_window === true || (json.model_type === "llama" && typeof json.sliding_window === "number")) {
    throw new ModelConfigError("use_sliding_window: sliding-window attention is not supported");
  }
  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu")
    throw new ModelConfigError(`hidden_act ${JSON.stringify(activation)} is not supported; silu is`);
  if (json.quantization_config)
    throw new ModelConfigError("quantization_config: quantised checkpoints are not supported");
}
