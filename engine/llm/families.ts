// The families of decoders: each is a row of switches on one block. Adding a family that fits them is adding a row.

/** What mixes positions in a layer, and what transforms each position after it. */
export interface LayerKind {
  readonly mixer: "attention";
  readonly feedForward: "dense";
}

export interface Family {
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
  readonly feedForward: LayerKind["feedForward"];
  /** What the family's own config class takes for keys that a file leaves out. */
  readonly defaults: {
    readonly headDim: number | null;
    readonly kvHeads: number | null;
    readonly contextLength: number;
  };
}

export const families = {
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    tensorPrefix: "model",
    headNorm: true,
    inputBias: "configured",
    outputBias: "configured",
    feedForward: "dense",
    defaults: { headDim: 128, kvHeads: 32, contextLength: 32768 },
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    tensorPrefix: "model",
    headNorm: false,
    inputBias: true,
    outputBias: false,
    feedForward: "dense",
    defaults: { headDim: null, kvHeads: 32, contextLength: 32768 },
  },
  llama: {
    architecture: "LlamaForCausalLM",
    tensorPrefix: "model",
    headNorm: false,
    inputBias: "configured",
    outputBias: "configured",
    feedForward: "dense",
    defaults: { headDim: null, kvHeads: null, contextLength: 2048 },
  },
} as const satisfies Record<string, Family>;

export type FamilyName = keyof typeof families;
