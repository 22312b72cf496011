// Templates that turn a benchmark's samples into prompts: `Question: {question}\nAnswer:`.
import type { Sample } from "./dataset.ts";
import { fieldProblem } from "./problem.ts";
import { readyTemplates } from "./ready-templates.ts";
import type { JsonValue } from "./schema.ts";

/** What a place may do with its field: `{answer|letter}`. */
export const placeForms = {
  letter: "an index from 0 as a letter (1 → B); a letter stays",
  yes_no: "true or false as yes or no",
  lines: "a list of texts, one a line",
  pick: "the entry of a list that another field numbers from 0: {endings|pick:label}",
} as const satisfies Record<string, string>;
type PlaceForm = keyof typeof placeForms;

interface Place {
  readonly name: string;
  readonly path: readonly string[];
  readonly form: PlaceForm | null;
  /** The field that `pick` looks into for the number. */
  readonly by: string | null;
}
type Part = { readonly literal: string } | Place;

export interface PromptTemplate {
  /** The fields it reads, in order of appearance. */
  readonly fields: readonly string[];
  /**
   * The prompt of one sample.
   *
   * @param row 1-based number of the sample, for the message
   * @throws Problem DATASET_INVALID naming the row and the field that is absent, null or not text
   */
  render(sample: Sample, row: number): string;
}

/** Whether a template is given by its name rather than written out. */
export function isTemplateName(source: string): boolean {
  return /^[a-z0-9_.-]+$/i.test(source);
}

/**
 * Reads a template: the name of a ready one, or text with `{field}` places. A path reaches inside (`{choices.0}`, `{meta.topic}`);
 * `{{` and `}}` are literal braces. A list of texts becomes lettered lines (`A. first`); so do choices that come with labels of
 * their own, as `[{text, label}]` or `{text: [], label: []}`. A form after `|` says otherwise.
 *
 * @param pointer JSON pointer to the template in the request, for the message
 * @throws Problem VALIDATION_FAILED for an unknown name, a brace that is not closed, an empty place, an unknown form, or no place
 */
export function parsePromptTemplate(source: string, pointer = "/template"): PromptTemplate {
  if (isTemplateName(source) && !Object.hasOwn(readyTemplates, source)) {
    const names = Object.keys(readyTemplates).join(", ");
    throw invalid(
      pointer,
      `there is no template "${source}": use one of ${names}, or write one with places like {question}`,
    );
  }
  const parts = parseParts(readyTemplates[source]?.template ?? source, pointer);
  const fields = parts.flatMap((part) => ("path" in part ? [part.name, ...(part.by === null ? [] : [part.by])] : []));
  if (fields.length === 0)
    throw invalid(pointer, "the template has no place such as {question}: every prompt would be the same");
  return {
    fields: [...new Set(fields)],
    render: (sample, row) =>
      parts.map((part) => ("literal" in part ? part.literal : filled(sample, part, row))).join(""),
  };
}

function parseParts(template: string, pointer: string): Part[] {
  const parts: Part[] = [];
  // Alternatives in order: doubled braces, a place, plain text, and whatever single brace is left over.
  for (const match of template.matchAll(/(\{\{|\}\})|\{([^{}]*)\}|([^{}]+)|([{}])/g)) {
    const [, doubled, place, literal, stray] = match;
    if (stray !== undefined) {
      throw invalid(
        pointer,
        `the "${stray}" at character ${match.index + 1} has no partner: write it twice for a literal brace`,
      );
    }
    if (doubled !== undefined) parts.push({ literal: doubled[0]! });
    else if (literal !== undefined) parts.push({ literal });
    else parts.push(parsePlace(place ?? "", match.index + 1, pointer));
  }
  return parts;
}

function parsePlace(text: string, character: number, pointer: string): Place {
  const [name = "", written] = text.split("|", 2).map((part) => part.trim());
  if (name === "") throw invalid(pointer, `the place at character ${character} names no field`);
  const [form, by] = (written ?? "").split(":", 2).map((part) => part.trim());
  if (written !== undefined && !Object.hasOwn(placeForms, form!)) {
    const forms = Object.keys(placeForms).join(", ");
    throw invalid(pointer, `the place at character ${character} has the form "${form}"; there are ${forms}`);
  }
  if ((form === "pick") !== (by !== undefined && by !== "")) {
    throw invalid(pointer, `the place at character ${character}: pick takes a field, as in {endings|pick:label}`);
  }
  return { name, path: name.split("."), form: written === undefined ? null : (form as PlaceForm), by: by ?? null };
}

function filled(sample: Sample, place: Place, row: number): string {
  const value = valueAt(sample, place.name);
  if (value === undefined || value === null) throw notText(sample, place, row, value);
  const text = place.form === null ? plainText(value) : formed(value, place, sample, row);
  if (text === null) throw notText(sample, place, row, value);
  return text;
}

function plainText(value: JsonValue): string | null {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const choices = choicesOf(value);
  return choices === null ? null : choices.map(({ label, text }) => `${label}. ${text}`).join("\n");
}

function formed(value: JsonValue, place: Place, sample: Sample, row: number): string | null {
  switch (place.form) {
    case "letter": {
      if (typeof value === "string" && /^[a-z]$/i.test(value.trim())) return value.trim().toUpperCase();
      const index = indexOf(value);
      return index !== null && index < 26 ? letter(index) : null;
    }
    case "yes_no": {
      const truth = typeof value === "string" ? value.trim().toLowerCase() : String(value);
      return ({ true: "yes", yes: "yes", "1": "yes", false: "no", no: "no", "0": "no" } as const)[truth] ?? null;
    }
    case "lines":
      return Array.isArray(value) && value.every(isLine) ? value.join("\n") : null;
    case "pick": {
      const index = indexOf(valueAt(sample, place.by!));
      if (index === null) {
        const detail = `row ${row} has no whole number from 0 in the field "${place.by}", which numbers "${place.name}"`;
        throw fieldProblem("DATASET_INVALID", `/rows/${row}/${place.by!.replaceAll(".", "/")}`, detail);
      }
      const chosen = Array.isArray(value) ? value[index] : undefined;
      return chosen !== undefined && isLine(chosen) ? String(chosen) : null;
    }
    default:
      return null;
  }
}

interface Choice {
  readonly label: string;
  readonly text: string | number;
}

/** Choices in any of the shapes in which benchmarks are published; null for anything else. */
function choicesOf(value: JsonValue): Choice[] | null {
  let choices: (Choice | null)[];
  if (Array.isArray(value)) choices = value.map((choice, i) => choiceOf(choice, letter(i)));
  else if (typeof value === "object" && value !== null && Array.isArray(value.text)) {
    const labels = Array.isArray(value.label) ? value.label : [];
    choices = value.text.map((text, i) => choiceOf(text, String(labels[i] ?? letter(i))));
  } else return null;
  const isWhole = choices.length > 0 && choices.length <= 26 && choices.every((choice) => choice !== null);
  return isWhole ? (choices as Choice[]) : null;
}

function choiceOf(value: JsonValue, label: string): Choice | null {
  if (isLine(value)) return { label, text: value };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const { text, label: own } = value;
  return text !== undefined && isLine(text)
    ? { label: own !== undefined && isLine(own) ? String(own) : label, text }
    : null;
}

function letter(index: number): string {
  return String.fromCharCode(65 + index);
}

function indexOf(value: JsonValue | undefined): number | null {
  const number = typeof value === "string" && /^\d{1,6}$/.test(value.trim()) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : null;
}

/** The value at a dotted path; a column whose own name holds dots is found first. */
function valueAt(sample: Sample, name: string): JsonValue | undefined {
  if (Object.hasOwn(sample, name)) return sample[name];
  let value: JsonValue | undefined = sample;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Array.isArray(value) ? value[Number(part)] : value[part];
  }
  return value;
}

function notText(sample: Sample, place: Place, row: number, value: JsonValue | undefined) {
  const wanted =
    place.form === null ? "text" : place.form === "pick" ? `a list that "${place.by}" numbers` : place.form;
  const reason =
    value === undefined
      ? `has no field "${place.name}"; its fields are ${Object.keys(sample).join(", ").slice(0, 300)}`
      : `has ${describe(value)} in the field "${place.name}", which is not ${wanted}`;
  return fieldProblem("DATASET_INVALID", `/rows/${row}/${place.path.join("/")}`, `row ${row} ${reason}`);
}

function isLine(value: JsonValue): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

function describe(value: JsonValue): string {
  if (value === null) return "null";
  if (typeof value !== "object") return JSON.stringify(value).slice(0, 60);
  return Array.isArray(value) ? "a list" : "an object";
}

function invalid(pointer: string, detail: string) {
  return fieldProblem("VALIDATION_FAILED", pointer, detail);
}
