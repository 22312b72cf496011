// What a decoder-only model is made of, read from Hugging Face's config.json in the words of transformers 4 and 5.

/** A family is a set of switches on one decoder block; adding a family that fits them is adding a row. */
interface Family {
  /** Root-mean-square norm of every query and key head before rotation. */
  readonly headNorm: boolean;
  /** Whether the query, key and value projections carry a bias: always, or as `attention_bias` says. */
  readonly inputBias: boolean | "configured";
  /** Whether the attention's output projection carries a bias. */
  readonly outputBias: boolean | "configured";
  /** What the family's own config class takes for keys that a file leaves out. */
  readonly defaults: {
    readonly headDim: number | null;
    readonly kvHeads: number | null;
    readonly contextLength: number;
  };
}

export const families = {
  qwen3: {
    headNorm: true,
    inputBias: "configured",
    outputBias: "configured",
    defaults: { headDim: 128, kvHeads: 32, contextLength: 32768 },
  },
  qwen2: {
    headNorm: false,
    inputBias: true,
    outputBias: false,
    defaults: { headDim: null, kvHeads: 32, contextLength: 32768 },
  },
  llama: {
    headNorm: false,
    inputBias: "configured",
    outputBias: "configured",
    defaults: { headDim: null, kvHeads: null, contextLength: 2048 },
  },
} as const satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;

export interface DecoderConfig {
  readonly family: FamilyName;
  readonly layers: number;
  readonly dModel: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly ropeTheta: number;
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

/** The config asks for something that this engine does not compute, or contradicts itself; the message names the key. */
export class ModelConfigError extends Error {
  override readonly name = "ModelConfigError";
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a parsed config.json.
 *
 * @throws ModelConfigError naming the key: an unknown family, a missing or impossible size, or a feature that would
 * change the numbers if it were ignored (sliding windows, rope scaling, another activation, quantised weights).
 */
export function parseDecoderConfig(value: unknown): DecoderConfig {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ModelConfigError("config.json is not an object");
  const json = value as Json;
  const name = json.model_type;
  if (typeof name !== "string" || !Object.hasOwn(families, name)) {
    throw new ModelConfigError(
      `model_type ${JSON.stringify(name)} is not supported; supported are ${Object.keys(families).join(", ")}`,
    );
  }
  const family: Family = families[name as FamilyName];
  refuseUnknownMathematics(json);
  const dModel = size(json, "hidden_size");
  const heads = size(json, "num_attention_heads");
  const kvHeads = size(json, "num_key_value_heads", family.defaults.kvHeads ?? heads);
  if (heads % kvHeads !== 0) {
    throw new ModelConfigError(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`);
  }
  const headDim = size(json, "head_dim", family.defaults.headDim ?? dModel / heads);
  if (headDim % 2 !== 0) throw new ModelConfigError(`head_dim ${headDim} is odd; rotary positions need pairs`);
  const attentionBias = flag(json, "attention_bias", false);
  return {
    family: name as FamilyName,
    layers: size(json, "num_hidden_layers"),
    dModel,
    heads,
    kvHeads,
    headDim,
    intermediate: size(json, "intermediate_size"),
    vocabulary: size(json, "vocab_size"),
    contextLength: size(json, "max_position_embeddings", family.defaults.contextLength),
    ropeTheta: ropeTheta(json),
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

function refuseUnknownMathematics(json: Json): void {
  if (json.use_sliding_window === true || (json.model_type === "llama" && typeof json.sliding_window === "number")) {
    throw new ModelConfigError("use_sliding_window: sliding-window attention is not supported");
  }
  if (Array.isArray(json.layer_types)) {
    const other = json.layer_types.find((type) => type !== "full_attention");
    if (other !== undefined) throw new ModelConfigError(`layer_types: ${JSON.stringify(other)} is not supported`);
  }
  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu")
    throw new ModelConfigError(`hidden_act ${JSON.stringify(activation)} is not supported; silu is`);
  if (json.quantization_config)
    throw new ModelConfigError("quantization_config: quantised checkpoints are not supported");
}

/**
 * rope_theta at the top level (transformers 4) or inside rope_parameters (transformers 5). Refused: any scaling, a rotation of a
 * part of the head, and parameters per layer type, which would otherwise be passed over and leave the default theta.
 */
function ropeTheta(json: Json): number {
  refusePartialRotation(json, "");
  let theta: number | null = null;
  for (const key of ["rope_parameters", "rope_scaling"]) {
    const rope = json[key];
    if (rope === undefined || rope === null) continue;
    if (typeof rope !== "object" || Array.isArray(rope)) throw new ModelConfigError(`${key} is not an object`);
    const parameters = rope as Json;
    const nested = Object.keys(parameters).find((name) => isObject(parameters[name]));
    if (nested !== undefined) {
      throw new ModelConfigError(`${key}.${nested}: rotary parameters per layer type are not supported`);
    }
    refusePartialRotation(parameters, `${key}.`);
    const type = parameters.rope_type ?? parameters.type ?? "default";
    if (type !== "default") throw new ModelConfigError(`${key}: rope scaling ${JSON.stringify(type)} is not supported`);
    if (parameters.rope_theta !== undefined) theta ??= positive(parameters, "rope_theta", 10000);
  }
  return theta ?? positive(json, "rope_theta", 10000);
}

function refusePartialRotation(json: Json, prefix: string): void {
  const factor = json.partial_rotary_factor ?? 1;
  if (factor !== 1) {
    throw new ModelConfigError(`${prefix}partial_rotary_factor ${JSON.stringify(factor)} is not supported; 1 is`);
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function size(json: Json, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (value === undefined) throw new ModelConfigError(`${key} is missing`);
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw new ModelConfigError(`${key} must be a positive integer, got ${JSON.stringify(value)}`);
  }
  return value as number;
}

function positive(json: Json, key: string, fallback: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !(value > 0))
    throw new ModelConfigError(`${key} must be a positive number, got ${JSON.stringify(value)}`);
  return value;
}

function flag(json: Json, key: string, fallback: boolean): boolean {
  const value = json[key] ?? fallback;
  if (typeof value !== "boolean")
    throw new ModelConfigError(`${key} must be true or false, got ${JSON.stringify(value)}`);
  return value;
}

/** A token id or a list of them; null and absent are none. */
export function tokenIds(json: Json, key: string): number[] {
  const value = json[key] ?? [];
  const list = Array.isArray(value) ? value : [value];
  if (!list.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    throw new ModelConfigError(`${key} must be a token id or a list of them, got ${JSON.stringify(value)}`);
  }
  return list as number[];
}

/** The config as config.json of Hugging Face, readable by transformers 4 and 5. */
export function formatDecoderConfig(
  config: DecoderConfig,
  dtype: "float32" | "float16" | "bfloat16",
): Record<string, unknown> {
  const architectures = { qwen3: "Qwen3ForCausalLM", qwen2: "Qwen2ForCausalLM", llama: "LlamaForCausalLM" };
  return {
    architectures: [architectures[config.family]],
    model_type: config.family,
    hidden_size: config.dModel,
    intermediate_size: config.intermediate,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    vocab_size: config.vocabulary,
    max_position_embeddings: config.contextLength,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
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
