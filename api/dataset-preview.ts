// Reads the beginning of a file as a dataset would be made of it, and keeps nothing.
import type { ColumnMapping, Sample } from "../domain/dataset.ts";
import { type DatasetPreview, type PreviewColumn, previewPrompts, previewRows } from "../domain/dataset-preview.ts";
import { isProblem, type Problem, toProblemDetails } from "../domain/problem.ts";
import { parsePromptTemplate } from "../domain/prompt-template.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { type OpenedDataset, openDataset } from "../formats/dataset.ts";
import { isRecord } from "../formats/row.ts";
import type { Platform } from "../platform/platform.ts";
import { choiceOfShapes, resolveTemplate } from "./templates.ts";

const exampleCount = 3;
const exampleLength = 200;

export interface PreviewedFile {
  readonly content: ByteSource;
  readonly fileName: string;
  readonly mapping?: ColumnMapping | undefined;
  readonly template?: string | undefined;
  readonly partial?: boolean | undefined;
}

/** A file that cannot be read is no failure of the request: what is wrong with it is a part of the answer. */
export async function previewDataset(
  platform: Platform,
  workspaceId: string,
  file: PreviewedFile,
): Promise<DatasetPreview> {
  const { shapes, template: named } = await choiceOfShapes(platform, workspaceId, file.template);
  const fields: Record<string, unknown>[] = [];
  const rows: Sample[] = [];
  let opened: OpenedDataset | null = null;
  let problem: Problem | null = null;
  try {
    opened = await openDataset(file.content, {
      fileName: file.fileName,
      shapes,
      shapeAsked: named !== null,
      partial: file.partial ?? false,
      ...(file.mapping ? { mapping: file.mapping } : {}),
    });
    for await (const { row, sample } of opened.samples) {
      fields.push(row.fields);
      rows.push(sample);
      if (rows.length === previewRows) break;
    }
  } catch (error) {
    problem = refusedBy(error);
    // Where the mapping is what fails, the columns are what the reader needs to mend it.
    if (opened?.firstRow && fields.length === 0) fields.push(opened.firstRow.fields);
  }
  const template = named ?? opened?.shape?.template ?? null;
  let prompts: string[] = [];
  try {
    prompts = await promptsOf(platform, workspaceId, rows, template ?? "text");
  } catch (error) {
    problem ??= refusedBy(error);
  }
  return {
    format: opened?.format ?? null,
    gzip: opened?.gzip ?? false,
    columns: columnsOf(fields),
    mapping: opened?.mapping ?? {},
    template,
    rows,
    prompts,
    problem: problem === null ? null : toProblemDetails(problem),
  };
}

async function promptsOf(platform: Platform, workspaceId: string, rows: readonly Sample[], name: string) {
  const { template } = await resolveTemplate(platform, workspaceId, name, "/template");
  const parsed = parsePromptTemplate(template);
  return rows.slice(0, previewPrompts).map((sample, i) => parsed.render(sample, i + 1));
}

function refusedBy(error: unknown): Problem {
  if (isProblem(error)) return error;
  throw error;
}

/** Every column, and one level of the fields inside objects, which a mapping can reach as well. */
function columnsOf(rows: readonly Record<string, unknown>[]): PreviewColumn[] {
  const values = new Map<string, unknown[]>();
  const add = (name: string, value: unknown) => values.set(name, [...(values.get(name) ?? []), value]);
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      add(name, value);
      if (isRecord(value)) for (const [key, inner] of Object.entries(value)) add(`${name}.${key}`, inner);
    }
  }
  return [...values].map(([name, found]) => {
    const filled = found.filter((value) => value !== null && value !== undefined && value !== "");
    const examples = [...new Set(filled.map(shown))].slice(0, exampleCount);
    return { name, types: [...new Set(found.map(typeOf))].sort(), examples, filled: filled.length };
  });
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > exampleLength ? `${text.slice(0, exampleLength).toWellFormed()}…` : text;
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}
