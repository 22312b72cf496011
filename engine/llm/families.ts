// The families of decoders: each is a row of switches on one block. Adding a family that fits them is adding a row.

import type { WindowFamily } from "./attention-window.ts";
import type { ExpertFamily } from "./experts-config.ts";

/** What mixes positions in a layer, and what transforms each position after it. */
export interface LayerKind {
  /** Softmax attention over all positions so far, or the gated delta rule on a state of fixed size. */
  readonly mixer: "attention" | "delta_net";
  /** Positions that attention sees, its own included; null: all so far. */
  readonly window: number | null;
  readonly feedForward: "dense" | "experts";
}

export interface Family {
  /** The key of config.json under which the decoder's own config lies; null: config.json is the decoder's. */
  readonly textConfig: string | null;
  /** The class that transformers opens such a checkpoint with. */
  readonly architecture: string;
  /** What the names of the decoder's tensors begin with. */
  readonly tensorPrefix: string;
  /** Root-mean-square norm of every query and key head before rotation. */
  readonly headNorm: boolean;
  /** Whether the query, key and value projections carry a bias: always, or as `attention_bias` says. */
  readonly inputBias: boolean | "configured";
  /** Whether the attention's output projection carries a bias. */
  readonly outputBias: boolean | "configured";
  /** Norms multiply by 1 + weight instead of weight (not the one inside a delta net). */
  readonly centredNorms: boolean;
  /** The query projection gives every head a second half: its sigmoid multiplies what the head read. */
  readonly outputGate: boolean;
  /** Whether layers are delta nets, but for every n-th (`full_attention_interval`, default 4), or as `layer_types` says. */
  readonly deltaNet: boolean;
  /** How layers are mixtures of experts; null: all are dense. */
  readonly experts: ExpertFamily | null;
  /** How the config names sliding windows; null: a config with one is refused. */
  readonly windows: WindowFamily | null;
  /** What the family's own config class takes for keys that a file leaves out. */
  readonly defaults: {
    readonly headDim: number | null;
    readonly kvHeads: number | null;
    readonly contextLength: number;
    /** The part of each head that is rotated. */
    readonly rotaryFactor: number;
  };
}

const plain = {
  textConfig: null,
  tensorPrefix: "model",
  centredNorms: false,
  outputGate: false,
  deltaNet: false,
  experts: null,
  windows: null,
} as const;

const qwenWindows = { flagged: true, layers: "from_max_window_layers", defaultSize: 4096 } as const;

/** Three delta nets, then one layer of gated attention, and so on. */
const hybrid = {
  ...plain,
  headNorm: true,
  inputBias: "configured",
  outputBias: "configured",
  centredNorms: true,
  outputGate: true,
  deltaNet: true,
  defaults: { headDim: 256, kvHeads: 4, contextLength: 32768, rotaryFactor: 0.25 },
} as const;

const hybridMixture = {
  ...hybrid,
  experts: {
    shared: true,
    normalized: true,
    someLayersDense: false,
    defaults: { count: 256, active: 8, width: 512 },
  },
  defaults: { ...hybrid.defaults, kvHeads: 2 },
} as const;

export const families = {
  qwen3: {
    ...plain,
    windows: qwenWindows,
    architecture: "Qwen3ForCausalLM",
    headNorm: true,
    inputBias: "configured",
    outputBias: "configured",
    defaults: { headDim: 128, kvHeads: 32, contextLength: 32768, rotaryFactor: 1 },
  },
  qwen2: {
    ...plain,
    windows: qwenWindows,
    architecture: "Qwen2ForCausalLM",
    headNorm: false,
    inputBias: true,
    outputBias: false,
    defaults: { headDim: null, kvHeads: 32, contextLength: 32768, rotaryFactor: 1 },
  },
  llama: {
    ...plain,
    architecture: "LlamaForCausalLM",
    headNorm: false,
    inputBias: "configured",
    outputBias: "configured",
    defaults: { headDim: null, kvHeads: null, contextLength: 2048, rotaryFactor: 1 },
  },
  qwen3_moe: {
    ...plain,
    windows: { ...qwenWindows, layers: "all" },
    experts: {
      shared: false,
      normalized: "configured",
      someLayersDense: true,
      defaults: { count: 128, active: 8, width: 768 },
    },
    architecture: "Qwen3MoeForCausalLM",
    headNorm: true,
    inputBias: "configured",
    outputBias: "configured",
    defaults: { headDim: null, kvHeads: 4, contextLength: 32768, rotaryFactor: 1 },
  },
  mistral: {
    ...plain,
    windows: { flagged: false, layers: "all", defaultSize: 4096 },
    architecture: "MistralForCausalLM",
    headNorm: false,
    inputBias: false,
    outputBias: false,
    defaults: { headDim: null, kvHeads: 8, contextLength: 131072, rotaryFactor: 1 },
  },
  qwen3_5: {
    ...hybrid,
    textConfig: "text_config",
    architecture: "Qwen3_5ForConditionalGeneration",
    tensorPrefix: "model.language_model",
  },
  qwen3_5_text: {
    ...hybrid,
    architecture: "Qwen3_5ForCausalLM",
  },
  qwen3_5_moe: {
    ...hybridMixture,
    textConfig: "text_config",
    architecture: "Qwen3_5MoeForConditionalGeneration",
    tensorPrefix: "model.language_model",
  },
  qwen3_5_moe_text: {
    ...hybridMixture,
    architecture: "Qwen3_5MoeForCausalLM",
  },
} as const satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;
