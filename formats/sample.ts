import type { ColumnMapping, Sample } from "../domain/dataset.ts";
import type { JsonValue } from "../domain/schema.ts";
import type { DatasetLimits } from "./limits.ts";
import { columnMissing, datasetTooLarge, fieldTooLong, invalidRow, list } from "./refusal.ts";
import { isRecord, type Row } from "./row.ts";

/**
 * Names under which the well-known columns are found when the mapping says nothing; the first that a row has is taken.
 * Compared without regard to case. `text` falls back to `prompt`, `question` and `messages` in `textOf`.
 */
const ALIASES = {
  text: [
    "text",
    "content",
    "sentence",
    "document",
    "passage",
    "body",
    "comment",
    "utterance",
    "review",
    "test_case",
    "story",
  ],
  prompt: ["prompt", "instruction", "input"],
  question: ["question", "problem", "query"],
  answer: ["answer", "solution", "canonical_solution", "response", "output", "completion", "target"],
  choices: ["choices", "options"],
  label: ["label", "label_gold", "gold_label", "toxic", "is_toxic", "class", "category"],
  language: ["language", "lang", "lan", "language_code", "locale"],
  messages: ["messages", "conversations", "conversation"],
} as const satisfies Record<string, readonly string[]>;

type Aliased = keyof typeof ALIASES;

/** Every name that makes the first record of a CSV file recognisable as its header. */
export const KNOWN_COLUMN_NAMES: readonly string[] = Object.values(ALIASES).flat();

// choice0 … choice3, option_a …, ending1 …, or the bare letters of the original MMLU columns
const CHOICE_COLUMN = /^(?:(?:choice|option|ending|answer)_?(?:\d{1,2}|[a-z])|[A-H])$/i;

/**
 * Makes samples of rows: the row's own columns, plus the well-known names filled in, plus `text`.
 *
 * An explicit mapping wins over a column of that name; its sources may be dotted paths into objects and lists ("data.choices.0").
 * A column whose own name holds dots is found first.
 *
 * @throws Problem with the row's number when a mapped column is absent, when no column can serve as text, when text is empty or
 * not text, and for fields beyond the limits
 */
export function createSampler(mapping: ColumnMapping, limits: DatasetLimits): (row: Row) => Sample {
  const mapped = Object.entries(mapping);
  return (row) => {
    const own: [string, JsonValue][] = [];
    const columns = Object.keys(row.fields);
    if (columns.length > limits.columns) throw invalidRow(row.number, `more than ${limits.columns} columns`);
    for (const column of columns) {
      // Postgres stores no U+0000, neither in a text nor in a name.
      if (column.includes("\0")) throw invalidRow(row.number, `the column name ${JSON.stringify(column)} holds U+0000`);
      // An own "__proto__" key would be lost or do harm in the next object literal it passes through.
      if (column !== "__proto__") own.push([column, toJson(row.fields[column], row.number, column, limits)]);
    }
    const fields: Record<string, JsonValue> = Object.fromEntries(own);
    fillKnown(fields);
    for (const [name, path] of mapped) {
      const value = atPath(row.fields, path);
      if (value === undefined) throw columnMissing(name, path, columns, row.number);
      fields[name] = toJson(value, row.number, name, limits);
    }
    fields.text = textOf(fields, row.number, columns);
    return fields as Sample;
  };
}

function fillKnown(fields: Record<string, JsonValue>): void {
  const byLowerCase = new Map(Object.keys(fields).map((column) => [column.toLowerCase(), column]));
  for (const name of Object.keys(ALIASES) as Aliased[]) {
    if (fields[name] !== undefined) continue;
    const column = ALIASES[name].map((alias) => byLowerCase.get(alias)).find((found) => found !== undefined);
    if (column !== undefined) fields[name] = fields[column]!;
  }
  if (fields.choices !== undefined) return;
  const choices = Object.keys(fields).filter((column) => CHOICE_COLUMN.test(column));
  if (choices.length >= 2) fields.choices = choices.map((column) => fields[column]!);
}

function textOf(fields: Record<string, JsonValue>, row: number, columns: readonly string[]): string {
  const only = columns.length === 1 ? fields[columns[0]!] : undefined;
  // The first that is there decides, null or not: falling through row by row would mix columns silently.
  const candidates = [fields.text, fields.prompt, fields.question, conversationText(fields.messages), only];
  const source = candidates.find((candidate) => candidate !== undefined);
  if (source === undefined) {
    throw invalidRow(
      row,
      `no column can serve as text; the columns are ${list(columns)}: give a mapping such as {"text": "${columns.at(-1) ?? "column"}"}`,
    );
  }
  if (typeof source === "number" || typeof source === "boolean") return String(source);
  if (Array.isArray(source) && source.every((part) => typeof part === "string"))
    return nonEmpty(source.join("\n"), row);
  if (typeof source !== "string") {
    throw invalidRow(row, `the text is ${source === null ? "null" : "not a string"}`, "text");
  }
  return nonEmpty(source, row);
}

function nonEmpty(text: string, row: number): string {
  if (text.trim() === "") throw invalidRow(row, "the text is empty", "text");
  return text;
}

/** The contents of chat turns in order, one per line, in OpenAI's or ShareGPT's spelling. */
function conversationText(messages: JsonValue | undefined): string | undefined {
  if (!Array.isArray(messages)) return undefined;
  const turns = messages.map((turn) => (isRecord(turn) ? (turn.content ?? turn.value) : undefined));
  return turns.every((turn) => typeof turn === "string") ? turns.join("\n") : undefined;
}

function atPath(fields: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(fields, path)) return fields[path];
  let value: unknown = fields;
  for (const part of path.split(".")) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? value[Number(part)] : undefined;
    else value = isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  }
  return value;
}

function toJson(value: unknown, row: number, column: string, limits: DatasetLimits, depth = 0): JsonValue {
  if (typeof value === "string") {
    if (value.length > limits.fieldLength) throw fieldTooLong(row, column, limits.fieldLength);
    return value;
  }
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value;
  // JSON has no NaN or infinity; Parquet has.
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (depth >= limits.depth)
    throw datasetTooLarge(`row ${row}: field "${column}" is nested more than ${limits.depth} deep`);
  if (Array.isArray(value)) return value.map((item) => toJson(item, row, column, limits, depth + 1));
  if (isRecord(value)) {
    const entries = Object.entries(value).filter(([key]) => key !== "__proto__");
    return Object.fromEntries(entries.map(([key, item]) => [key, toJson(item, row, column, limits, depth + 1)]));
  }
  throw invalidRow(row, `field "${column}" holds a ${typeof value}, which JSON cannot`, column);
}
