// Training of saes: what can be set. Every setting says its unit, its default and where the default comes from.
import { type Static, type TSchema, Type } from "typebox";
import { architectures } from "./sae.ts";
import { closed, IdOrName, Name, oneOf } from "./schema.ts";

interface Said {
  readonly unit: string;
  /** Of what depends on other settings; a constant is the schema's own `default`. */
  readonly otherwise?: string;
  readonly source: string;
}

/** An optional setting: `make` is given the description, and the unit and source as extensions of the schema. */
function knob<S extends TSchema>(
  meaning: string,
  { unit, otherwise, source }: Said,
  make: (words: Record<string, unknown>) => S,
) {
  const description = `${meaning}${otherwise === undefined ? "" : `; ${otherwise} if absent`}`;
  return Type.Optional(make({ description, "x-unit": unit, "x-source": source }));
}

const integer =
  (minimum: number, maximum: number, more: object = {}) =>
  (words: object) =>
    Type.Integer({ minimum, maximum, ...more, ...words });
const number = (limits: object) => (words: object) => Type.Number({ ...limits, ...words });
const boolean = (standard: boolean) => (words: object) => Type.Boolean({ default: standard, ...words });

const gao = "Gao et al. 2024, appendix A";
const jumpRelu = "Rajamanoharan et al. 2024 (JumpReLU), appendix J";

/** What may differ between saes that learn from one forward pass. */
const ofEach = {
  width: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_048_576,
      description: "number of features; this or expansion",
      "x-unit": "features",
      "x-source": "Qwen-Scope table 1: 16 or 64 times d_model",
    }),
  ),
  expansion: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: 4096,
      description: "width as a multiple of the model's d_model; this or width",
      "x-unit": "× d_model",
      "x-source": "Qwen-Scope table 1: 16, 64",
    }),
  ),
  k: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 4096,
      description: "features kept per token; of batch_topk on average, of jumprelu the target",
      "x-unit": "features per token",
      "x-source": "Qwen-Scope table 1: 50, 100",
    }),
  ),
  k_start: knob(
    "k of the first step, falling linearly to k over k_anneal_steps; not of jumprelu",
    { unit: "features per token", otherwise: "k", source: "dictionary_learning" },
    integer(1, 4096),
  ),
  learning_rate: knob(
    "peak rate of Adam",
    { unit: "per step", otherwise: "2e-4 / sqrt(width / 2^14)", source: "Gao et al. 2024, figure 3, as in sparsify" },
    number({ exclusiveMinimum: 0, maximum: 1 }),
  ),
  aux_k: knob(
    "dead features in the auxiliary loss, at most as many as are dead; with none dead it is not computed",
    { unit: "features per token", otherwise: "d_model / 2", source: gao },
    integer(0, 8192),
  ),
  prefixes: knob(
    "where the nested dictionaries of matryoshka_topk end, ascending, the last at the width",
    {
      unit: "features",
      otherwise: "1/32, 3/32, 7/32, 15/32 and all of the width",
      source: "Bussmann et al. 2025; shares as in dictionary_learning",
    },
    (words) => Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: 32, ...words }),
  ),
};

const VariantInput = closed(ofEach, { title: "SaeVariant" });

const batchTopK = { unit: "factor", otherwise: "0.99", source: "dictionary_learning: 0.999 from step 1000 on" };
const ofArchitecture = {
  threshold_beta: knob(
    "memory of the running threshold of batch_topk, the inference rule",
    batchTopK,
    number({ minimum: 0, exclusiveMaximum: 1 }),
  ),
  start_threshold: knob(
    "of jumprelu",
    { unit: "activation of rows of norm 1", otherwise: "0.001", source: jumpRelu },
    number({ exclusiveMinimum: 0, maximum: 1e6 }),
  ),
  bandwidth: knob(
    "of jumprelu: width of the band around a threshold whose pre-activations move it",
    { unit: "activation of rows of norm 1", otherwise: "0.001", source: jumpRelu },
    number({ exclusiveMinimum: 0, maximum: 1e6 }),
  ),
  sparsity_weight: knob(
    "of jumprelu: weight of (L0/k − 1)²",
    { unit: "factor", otherwise: "1", source: "Rajamanoharan et al. 2024, appendix H; dictionary_learning: 1" },
    number({ minimum: 0, maximum: 1e6 }),
  ),
  sparsity_warmup_steps: knob(
    "of jumprelu: that weight rises linearly from 0",
    { unit: "steps", otherwise: "10 % of the steps, at most 2000,", source: "dictionary_learning: 2000" },
    integer(0, 1_000_000),
  ),
};

export const instabilityActions = ["stop", "roll_back"] as const;

export const SaeTrainInput = closed(
  {
    name: Type.Optional(
      Type.Intersect([Name], {
        description:
          "the saes become {name}-layer{n}, with several variants {name}-layer{n}-w{width}-k{k}; the job's id if absent",
      }),
    ),
    model_id: IdOrName,
    dataset_id: IdOrName,
    activations_id: Type.Optional(
      Type.String({
        description:
          "harvested activations to read instead of running the model (`activations.harvest`); context_tokens and holdout_fraction are then the harvest's",
      }),
    ),
    layers: Type.Array(Type.Integer({ minimum: 0 }), {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: "one sae per layer and variant, all from the same forward pass",
    }),
    architecture: Type.Optional(oneOf(architectures, { default: "topk" })),
    ...ofEach,
    variants: Type.Optional(
      Type.Array(VariantInput, {
        minItems: 1,
        maxItems: 16,
        description: "several widths or k in one job: each layer gets an sae of each; instead of width and k",
      }),
    ),
    k_anneal_steps: knob(
      "k falls from k_start to k",
      { unit: "steps", source: "dictionary_learning" },
      integer(0, 1e9, { default: 0 }),
    ),
    tokens: Type.Integer({
      minimum: 1,
      maximum: 1e12,
      description: "activations to train on; the dataset is repeated",
      "x-unit": "tokens",
      "x-source": "Qwen-Scope: about 5e8 by press reports",
    }),
    batch_tokens: knob(
      "activations per optimiser step",
      { unit: "tokens", source: "SAELens" },
      integer(16, 65_536, { default: 4096 }),
    ),
    seed: knob(
      "decides initial weights, the order of samples and rows, and which are held out",
      { unit: "number", source: "ours" },
      integer(0, Number.MAX_SAFE_INTEGER, { default: 0 }),
    ),
    context_tokens: knob(
      "tokens per sequence in the forward pass",
      { unit: "tokens", source: "ours" },
      integer(8, 8192, { default: 256 }),
    ),
    buffer_tokens: knob(
      "activations held to mix from",
      { unit: "tokens", source: "SAELens: 20 batches" },
      integer(16, 4_194_304, { default: 32_768 }),
    ),
    warmup_steps: knob(
      "linear rise of the learning rate from 0",
      { unit: "steps", otherwise: "5 % of the steps, at most 1000,", source: "sparsify: 1000" },
      integer(0, 1_000_000),
    ),
    decay_fraction: knob(
      "last part of the steps, in which the learning rate falls linearly to 0",
      { unit: "fraction of the steps", source: "dictionary_learning" },
      number({ minimum: 0, maximum: 1, default: 0.2 }),
    ),
    adam_beta1: knob(
      "Adam's decay of the mean gradient",
      { unit: "factor", otherwise: "0.9, of jumprelu 0,", source: `${gao}; ${jumpRelu}` },
      number({ minimum: 0, exclusiveMaximum: 1 }),
    ),
    adam_beta2: knob(
      "Adam's decay of the mean squared gradient",
      { unit: "factor", source: gao },
      number({ minimum: 0, exclusiveMaximum: 1, default: 0.999 }),
    ),
    adam_epsilon: knob(
      "added to the root of the mean squared gradient",
      { unit: "gradient", source: gao },
      number({ exclusiveMinimum: 0, maximum: 1, default: 6.25e-10 }),
    ),
    clip_norm: knob(
      "largest norm of the gradients of one sae; the decoder's are first made orthogonal to its rows, which keep length 1",
      { unit: "‖gradient‖", source: "SAELens" },
      number({ exclusiveMinimum: 0, maximum: 1e6, default: 1 }),
    ),
    aux_weight: knob(
      "weight of the auxiliary loss",
      { unit: "factor", otherwise: "1/32, of jumprelu 0,", source: "Qwen-Scope §2.2; Gao et al. 2024" },
      number({ minimum: 0, maximum: 10 }),
    ),
    dead_after_tokens: knob(
      "a feature that did not fire for so long is dead",
      { unit: "tokens", otherwise: "10 000 000, or a fifth of tokens,", source: "Gao et al. 2024" },
      integer(1, 1e12),
    ),
    ...ofArchitecture,
    tied_start: knob("the encoder starts as the decoder's transpose", { unit: "yes/no", source: gao }, boolean(true)),
    decoder_bias_start: knob("the decoder's bias at the start", { unit: "name", source: gao }, (words) =>
      oneOf(["geometric_median", "mean", "zero"], { default: "geometric_median", ...words }),
    ),
    median_tokens: knob(
      "activations that this start is computed from, at most a full buffer",
      { unit: "tokens", source: "ours" },
      integer(1, 4_194_304, { default: 8192 }),
    ),
    scale_input: knob(
      "learn from activations divided by a power of two near their mean distance to the median; folded back exactly",
      { unit: "yes/no", source: "the rates above are for rows of norm about 1" },
      boolean(true),
    ),
    norm_filter: knob(
      "leave out activations above this multiple of the running median norm, at least 1; 0 keeps all",
      { unit: "× median", source: "Marks et al. 2024; Qwen-Scope §2.2" },
      number({ minimum: 0, maximum: 1e6, default: 10 }),
    ),
    skip_first_position: knob(
      "leave out position 0 of sequences",
      { unit: "yes/no", source: "Qwen-Scope §2.2" },
      boolean(true),
    ),
    precision: knob("of weights, gradients and products", { unit: "name", source: "ours" }, (words) =>
      oneOf(["float32"], { default: "float32", ...words }),
    ),
    spike_factor: knob(
      "a batch whose fraction of variance unexplained is above this multiple of the median of the last 64 is not learned from, see on_instability; above 1, or 0: never",
      { unit: "× median", source: "ours" },
      number({ minimum: 0, maximum: 1e6, default: 10 }),
    ),
    on_instability: knob(
      "what a value that is not finite or a spike does: stop fails the job; roll_back returns to the last checkpoint and leaves out the batch",
      { unit: "name", source: "ours" },
      (words) => oneOf(instabilityActions, { default: "roll_back", ...words }),
    ),
    maximum_rollbacks: knob(
      "the job fails at the next instability after so many",
      { unit: "times", source: "ours" },
      integer(0, 1000, { default: 3 }),
    ),
    holdout_fraction: knob(
      "for the metrics",
      { unit: "fraction of the samples", source: "ours" },
      number({ exclusiveMinimum: 0, maximum: 0.5, default: 0.05 }),
    ),
    evaluation_tokens: knob(
      "held-out activations measured",
      { unit: "tokens", source: "ours" },
      integer(64, 10_000_000, { default: 16_384 }),
    ),
    checkpoint_every_steps: knob(
      "at most so many steps between checkpoints, and never more than 5 minutes of work",
      { unit: "steps", otherwise: "about every 30 s", source: "ours" },
      integer(1, 1_000_000),
    ),
  },
  {
    title: "SaeTrainInput",
    examples: [
      { model_id: "demo-small", dataset_id: "demo-text", layers: [2, 3], width: 4096, k: 50, tokens: 2_000_000 },
    ],
  },
);
export type SaeTrainInput = Static<typeof SaeTrainInput>;

/** One of the saes that each layer gets, every default written out. */
export interface SaeVariant {
  readonly width: number;
  readonly k: number;
  readonly k_start: number;
  readonly learning_rate: number;
  readonly aux_k: number;
  /** Of matryoshka_topk alone. */
  readonly prefixes?: number[];
}

type OfArchitecture = keyof typeof ofArchitecture | "prefixes";
type StaysOptional = "name" | "activations_id" | "checkpoint_every_steps" | OfArchitecture;

/** The input with every default written out, as the job row keeps it. */
export type SaeTrainSettings = Required<Omit<SaeTrainInput, StaysOptional | "expansion" | "variants">> &
  Pick<SaeTrainInput, StaysOptional> & {
    /** At least one. `width`, `k` and the like beside it are those of the first. */
    variants: SaeVariant[];
    /** Of the release that the job belongs to; a training by itself makes its own. */
    release_id?: string;
  };
