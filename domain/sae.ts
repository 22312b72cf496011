// A sparse autoencoder for one tap of one model, and its features.
import { type Static, Type } from "typebox";
import { fieldProblem, Problem } from "./problem.ts";
import { closed, IdOrName, Metadata, Name, nullable, oneOf, Timestamp } from "./schema.ts";
import { Source } from "./source.ts";

export const architectures = ["topk", "batch_topk", "jumprelu", "matryoshka_topk"] as const;
export type Architecture = (typeof architectures)[number];
export const storedPrecisions = ["float32", "bfloat16"] as const;
export const saeLayouts = ["saelens", "sparsify", "qwen_scope"] as const;
const MAX_LAYERS = 256;

export const CreateSae = closed(
  {
    name: Name,
    model_id: IdOrName,
    layer: Type.Optional(
      Type.Integer({ minimum: 0, description: "the sae reads and writes resid_post.{layer}; this or `layers`" }),
    ),
    layers: Type.Optional(
      Type.Union(
        [
          Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1, maxItems: MAX_LAYERS, uniqueItems: true }),
          closed({ from: Type.Integer({ minimum: 0 }), to: Type.Integer({ minimum: 1, description: "not included" }) }),
        ],
        { description: "several layers of one folder; the saes become {name}-layer{n} and share a release" },
      ),
    ),
    source: Source,
    layout: Type.Optional(
      oneOf(saeLayouts, {
        description:
          "saelens: cfg.json and sae_weights.safetensors; sparsify: cfg.json and sae.safetensors; qwen_scope: layer{n}.sae.pt; several layers in folders below. Needed unless the hub's repository is named as Qwen-Scope's are",
      }),
    ),
    precision: Type.Optional(
      oneOf(storedPrecisions, {
        default: "float32",
        description:
          "what the numbers are stored in; bfloat16 halves the files and rounds once. In memory they are float32",
      }),
    ),
    k: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_536,
        description:
          "features kept per token; needed for qwen_scope where no folder is named SAE-Res-{backbone}-W{width}-L0_{k}, elsewhere the files say it",
      }),
    ),
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
      {
        name: "qwen3-w32k",
        model_id: "qwen3-1.7b-base",
        layers: { from: 10, to: 14 },
        source: { type: "directory", path: "/models/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50" },
        layout: "qwen_scope",
      },
      {
        name: "qwen3-8b-w64k",
        model_id: "qwen3-8b-base",
        layers: { from: 16, to: 20 },
        source: { type: "hub", repo: "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50" },
        precision: "bfloat16",
      },
    ],
  },
);
export type CreateSae = Static<typeof CreateSae>;

export interface PlannedImport {
  readonly layer: number;
  readonly name: string;
}

/** The saes that an import makes. Throws a problem unless one of `layer` and `layers` says which. */
export function plannedImports({ name, layer, layers }: CreateSae, at = ""): PlannedImport[] {
  if (layer !== undefined && layers === undefined) return [{ layer, name }];
  if (layers === undefined || layer !== undefined) {
    const detail = layers === undefined ? "is required, or `layers`" : "`layer` and `layers` exclude each other";
    throw fieldProblem("VALIDATION_FAILED", `${at}/layer`, detail);
  }
  const list = Array.isArray(layers) ? layers : range(layers, `${at}/layers`);
  return list.map((one) => ({ layer: one, name: `${name}-layer${one}` }));
}

function range({ from, to }: { readonly from: number; readonly to: number }, pointer: string): number[] {
  if (to <= from || to - from > MAX_LAYERS) {
    const detail = `from ${from} to ${to}: between 1 and ${MAX_LAYERS} layers are needed, \`to\` is not one of them`;
    throw fieldProblem("VALIDATION_FAILED", pointer, detail);
  }
  return Array.from({ length: to - from }, (_, i) => from + i);
}

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
    feature_index: nullable(
      Type.Object(
        {
          job_id: Type.String(),
          dataset_id: Type.String({ description: "that was read; it may be gone by now" }),
          tokens: Type.Integer(),
          summary_artifact_id: Type.String({ description: "every feature's numbers, as Parquet" }),
          details_artifact_id: Type.String({ description: "every feature's evidence, as JSON lines" }),
          created_at: Timestamp,
        },
        { title: "FeatureIndex", description: "of the last features.index; null: none has run" },
      ),
    ),
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
        feature_index: null,
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
    tokens: Type.Array(Type.Object({ id: Type.Integer(), text: Type.String() }), {
      description:
        "their texts joined are the text; a character spread over several tokens stands with the last of them, the others are empty",
    }),
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
