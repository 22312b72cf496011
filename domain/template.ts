// Prompt templates as a resource: the ready ones and a workspace's own, in one list.
import { type Static, Type } from "typebox";
import { ColumnMapping } from "./dataset.ts";
import { fieldProblem } from "./problem.ts";
import { parsePromptTemplate, placeForms } from "./prompt-template.ts";
import { type FileShape, readyTemplates } from "./ready-templates.ts";
import { closed, Name, nullable, Timestamp } from "./schema.ts";
import type { NamedShape } from "./template-fit.ts";

/** Own templates of one workspace: every upload is held against all of them. */
export const maximumTemplates = 200;
/** What an upload says to be taken as it is. */
export const noTemplate = "none";

const forms = Object.entries(placeForms).map(([form, meaning]) => `|${form} (${meaning})`);
const TemplateText = Type.String({
  minLength: 1,
  maxLength: 10_000,
  description: `the prompt of a sample, with {column} or {path.to.field} in the places of its fields; forms: ${forms.join("; ")}`,
});
const ColumnNames = Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { minItems: 1, maxItems: 256 });

export const CreateTemplate = closed(
  {
    name: Name,
    template: TemplateText,
    shot: Type.Optional(Type.String({ minLength: 1, maxLength: 10_000, description: "how a solved example reads" })),
    purpose: Type.Optional(Type.String({ maxLength: 500 })),
    columns: Type.Optional(
      Type.Union([ColumnNames], {
        description:
          "a file whose first row has all these columns (or dotted paths) is recognised as one for this template",
      }),
    ),
    header: Type.Optional(
      Type.Union([ColumnNames], {
        description: "names for the columns of a CSV file without a header, used when an upload names this template",
      }),
    ),
    mapping: Type.Optional(ColumnMapping),
  },
  {
    title: "CreateTemplate",
    examples: [
      {
        name: "trivia",
        template: "Q: {clue}\nA:",
        shot: "Q: {clue}\nA: {answer}",
        columns: ["clue", "answer"],
        mapping: { text: "clue" },
      },
    ],
  },
);
export type CreateTemplate = Static<typeof CreateTemplate>;

export const Template = Type.Object(
  {
    object: Type.Literal("template"),
    name: Type.String({ description: "what `template` takes in uploads and in benchmark.analyze" }),
    ready: Type.Boolean({ description: "part of the product; false: the workspace's own" }),
    purpose: Type.String(),
    template: Type.String(),
    shot: nullable(Type.String()),
    recognised_by: Type.Array(Type.Array(Type.String()), {
      description: "sets of columns; a file that has all of one set is recognised, where the values look right too",
    }),
    headers: Type.Array(Type.Array(Type.String()), { description: "column names of files that come without a header" }),
    created_at: nullable(Timestamp),
  },
  {
    title: "Template",
    examples: [
      {
        object: "template",
        name: "gsm8k",
        ready: true,
        purpose: "GSM8K: word problems; the answer is the worked solution, ending in #### and the number",
        template: "Question: {question}\nAnswer:",
        shot: "Question: {question}\nAnswer: {answer}",
        recognised_by: [["question", "answer"]],
        headers: [],
        created_at: null,
      },
    ],
  },
);
export type Template = Static<typeof Template>;

/** @throws Problem VALIDATION_FAILED pointing at what cannot be used: a reserved name, a template that is only a name, a bad place */
export function checkTemplate(given: CreateTemplate): void {
  if (Object.hasOwn(readyTemplates, given.name) || given.name === noTemplate)
    throw fieldProblem("NAME_TAKEN", "/name", `"${given.name}" is the name of a ready template`);
  for (const field of ["template", "shot"] as const) {
    const text = given[field];
    if (text === undefined) continue;
    if (!text.includes("{"))
      throw fieldProblem(
        "VALIDATION_FAILED",
        `/${field}`,
        "it has no place such as {question}: every prompt would be the same",
      );
    parsePromptTemplate(text, `/${field}`);
  }
}

export function describeReady(): Template[] {
  return Object.entries(readyTemplates).map(([name, { purpose, template, shot, shapes = [] }]) => ({
    object: "template",
    name,
    ready: true,
    purpose,
    template,
    shot: shot ?? null,
    recognised_by: shapes.map(({ columns }) => [...columns]),
    headers: shapes.flatMap(({ header }) => (header === undefined ? [] : [[...header]])),
    created_at: null,
  }));
}

export function readyShapes(): NamedShape[] {
  return Object.entries(readyTemplates).flatMap(([template, { shapes = [] }]) =>
    shapes.map((shape) => ({ ...shape, template })),
  );
}

/** The one shape of an own template; without columns and header it fits nothing by itself. */
export function ownShape(given: Pick<CreateTemplate, "name" | "columns" | "header" | "mapping">): NamedShape | null {
  const columns = given.columns ?? given.header;
  if (columns === undefined) return null;
  const shape: FileShape = {
    columns,
    ...(given.header ? { header: given.header } : {}),
    ...(given.mapping ? { mapping: given.mapping } : {}),
  };
  return { ...shape, template: given.name };
}
