// Datasets: immutable lists of samples.
import { type Static, Type } from "typebox";
import { closed, dictionary, type JsonValue, Metadata, Name, nullable, Timestamp } from "./schema.ts";

/** Columns that have a meaning to jobs; every other column is kept as it is. */
export const wellKnownColumns = [
  "text",
  "prompt",
  "question",
  "answer",
  "choices",
  "label",
  "language",
  "messages",
  "id",
] as const;

/** One sample: its own columns, with the well-known names filled in by the mapping. `text` is always there. */
export interface Sample {
  text: string;
  [column: string]: JsonValue;
}

export const maximumInlineSamples = 10_000;

/** Well-known name ← name of the source column (or a dotted path into it). */
export const ColumnMapping = dictionary(Type.String({ minLength: 1, maxLength: 256 }), 64, {
  maxProperties: 32,
  description: `well-known column (${wellKnownColumns.join(", ")}) ← your column, e.g. {"text": "content"}`,
});
export type ColumnMapping = Static<typeof ColumnMapping>;

/** Which prompt template the file is for. */
export const TemplateChoice = Type.String({
  minLength: 1,
  maxLength: 100,
  description:
    "the prompt template that the file is for, which also says how its columns are mapped: a name of GET /v1/templates, or `none`; recognised by the columns if absent",
});

export const CreateDataset = closed(
  {
    name: Name,
    samples: Type.Array(dictionary(Type.Unknown(), 256), {
      minItems: 1,
      maxItems: maximumInlineSamples,
    }),
    mapping: Type.Optional(ColumnMapping),
    template: Type.Optional(TemplateChoice),
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateDataset",
    examples: [{ name: "greetings", samples: [{ text: "Good morning.", label: "polite" }] }],
  },
);
export type CreateDataset = Static<typeof CreateDataset>;

export const CreateDatasetFromArtifact = closed(
  {
    name: Name,
    artifact_id: Type.String({ description: "an uploaded file: JSONL, CSV, TSV, Parquet or text, also gzipped" }),
    file_name: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: "tells the format" })),
    mapping: Type.Optional(ColumnMapping),
    template: Type.Optional(TemplateChoice),
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateDatasetFromArtifact",
    examples: [{ name: "gsm8k", artifact_id: "artifact_01jd5xk0m4q8v7w2r3t5y6z8ag", file_name: "gsm8k.jsonl" }],
  },
);
export type CreateDatasetFromArtifact = Static<typeof CreateDatasetFromArtifact>;

export const Dataset = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("dataset"),
    name: Type.String(),
    samples: Type.Integer({ description: "how many" }),
    columns: Type.Array(Type.String()),
    template: nullable(
      Type.String({
        description: "the prompt template that its files are for; benchmark.analyze uses it where it is told no other",
      }),
    ),
    size_bytes: Type.Integer(),
    digest: Type.String(),
    metadata: Metadata,
    created_at: Timestamp,
  },
  {
    title: "Dataset",
    examples: [
      {
        id: "dataset_01jd5xk0m4q8v7w2r3t5y6z8af",
        object: "dataset",
        name: "greetings",
        samples: 2,
        columns: ["text", "label"],
        template: null,
        size_bytes: 84,
        digest: `sha256:${"0d".repeat(32)}`,
        metadata: {},
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Dataset = Static<typeof Dataset>;

export const DatasetSample = Type.Record(Type.String(), Type.Unknown(), {
  title: "Sample",
  examples: [{ text: "Good morning.", label: "polite" }],
  description: "the row's columns, with the well-known names filled in by the mapping; `text` is always there",
});
export type DatasetSample = Static<typeof DatasetSample>;
