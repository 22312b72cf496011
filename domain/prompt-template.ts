// Templates that turn a benchmark's samples into prompts: `Question: {question}\nAnswer:`.
import type { Sample } from "./dataset.ts";
import { fieldProblem } from "./problem.ts";
import type { JsonValue } from "./schema.ts";

/** Ready templates, named in a request instead of written out. */
export const promptTemplates = {
  text: { template: "{text}", purpose: "the sample as it is; used when no template is given" },
  question: { template: "{question}", purpose: "the bare question" },
  question_answer: {
    template: "Question: {question}\nAnswer:",
    purpose: "short answers and word problems (GSM8K, MATH, TriviaQA)",
  },
  multiple_choice: {
    template: "Question: {question}\n{choices}\nAnswer:",
    purpose: "a question with lettered choices (MMLU, C-Eval, ARC)",
  },
  solved: {
    template: "Question: {question}\nAnswer: {answer}",
    purpose: "the question with its solution; the last token is then the solution's",
  },
  code: { template: "{prompt}", purpose: "a code prefix to continue (HumanEval, MultiPL-E)" },
  code_task: {
    template: '"""\n{text}\n"""\n',
    purpose: "a task in words, put into a docstring (MBPP)",
  },
} as const satisfies Record<string, { readonly template: string; readonly purpose: string }>;

export type PromptTemplateName = keyof typeof promptTemplates;

type Part = { readonly literal: string } | { readonly path: readonly string[]; readonly name: string };

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

/**
 * Reads a template: the name of a ready one, or text with `{field}` places. A path reaches inside (`{choices.0}`, `{meta.topic}`);
 * `{{` and `}}` are literal braces. A list of strings becomes lettered lines (`A. first`).
 *
 * @param pointer JSON pointer to the template in the request, for the message
 * @throws Problem VALIDATION_FAILED for an unknown name, a brace that is not closed, an empty place, or no place at all
 */
export function parsePromptTemplate(source: string, pointer = "/template"): PromptTemplate {
  const isName = /^[a-z0-9_-]+$/i.test(source);
  if (isName && !Object.hasOwn(promptTemplates, source)) {
    const names = Object.keys(promptTemplates).join(", ");
    throw invalid(
      pointer,
      `there is no template "${source}": use one of ${names}, or write one with places like {question}`,
    );
  }
  const parts = parseParts(isName ? promptTemplates[source as PromptTemplateName].template : source, pointer);
  const fields = parts.flatMap((part) => ("path" in part ? [part.name] : []));
  if (fields.length === 0)
    throw invalid(pointer, "the template has no place such as {question}: every prompt would be the same");
  return {
    fields: [...new Set(fields)],
    render: (sample, row) =>
      parts.map((part) => ("literal" in part ? part.literal : filled(sample, part.path, part.name, row))).join(""),
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
    else {
      const name = (place ?? "").trim();
      if (name === "") throw invalid(pointer, `the place at character ${match.index + 1} names no field`);
      parts.push({ path: name.split("."), name });
    }
  }
  return parts;
}

function filled(sample: Sample, path: readonly string[], name: string, row: number): string {
  const value = valueAt(sample, path, name);
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value) && value.length > 0 && value.length <= 26 && value.every(isLine)) {
    return value.map((choice, i) => `${String.fromCharCode(65 + i)}. ${choice}`).join("\n");
  }
  const reason =
    value === undefined
      ? `has no field "${name}"; its fields are ${Object.keys(sample).join(", ").slice(0, 300)}`
      : `has ${describe(value)} in the field "${name}", which is not text`;
  throw fieldProblem("DATASET_INVALID", `/rows/${row}/${path.join("/")}`, `row ${row} ${reason}`);
}

function valueAt(sample: Sample, path: readonly string[], name: string): JsonValue | undefined {
  // A column whose own name holds dots is found first.
  if (Object.hasOwn(sample, name)) return sample[name];
  let value: JsonValue | undefined = sample;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Array.isArray(value) ? value[Number(part)] : value[part];
  }
  return value;
}

function isLine(value: JsonValue): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

function describe(value: JsonValue): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : "an object";
}

function invalid(pointer: string, detail: string) {
  return fieldProblem("VALIDATION_FAILED", pointer, detail);
}
