// What the beginning of a file shows before a dataset is made of it.
import { type Static, Type } from "typebox";
import { DatasetSample } from "./dataset.ts";
import { ProblemDetails } from "./problem.ts";
import { nullable } from "./schema.ts";

export const previewRows = 20;
export const previewPrompts = 3;

export const PreviewColumn = Type.Object(
  {
    name: Type.String({ description: "a column, or the dotted path of a field inside one: what a mapping takes" }),
    types: Type.Array(Type.String(), { description: "string, number, boolean, list, object, null: those that occur" }),
    examples: Type.Array(Type.String(), { description: "up to three values, shortened" }),
    filled: Type.Integer({ description: "of the rows read, how many have a value that is not null or empty" }),
  },
  { title: "PreviewColumn" },
);
export type PreviewColumn = Static<typeof PreviewColumn>;

export const DatasetPreview = Type.Object(
  {
    format: nullable(Type.String({ description: "jsonl, json, json_objects, csv, tsv, text or parquet" })),
    gzip: Type.Boolean(),
    columns: Type.Array(PreviewColumn, { description: "of the file, as it comes" }),
    mapping: Type.Record(Type.String(), Type.String(), {
      description: "well-known column ← column of the file: what was given, over what the template says",
    }),
    template: nullable(Type.String({ description: "the one that was named, or that the columns fit" })),
    rows: Type.Array(DatasetSample, {
      description: `the first samples (up to ${previewRows}) as the dataset would hold them`,
    }),
    prompts: Type.Array(Type.String(), { description: "the first of them as the template renders them" }),
    problem: nullable(Type.Unsafe<Static<typeof ProblemDetails>>(ProblemDetails)),
  },
  {
    title: "DatasetPreview",
    examples: [
      {
        format: "jsonl",
        gzip: false,
        columns: [
          { name: "question", types: ["string"], examples: ["How many legs have two dogs?"], filled: 1 },
          { name: "answer", types: ["string"], examples: ["2 * 4 = 8\n#### 8"], filled: 1 },
        ],
        mapping: {},
        template: "gsm8k",
        rows: [
          {
            question: "How many legs have two dogs?",
            answer: "2 * 4 = 8\n#### 8",
            text: "How many legs have two dogs?",
          },
        ],
        prompts: ["Question: How many legs have two dogs?\nAnswer:"],
        problem: null,
      },
    ],
  },
);
export type DatasetPreview = Static<typeof DatasetPreview>;
