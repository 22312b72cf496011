// features.label: a language model says what features stand for, and is tested on examples that it has not seen.
import { type Static, Type } from "typebox";
import { ChatEndpoint, ChatPrices, SpendingLimit } from "./chat-endpoint.ts";
import { closed, IdOrName, nullable, oneOf } from "./schema.ts";

export const maximumLabelledFeatures = 100_000;

/** Which labels a job may replace. */
export const labelReplacements = ["none", "model", "all"] as const;

export const FeaturesLabelInput = closed(
  {
    sae_id: IdOrName,
    features: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0 }), {
        minItems: 1,
        maxItems: maximumLabelledFeatures,
        uniqueItems: true,
        description:
          "which; absent: `count` of those that are active and neither dense nor labelled, drawn with the seed",
      }),
    ),
    count: Type.Optional(
      Type.Integer({ minimum: 1, maximum: maximumLabelledFeatures, default: 100, description: "without `features`" }),
    ),
    endpoint: ChatEndpoint,
    examples: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 50,
        default: 10,
        description: "shown to the model that finds the label, at most",
      }),
    ),
    test_examples: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 50,
        default: 10,
        description:
          "of each kind, with which the label is tested: held-out texts on which the feature is active, and texts on which it is not; 0: no test, no score",
      }),
    ),
    dataset_id: Type.Optional(
      Type.Union([IdOrName], {
        description: "where texts come from on which a feature is not active; absent: the dataset of the index",
      }),
    ),
    minimum_score: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        default: 0,
        description: "labels that score less, or could not be tested, are reported and not written",
      }),
    ),
    replace: Type.Optional(
      oneOf(labelReplacements, {
        default: "none",
        description: "labels that may be replaced: none, those that a model wrote, or all, also a person's",
      }),
    ),
    limit: Type.Optional(SpendingLimit),
    prices: Type.Optional(ChatPrices),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 })),
  },
  {
    title: "FeaturesLabelInput",
    examples: [
      {
        sae_id: "demo-small-topk-layer3",
        features: [1655],
        endpoint: { url: "https://api.openai.com/v1", model: "gpt-4o-mini", secret: "openai" },
        limit: { tokens: 200_000 },
      },
    ],
  },
);
export type FeaturesLabelInput = Static<typeof FeaturesLabelInput>;

/** The input with names resolved, features chosen and defaults written out. */
export type FeaturesLabelSettings = Omit<FeaturesLabelInput, "features" | "count" | "endpoint" | "dataset_id"> & {
  readonly features: readonly number[];
  readonly endpoint: Required<Omit<ChatEndpoint, "secret">> & { readonly secret?: string };
  readonly dataset_id: string;
  readonly examples: number;
  readonly test_examples: number;
  readonly minimum_score: number;
  readonly replace: (typeof labelReplacements)[number];
  readonly limit: { readonly tokens: number; readonly cost?: number };
  readonly seed: number;
};

export const labelOutcomes = ["labelled", "below_minimum", "kept", "no_examples", "no_answer"] as const;
export type LabelOutcome = (typeof labelOutcomes)[number];

export const FeaturesLabelResult = Type.Object(
  {
    sae_id: Type.String(),
    features: Type.Integer({ description: "asked for" }),
    outcomes: Type.Object(
      Object.fromEntries(labelOutcomes.map((outcome) => [outcome, Type.Integer()])) as Record<
        LabelOutcome,
        ReturnType<typeof Type.Integer>
      >,
      {
        description:
          "how many got a label, scored below the minimum, kept the label that they had, have no examples, or got no answer that could be read",
      },
    ),
    left: Type.Integer({ description: "not reached, because the limit was" }),
    mean_score: nullable(Type.Number({ description: "of those that could be tested" })),
    stopped_by: nullable(oneOf(["tokens", "cost"], { description: "the limit that ended it early" })),
    usage: Type.Object({
      requests: Type.Integer(),
      input_tokens: Type.Integer(),
      output_tokens: Type.Integer(),
      cost: nullable(Type.Number({ description: "where prices were given" })),
      cached_features: Type.Integer({ description: "taken from earlier answers, at no cost" }),
    }),
    report_artifact_id: Type.String({
      description: "JSON lines: label, explanation, score and its evidence by feature",
    }),
  },
  { title: "FeaturesLabelResult" },
);
export type FeaturesLabelResult = Static<typeof FeaturesLabelResult>;
