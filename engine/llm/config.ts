// What a decoder-only model is made of, read from Hugging Face's config.json in the words of transformers 4 and 5.

import { layerWindows } from "./attention-window.ts";
import { flag, isObject, type Json, ModelConfigError, positive, size, tokenIds } from "./config-json.ts";
import { type DeltaNet, parseDeltaNet } from "./delta-net-config.ts";
import { type Experts, mixtureLayers, parseExperts } from "./experts-config.ts";
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
  /** Width of a dense feed-forward; null: every layer is a mixture of experts. */
  readonly intermediate: number | null;
  /** null: every feed-forward is dense. */
  readonly experts: Experts | null;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly rope: Rope;
  readonly rmsEpsilon: number;
  readonly tiedEmbeddings: boolean;
  readonly headNorm: boolean;
  readonly inputBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly centredNorms: boolean;
  readonly outputGate: boolean;
  /** Sizes of the layers whose mixer is a delta net; null: there are none. */
  readonly deltaNet: DeltaNet | null;
  /** Ids that end a text, from config.json; generation_config.json may add some. */
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
}

/**
 * Reads a parsed config.json.
 *
 * @throws ModelConfigError naming the key: an unknown family, a missing or impossible size, or a feature that would
 * change the numbers if it were ignored (another rope scaling, another activation, quantised weights).
 */
export function parseDecoderConfig(whole: unknown): DecoderConfig {
  if (!isObject(whole)) throw new ModelConfigError("config.json is not an object");
  const name = familyName(whole);
  const family: Family = families[name];
  const json = decoderJson(whole, family);
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
  const contextLength = size(json, "max_position_embeddings", family.defaults.contextLength);
  const kinds = layerKinds(json, family, layers, contextLength);
  const anyOf = (feedForward: LayerKind["feedForward"]) => kinds.some((kind) => kind.feedForward === feedForward);
  return {
    family: name,
    tensorPrefix: family.tensorPrefix,
    layers,
    layerKinds: kinds,
    dModel,
    heads,
    kvHeads,
    headDim,
    intermediate: anyOf("dense") ? size(json, "intermediate_size") : null,
    experts: family.experts && anyOf("experts") ? parseExperts(json, family.experts) : null,
    vocabulary: size(json, "vocab_size"),
    contextLength,
    rope: parseRope(json, headDim, family.defaults.rotaryFactor, contextLength),
    rmsEpsilon: positive(json, "rms_norm_eps", 1e-6),
    tiedEmbeddings: flag(json, "tie_word_embeddings", false),
    headNorm: family.headNorm,
    inputBias: family.inputBias === "configured" ? attentionBias : family.inputBias,
    outputBias: family.outputBias === "configured" ? attentionBias : family.outputBias,
    mlpBias: flag(json, "mlp_bias", false),
    centredNorms: family.centredNorms,
    outputGate: family.outputGate,
    deltaNet: family.deltaNet ? parseDeltaNet(json) : null,
    eosTokenIds: tokenIds(json, "eos_token_id"),
    bosTokenId: tokenIds(json, "bos_token_id")[0] ?? null,
  };
}

function familyName({ model_type: name }: Json): FamilyName {
  if (typeof name === "string" && Object.hasOwn(families, name)) return name as FamilyName;
  const supported = Object.keys(families).sort((a, b) => b.length - a.length);
  // qwen3_vl is a qwen3 and more; what descends from none of them is most likely close to the plainest.
  const nearest = supported.find((one) => String(name).startsWith(one)) ?? "llama";
  throw new ModelConfigError(
    `model_type ${JSON.stringify(name)} is not supported; supported are ${Object.keys(families).join(", ")}, ${nearest} is the nearest`,
  );
}

/** The decoder's own part of a multimodal config; what both say, the outer one decides. */
function decoderJson(whole: Json, { textConfig }: Family): Json {
  if (textConfig === null) return whole;
  const inner = whole[textConfig];
  if (!isObject(inner)) throw new ModelConfigError(`${textConfig} is missing or not an object`);
  const shared = ["tie_word_embeddings", "eos_token_id", "bos_token_id", "quantization_config"];
  const outer = shared.filter((key) => (whole[key] ?? null) !== null);
  return { ...inner, ...Object.fromEntries(outer.map((key) => [key, whole[key]])) };
}

function layerKinds(json: Json, family: Family, layers: number, contextLength: number): LayerKind[] {
  const mixers: Readonly<Record<string, LayerKind["mixer"]>> = {
    full_attention: "attention",
    ...(family.windows ? { sliding_attention: "attention" } : {}),
    ...(family.deltaNet ? { linear_attention: "delta_net" } : {}),
  };
  const named = Array.isArray(json.layer_types) ? json.layer_types : null;
  const windows = layerWindows(json, family.windows, named, layers, contextLength);
  const mixtures = family.experts ? mixtureLayers(json, family.experts, layers) : [];
  const kinds = layerTypes(json, family, layers).map((type, layer): LayerKind => {
    const feedForward = mixtures[layer] ? "experts" : "dense";
    if (typeof type === "string" && Object.hasOwn(mixers, type)) {
      return { mixer: mixers[type]!, window: windows[layer] ?? null, feedForward };
    }
    const known = Object.keys(mixers).join(" and ");
    throw new ModelConfigError(`layer_types: ${JSON.stringify(type)} is not supported; supported is ${known}`);
  });
  if (kinds.some(({ mixer }) => mixer === "attention")) return kinds;
  throw new ModelConfigError("layer_types: a model without a full_attention layer is not supported");
}

function layerTypes(json: Json, family: Family, layers: number): unknown[] {
  if (Array.isArray(json.layer_types)) {
    if (json.layer_types.length === layers) return json.layer_types;
    throw new ModelConfigError(`layer_types names ${json.layer_types.length} layers, num_hidden_layers is ${layers}`);
  }
  const interval = family.deltaNet ? size(json, "full_attention_interval", 4) : 1;
  return Array.from({ length: layers }, (_, i) => ((i + 1) % interval === 0 ? "full_attention" : "linear_attention"));
}

function refuseUnknownMathematics(json: Json): void {
  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu")
    throw new ModelConfigError(`hidden_act ${JSON.stringify(activation)} is not supported; silu is`);
  if (json.attn_output_gate === false) throw new ModelConfigError("attn_output_gate false is not supported; true is");
  if (json.quantization_config) {
    throw new ModelConfigError(
      "quantization_config: quantised checkpoints are not supported; the original is, and its import can make int8 or int4 of it",
    );
  }
}
