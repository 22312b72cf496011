// One latent of an sae as the service shows it: its numbers, its examples, its label. Where it comes from: feature-index.ts.
import { type Static, Type } from "typebox";
import { PageQuery } from "./page.ts";
import { closed, nullable, oneOf } from "./schema.ts";

export const FeatureToken = Type.Object({
  id: Type.Integer(),
  text: Type.String(),
  logit: Type.Number({ description: "of the decoder direction through final norm and unembedding" }),
});

export const FeatureNeighbour = Type.Object({
  index: Type.Integer(),
  cosine: Type.Number({ description: "of the decoder directions" }),
});

export const FeatureExample = Type.Object(
  {
    band: Type.Integer({
      minimum: 0,
      description:
        "0: one of the strongest. n ≥ 1: drawn from the sequences whose largest value is n − 1 octaves below the octave of the maximum",
    }),
    value: Type.Number({ description: "activation at the token that the example is of" }),
    quantile: Type.Number({ description: "share of the feature's active tokens whose value is not larger" }),
    sample: Type.Integer({ description: "number of the sample in the dataset, from 0" }),
    position: Type.Integer({ description: "of that token in the sample as the model reads it" }),
    at: Type.Integer({ description: "index of that token in `tokens`" }),
    tokens: Type.Array(
      Type.Object({
        id: Type.Integer(),
        text: Type.String(),
        value: Type.Number({ description: "the feature's activation there; 0 where it is not active" }),
      }),
    ),
  },
  { title: "FeatureExample" },
);
export type FeatureExample = Static<typeof FeatureExample>;

export const FeatureHistogram = Type.Object(
  {
    edges: Type.Array(Type.Number(), { description: "ascending; one more than counts; four to the octave" }),
    counts: Type.Array(Type.Integer(), { description: "active tokens with edge[i] ≤ value < edge[i + 1]" }),
  },
  { title: "FeatureHistogram" },
);

/** What a line of an index's details says of one feature, beside the numbers of its row. */
const found = {
  first_position_max: Type.Number({ description: "largest activation at position 0" }),
  histogram: FeatureHistogram,
  examples: Type.Array(FeatureExample, { description: "strongest first, then band by band" }),
  promoted: Type.Array(FeatureToken, { description: "tokens with the largest logits, largest first" }),
  suppressed: Type.Array(FeatureToken, { description: "tokens with the smallest logits, smallest first" }),
  neighbours: Type.Array(FeatureNeighbour, { description: "nearest first" }),
};

export const FeatureDetailsLine = Type.Object({ index: Type.Integer(), ...found }, { title: "FeatureDetailsLine" });
export type FeatureDetailsLine = Static<typeof FeatureDetailsLine>;

export const labelSources = ["human", "model", "import"] as const;
const LabelText = Type.String({ minLength: 1, maxLength: 2000, pattern: "\\S" });
const Source = oneOf(labelSources, { description: "who said so: a person, a features.label job, or an imported file" });
const Score = Type.Number({ minimum: 0, maximum: 1, description: "how well the label predicts the activations" });

export const FeatureLabel = Type.Object(
  { text: Type.String(), source: Source, score: nullable(Score) },
  { title: "FeatureLabel" },
);
export type FeatureLabel = Static<typeof FeatureLabel>;

const measured = (description: string) => nullable(Type.Number({ description }));

const summary = {
  id: Type.String({ description: "{sae_id}:{index}" }),
  object: Type.Literal("feature"),
  sae_id: Type.String(),
  index: Type.Integer(),
  firing_count: nullable(Type.Integer({ description: "tokens on which it was active, position 0 aside" })),
  firing_rate: measured("share of the tokens on which it was active, position 0 aside"),
  mean: measured("mean activation over all tokens, position 0 aside"),
  mean_when_active: measured("mean activation over the tokens on which it was active; null where it never was"),
  max_activation: measured("the largest; a_f of the unit max_activation"),
  first_position_rate: measured("share of the sequences at whose position 0 it was active"),
  decoder_norm: measured("‖W_dec[f]‖"),
  dense: nullable(Type.Boolean({ description: "active on more than half of the tokens" })),
  register: nullable(
    Type.Boolean({
      description:
        "flat and always on: active on ≥ 90 % of the tokens, or on ≥ 50 % with a coefficient of variation ≤ 0.25",
    }),
  ),
  top_tokens: Type.Array(Type.String(), { description: "the tokens that it promotes most" }),
  label: nullable(FeatureLabel),
};

const exampleSummary = {
  id: "sae_01jd5xk0m4q8v7w2r3t5y6z8ad:6159",
  object: "feature",
  sae_id: "sae_01jd5xk0m4q8v7w2r3t5y6z8ad",
  index: 6159,
  firing_count: 4100,
  firing_rate: 0.041,
  mean: 0.12,
  mean_when_active: 2.9,
  max_activation: 9.5,
  first_position_rate: 0,
  decoder_norm: 1,
  dense: false,
  register: false,
  top_tokens: ["的", "是"],
  label: { text: "Chinese text", source: "human", score: null },
};

export const Feature = Type.Object(summary, {
  title: "Feature",
  description: "Numbers are null until `features.index` has measured them.",
  examples: [exampleSummary],
});
export type Feature = Static<typeof Feature>;

export const FeatureDetail = Type.Object(
  {
    ...summary,
    tokens: nullable(Type.Integer({ description: "looked at, position 0 aside" })),
    dataset_id: nullable(Type.String({ description: "that was read" })),
    first_position_max: nullable(found.first_position_max),
    histogram: nullable(FeatureHistogram),
    examples: found.examples,
    promoted: found.promoted,
    suppressed: found.suppressed,
    neighbours: Type.Array(
      Type.Object({
        ...FeatureNeighbour.properties,
        label: nullable(Type.String({ description: "its label's text" })),
      }),
    ),
  },
  {
    title: "FeatureDetail",
    description: "A feature with its evidence. Lists are empty until `features.index` has filled them.",
    examples: [
      {
        ...exampleSummary,
        tokens: 100_000,
        dataset_id: "dataset_01jd5xk0m4q8v7w2r3t5y6z8ae",
        first_position_max: 0,
        histogram: { edges: [4, 4.757, 5.657], counts: [310, 240] },
        examples: [
          {
            ...{ band: 0, value: 9.5, quantile: 1, sample: 12, position: 7, at: 1 },
            tokens: [
              { id: 785, text: "好", value: 6.5 },
              { id: 99489, text: "的", value: 9.5 },
            ],
          },
        ],
        promoted: [{ id: 99489, text: "的", logit: 3.1 }],
        suppressed: [{ id: 785, text: "The", logit: -2.2 }],
        neighbours: [{ index: 77, cosine: 0.43, label: null }],
      },
    ],
  },
);
export type FeatureDetail = Static<typeof FeatureDetail>;

export const featureSorts = ["index", "firing_rate", "max_activation", "decoder_norm", "relevance"] as const;
export type FeatureSort = (typeof featureSorts)[number];

export const FeatureQuery = closed({
  ...PageQuery.properties,
  query: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: "\\S",
      description:
        "words of labels (stemmed, typos forgiven), or a token that the feature promotes; only features that match are listed",
    }),
  ),
  sort: Type.Optional(oneOf(featureSorts, { description: "relevance if absent and there is a query, else index" })),
  order: Type.Optional(
    oneOf(["asc", "desc"], { description: "asc for index, desc for the others if absent; null comes last" }),
  ),
  labelled: Type.Optional(Type.Boolean({ description: "only features with a label, or only those without" })),
});
export type FeatureQuery = Static<typeof FeatureQuery>;

export const EditFeature = closed(
  { label: nullable(LabelText) },
  { title: "EditFeature", description: "null removes the label.", examples: [{ label: "Chinese text" }] },
);

/** One line of labels as they are exported and imported. */
export const LabelLine = closed(
  {
    index: Type.Integer({ minimum: 0 }),
    label: LabelText,
    source: Type.Optional(Source),
    score: Type.Optional(nullable(Score)),
  },
  { title: "LabelLine", examples: [{ index: 6159, label: "Chinese text", source: "human", score: null }] },
);
export type LabelLine = Static<typeof LabelLine>;

export const LabelImport = Type.Object(
  {
    object: Type.Literal("label_import"),
    sae_id: Type.String(),
    imported: Type.Integer({ description: "features that have the label of their line now" }),
    kept: Type.Integer({ description: "features left alone, because they had a label and `replace` was false" }),
  },
  { title: "LabelImport" },
);
