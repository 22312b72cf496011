// A model: a causal language model in Hugging Face layout.
import { type Static, Type } from "typebox";
import { closed, Metadata, Name, nullable, oneOf, Timestamp } from "./schema.ts";
import { Source } from "./source.ts";

export const precisions = ["float32", "int8", "int4"] as const;

export const CreateModel = closed(
  {
    name: Name,
    source: Source,
    precision: Type.Optional(
      oneOf(precisions, {
        default: "float32",
        description:
          "what the weights are kept in: int8 and int4 round them in blocks of 32 once, at the import, which measures what that costs",
      }),
    ),
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateModel",
    examples: [
      { name: "qwen3-0.6b", source: { type: "directory", path: "/models/qwen3" }, precision: "float32" },
      { name: "qwen3-1.7b-base", source: { type: "hub", repo: "Qwen/Qwen3-1.7B-Base", revision: "main" } },
    ],
  },
);
export type CreateModel = Static<typeof CreateModel>;

/** What the import measured to be sure that the files compute. */
export const LogitCheck = Type.Object(
  {
    passed: Type.Boolean(),
    tokens: Type.Integer({ description: "tokens of the calibration text that were run" }),
    cross_entropy_nats: Type.Number({ description: "mean next-token cross-entropy on the calibration text" }),
    finite: Type.Boolean({ description: "every logit was finite" }),
    relative_error: Type.Optional(
      nullable(
        Type.Number({
          description:
            "max |Δ| over max |reference| of the logits against plain float64 loops; null: too large to check",
        }),
      ),
    ),
    cache_error: Type.Optional(
      nullable(Type.Number({ description: "the same between one pass and token by token with the cache" })),
    ),
  },
  { title: "LogitCheck", additionalProperties: true },
);
export type LogitCheck = Static<typeof LogitCheck>;

/** What rounding the weights did to the model, on the calibration text. */
export const PrecisionCheck = Type.Object(
  {
    tokens: Type.Integer({ description: "tokens of the calibration text that were predicted" }),
    cross_entropy_before_nats: nullable(
      Type.Number({
        description: "mean next-token cross-entropy with float32 weights; null: they did not fit the worker's memory",
      }),
    ),
    cross_entropy_after_nats: Type.Number({ description: "the same with the weights that are served" }),
    cross_entropy_change_nats: nullable(Type.Number({ description: "after minus before" })),
  },
  { title: "PrecisionCheck" },
);
export type PrecisionCheck = Static<typeof PrecisionCheck>;

export const Model = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("model"),
    created: Type.Integer({ description: "seconds since 1970, as OpenAI writes it" }),
    owned_by: Type.String(),
    name: Type.String(),
    family: Type.String({ description: "e.g. qwen3" }),
    layers: Type.Integer(),
    d_model: Type.Integer(),
    vocab_size: Type.Integer(),
    context_length: Type.Integer(),
    precision: Type.String(),
    precision_check: nullable(PrecisionCheck),
    digest: Type.String({ description: "of the weights, as they are served, and the configuration" }),
    logit_check: nullable(LogitCheck),
    residual_norms: Type.Array(nullable(Type.Number()), {
      description:
        "m_n: median L2 norm of resid_post.n over the calibration text, without position 0 and without norms above 10 times the median",
    }),
    metadata: Metadata,
    created_at: Timestamp,
  },
  {
    title: "Model",
    examples: [
      {
        id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac",
        object: "model",
        created: 1_795_348_800,
        owned_by: "workspace",
        name: "qwen3-0.6b",
        family: "qwen3",
        layers: 28,
        d_model: 1024,
        vocab_size: 151_936,
        context_length: 40_960,
        precision: "int8",
        precision_check: {
          tokens: 500,
          cross_entropy_before_nats: 3.015,
          cross_entropy_after_nats: 3.02,
          cross_entropy_change_nats: 0.005,
        },
        digest: `sha256:${"0f".repeat(32)}`,
        logit_check: {
          passed: true,
          tokens: 512,
          cross_entropy_nats: 3.02,
          finite: true,
          relative_error: 4e-7,
          cache_error: 2e-7,
        },
        residual_norms: [14.2, 17.9, 21.4],
        metadata: {},
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Model = Static<typeof Model>;

export const ModelImportResult = Type.Object({ model_id: Type.String() }, { title: "ModelImportResult" });
export type ModelImportResult = Static<typeof ModelImportResult>;
