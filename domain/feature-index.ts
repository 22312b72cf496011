// features.index: what the features of some saes do on a dataset, in one pass over it.
import { type Static, Type } from "typebox";
import { closed, IdOrName } from "./schema.ts";

/** Of several saes together. Their rows are written in the one transaction that ends the job: 20 µs each on a quiet machine. */
export const maximumIndexedFeatures = 131_072;

export const FeaturesIndexInput = closed(
  {
    sae_ids: Type.Array(IdOrName, {
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
      description: "saes of one model: all are indexed from one forward pass",
    }),
    dataset_id: IdOrName,
    tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: "read at most about so many, of samples drawn evenly; the whole dataset if absent",
      }),
    ),
    context_tokens: Type.Optional(
      Type.Integer({
        minimum: 2,
        maximum: 1_048_576,
        description: "longer samples are cut into pieces of so many tokens; 256 if absent, at most the model's context",
      }),
    ),
    examples: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, default: 10, description: "strongest examples of each feature" }),
    ),
    examples_per_band: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 25,
        default: 2,
        description: "further examples, drawn from each of the four octaves below the maximum",
      }),
    ),
    tokens_before: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 127, default: 16, description: "shown before an example's token" }),
    ),
    tokens_after: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 127, default: 8, description: "shown after an example's token" }),
    ),
    neighbours: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        default: 10,
        description: "nearest decoder directions of each feature",
      }),
    ),
    seed: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        default: 0,
        description: "draws the order of the samples and the examples of the bands",
      }),
    ),
  },
  {
    title: "FeaturesIndexInput",
    examples: [{ sae_ids: ["demo-small-topk-layer3"], dataset_id: "demo-text", tokens: 200_000 }],
  },
);
export type FeaturesIndexInput = Static<typeof FeaturesIndexInput>;

/** The input with every default written out. */
export type FeaturesIndexSettings = Required<Omit<FeaturesIndexInput, "tokens">> & {
  readonly model_id: string;
  /** Absent: all of the dataset. */
  readonly tokens?: number;
};

export interface IndexedThings {
  readonly model_id: string;
  readonly sae_ids: readonly string[];
  readonly dataset_id: string;
  readonly contextLength: number;
}

/** The input with its names looked up. */
export function resolveFeaturesIndex(
  input: Omit<FeaturesIndexInput, "sae_ids" | "dataset_id">,
  { contextLength, sae_ids, ...named }: IndexedThings,
): FeaturesIndexSettings {
  return {
    ...named,
    sae_ids: [...sae_ids],
    ...(input.tokens === undefined ? {} : { tokens: input.tokens }),
    context_tokens: Math.min(input.context_tokens ?? 256, contextLength),
    examples: input.examples ?? 10,
    examples_per_band: input.examples_per_band ?? 2,
    tokens_before: input.tokens_before ?? 16,
    tokens_after: input.tokens_after ?? 8,
    neighbours: input.neighbours ?? 10,
    seed: input.seed ?? 0,
  };
}

export const IndexedSae = Type.Object(
  {
    sae_id: Type.String(),
    layer: Type.Integer(),
    features: Type.Integer(),
    dead: Type.Integer({ description: "features that were active on no token, position 0 aside" }),
    dense: Type.Integer({ description: "features that were active on more than half of the tokens" }),
    registers: Type.Integer({ description: "features that are flat and always on" }),
    active_per_token: Type.Number({ description: "features active on a token, on average" }),
    summary_artifact_id: Type.String({ description: "every feature's numbers, as Parquet" }),
    details_artifact_id: Type.String({ description: "every feature's evidence, as JSON lines (FeatureDetailsLine)" }),
  },
  { title: "IndexedSae" },
);
export type IndexedSae = Static<typeof IndexedSae>;

export const FeaturesIndexResult = Type.Object(
  {
    saes: Type.Array(IndexedSae, { description: "in the order of sae_ids" }),
    tokens: Type.Integer({ description: "read, those at position 0 included" }),
    sequences: Type.Integer({ description: "samples, or pieces of them" }),
  },
  { title: "FeaturesIndexResult" },
);
export type FeaturesIndexResult = Static<typeof FeaturesIndexResult>;

/**
 * Bytes that the index of one sae takes while it is made: its counts, and per example the tokens and values of its window.
 * Pages of examples that are never filled are never touched, so this is the most.
 */
export function indexBytes(width: number, settings: FeaturesIndexSettings): number {
  const window = settings.tokens_before + 1 + settings.tokens_after;
  const examples = settings.examples + 4 * settings.examples_per_band;
  return width * (4 * 128 + 60 + examples * (18 + 8 * window));
}
