// Which features tell one set of texts from others: the shortlist for steering, labelling and classification.
import { type Static, Type } from "typebox";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";

export const contrastStatistics = ["mean_difference", "firing_rate_difference", "auc", "repetition"] as const;
export const maximumContrastTexts = 10_000;

export const ContrastSet = closed(
  {
    texts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 200_000 }), { minItems: 1, maxItems: maximumContrastTexts }),
    ),
    dataset_id: Type.Optional(IdOrName),
    where: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 100 }), Type.String({ maxLength: 512 }), {
        minProperties: 1,
        maxProperties: 8,
        description: 'of the dataset, the samples whose columns have these values, e.g. {"language": "zh"}',
      }),
    ),
  },
  { title: "ContrastSet", description: "Either `texts`, or a dataset or a part of it." },
);
export type ContrastSet = Static<typeof ContrastSet>;

export const FeaturesContrastInput = closed(
  {
    sae_ids: Type.Array(IdOrName, { minItems: 1, maxItems: 256, uniqueItems: true, description: "saes of one model" }),
    positive: ContrastSet,
    negative: Type.Optional(
      Type.Union([ContrastSet, Type.Array(ContrastSet, { minItems: 1, maxItems: 64 })], {
        description:
          "one set, or several that count alike (the other languages, for a language's features); not for repetition",
      }),
    ),
    statistic: Type.Optional(
      oneOf(contrastStatistics, {
        default: "mean_difference",
        description:
          "mean_difference: mean activation per token, positive minus the mean of the negative sets. firing_rate_difference: share of samples in which the feature fires anywhere. auc: probability that a positive sample's largest activation is above a negative's. repetition: activation at the last occurrence of a token minus at its first, over tokens that repeat within a positive sample",
      }),
    ),
    top: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 20 })),
    per_layer: Type.Optional(Type.Boolean({ default: false, description: "`top` features of every sae, not of all" })),
    direction: Type.Optional(
      oneOf(["positive", "negative", "both"], { default: "positive", description: "which end of the ranking" }),
    ),
    leave_out: Type.Optional(
      closed({
        first_position: Type.Optional(Type.Boolean({ default: true })),
        special_tokens: Type.Optional(Type.Boolean({ default: true })),
        shared_prefix: Type.Optional(Type.Boolean({ default: false, description: "what all texts begin with" })),
        shared_tokens: Type.Optional(
          Type.Boolean({ default: false, description: "tokens that occur on both sides, wherever they are" }),
        ),
        registers: Type.Optional(
          Type.Boolean({ default: true, description: "features that fire on most tokens of every set" }),
        ),
      }),
    ),
    shuffles: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 10_000, default: 200, description: "for p-values; 0: none" }),
    ),
    draws: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 10_000, default: 500, description: "for 95 % intervals; 0: none" }),
    ),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
  },
  {
    title: "FeaturesContrastInput",
    examples: [
      {
        sae_ids: ["demo-small-topk-layer3"],
        positive: { texts: ["我喜欢喝茶。"] },
        negative: { texts: ["I like to drink tea."] },
        statistic: "mean_difference",
        top: 20,
      },
    ],
  },
);
export type FeaturesContrastInput = Static<typeof FeaturesContrastInput>;

/** The input with every default written out. */
export type FeaturesContrastSettings = Required<Omit<FeaturesContrastInput, "negative" | "leave_out">> & {
  readonly model_id: string;
  readonly negative: readonly ContrastSet[];
  readonly leave_out: Required<NonNullable<FeaturesContrastInput["leave_out"]>>;
};

const Interval = Type.Object({ low: Type.Number(), high: Type.Number() });

export const ContrastedFeature = Type.Object(
  {
    feature: Type.String({ description: "{sae_id}:{index}" }),
    layer: Type.Integer(),
    value: Type.Number({ description: "of the statistic" }),
    positive_rate: Type.Number({ description: "share of positive samples in which it fires" }),
    negative_rate: nullable(Type.Number({ description: "of all negative samples" })),
    positive_mean: Type.Number({ description: "mean activation per token" }),
    negative_mean: nullable(Type.Number()),
    interval: nullable(Interval),
    p_value: nullable(Type.Number({ description: "by shuffling which samples are positive, two-sided" })),
    p_adjusted: nullable(Type.Number({ description: "corrected for the number of features looked at (max-T)" })),
  },
  { title: "ContrastedFeature" },
);
export type ContrastedFeature = Static<typeof ContrastedFeature>;

export const FeaturesContrastResult = Type.Object(
  {
    features: Type.Array(ContrastedFeature),
    samples: Type.Object({ positive: Type.Integer(), negative: Type.Integer() }),
    tokens: Type.Object({ positive: Type.Integer(), negative: Type.Integer() }),
    registers: Type.Array(Type.String(), { description: "features left out because they fire on most tokens" }),
    ranking_artifact_id: Type.String({ description: "every feature that fired, as CSV" }),
  },
  { title: "FeaturesContrastResult" },
);
export type FeaturesContrastResult = Static<typeof FeaturesContrastResult>;
