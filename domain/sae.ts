// A sparse autoencoder for one tap of one model, and its features.
import { type Static, Type } from "typebox";
import { Problem } from "./problem.ts";
import { closed, IdOrName, Metadata, Name, nullable, oneOf, Timestamp } from "./schema.ts";
import { Source } from "./source.ts";

export const architectures = ["topk"] as const;
export const saeLayouts = ["saelens"] as const;

export const CreateSae = closed(
  {
    name: Name,
    model_id: IdOrName,
    layer: Type.Integer({ minimum: 0, description: "the sae reads and writes resid_post.{layer}" }),
    source: Source,
    layout: oneOf(saeLayouts, { description: "how the files are laid out" }),
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateSae",
    examples: [
      {
        name: "qwen3-layer10",
        model_id: "qwen3-0.6b",
        layer: 10,
        source: { type: "directory", path: "/models/saes/layer10" },
        layout: "saelens",
      },
    ],
  },
);
export type CreateSae = Static<typeof CreateSae>;

export const Sae = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("sae"),
    name: Type.String(),
    model_id: Type.String(),
    release_id: nullable(Type.String({ description: "the saes trained together share it" })),
    tap: Type.String({ description: "resid_post.{layer}" }),
    layer: Type.Integer(),
    architecture: Type.String(),
    width: Type.Integer({ description: "number of features" }),
    k: nullable(Type.Integer({ description: "features kept per token" })),
    d_model: Type.Integer(),
    digest: Type.String({ description: "of the weights" }),
    metrics: Type.Record(Type.String(), nullable(Type.Number()), {
      description: "as measured on held-out text; the names are those of the metric table (domain/metric.ts)",
    }),
    job_id: nullable(Type.String({ description: "the job that made it" })),
    metadata: Metadata,
    created_at: Timestamp,
  },
  {
    title: "Sae",
    examples: [
      {
        id: "sae_01jd5xk0m4q8v7w2r3t5y6z8ad",
        object: "sae",
        name: "qwen3-layer10",
        model_id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac",
        release_id: "release_01jd5xk0m4q8v7w2r3t5y6z8ae",
        tap: "resid_post.10",
        layer: 10,
        architecture: "topk",
        width: 16_384,
        k: 50,
        d_model: 1024,
        digest: `sha256:${"0e".repeat(32)}`,
        metrics: { fraction_variance_unexplained: 0.21, l0_per_token: 50, dead_fraction: 0.01 },
        job_id: null,
        metadata: {},
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Sae = Static<typeof Sae>;

export const SaeImportResult = Type.Object({ sae_ids: Type.Array(Type.String()) }, { title: "SaeImportResult" });
export type SaeImportResult = Static<typeof SaeImportResult>;

export const FeatureRef = Type.String({
  pattern: "^[^:]{1,128}:[0-9]{1,9}$",
  description: "{sae id or name}:{index}",
});

export interface ParsedFeature {
  readonly sae: string;
  readonly index: number;
}

export function parseFeature(reference: string, pointer = ""): ParsedFeature {
  const match = /^([^:]{1,128}):([0-9]{1,9})$/.exec(reference);
  if (!match?.[1] || match[2] === undefined) {
    const detail = `"${reference}" is not of the form {sae}:{index}`;
    throw new Problem("FEATURE_NOT_FOUND", detail, { errors: [{ pointer, detail }] });
  }
  return { sae: match[1], index: Number(match[2]) };
}

export const maximumEncodeTexts = 64;
/** Of all texts together: every token answers with its active features, and a worker reads them in one go. */
export const maximumEncodeTokens = 16_384;

export const EncodeRequest = closed(
  {
    texts: Type.Array(Type.String({ minLength: 1, maxLength: 100_000 }), {
      minItems: 1,
      maxItems: maximumEncodeTexts,
      description: `each within the model's context; together at most ${maximumEncodeTokens} tokens, those that the tokenizer adds included`,
    }),
  },
  { title: "EncodeRequest", examples: [{ texts: ["The weather is fine."] }] },
);
export type EncodeRequest = Static<typeof EncodeRequest>;

export const EncodedText = Type.Object(
  {
    tokens: Type.Array(Type.Object({ id: Type.Integer(), text: Type.String() })),
    features: Type.Array(Type.Array(Type.Object({ index: Type.Integer(), value: Type.Number() })), {
      description: "per token the active features, strongest first",
    }),
  },
  { title: "EncodedText" },
);
export type EncodedText = Static<typeof EncodedText>;

export const EncodeResponse = Type.Object(
  {
    object: Type.Literal("encoding"),
    sae_id: Type.String(),
    model_id: Type.String(),
    results: Type.Array(EncodedText),
  },
  {
    title: "EncodeResponse",
    examples: [
      {
        object: "encoding",
        sae_id: "sae_01jd5xk0m4q8v7w2r3t5y6z8ad",
        model_id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac",
        results: [{ tokens: [{ id: 785, text: "The" }], features: [[{ index: 6159, value: 4.5 }]] }],
      },
    ],
  },
);
export type EncodeResponse = Static<typeof EncodeResponse>;
