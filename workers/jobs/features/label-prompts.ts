/** What is asked of the language model, from the files of workers/prompts, and what is read out of its answers. */
import { readFile } from "node:fs/promises";
import type { FeatureDetailsLine, FeatureExample } from "../../../domain/feature.ts";
import type { ChatMessage } from "../../chat-endpoint.ts";
import { markedText } from "./label-examples.ts";

export interface LabelPrompts {
  explain(details: FeatureDetailsLine, shown: readonly FeatureExample[]): readonly ChatMessage[];
  detect(label: string, texts: readonly string[]): readonly ChatMessage[];
  /** For an answer that could not be read. */
  readonly reminder: ChatMessage;
}

export async function readLabelPrompts(): Promise<LabelPrompts> {
  const read = (name: string) => readFile(new URL(`../../prompts/${name}.md`, import.meta.url), "utf8");
  const [explain, detect, reminder] = await Promise.all(["label-explain", "label-detect", "reminder"].map(read));
  const asked = (template: string, places: Readonly<Record<string, string>>): ChatMessage[] => [
    { role: "user", content: template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => places[name] ?? whole).trim() },
  ];
  return {
    explain(details, shown) {
      const maximum = Math.max(...shown.map(({ value }) => value));
      const texts = numbered(shown.map((example) => markedText(example, maximum)));
      const promoted = details.promoted.map(({ text }) => JSON.stringify(text)).join(", ");
      return asked(explain!, { texts, promoted });
    },
    detect(label, texts) {
      const sample = JSON.stringify(texts.map((_, i) => i % 2));
      return asked(detect!, { label, texts: numbered(texts), count: String(texts.length), sample });
    },
    reminder: { role: "user", content: reminder!.trim() },
  };
}

function numbered(texts: readonly string[]): string {
  return texts.map((text, i) => `Text ${i + 1}: ${text}`).join("\n\n");
}

export interface Explanation {
  readonly label: string;
  readonly explanation: string;
}

/** Looked at, from the end: what is asked for is short, and each bracket in it costs a look at the rest. */
const LONGEST_ANSWER = 20_000;
const LONGEST_LABEL = 300;
const LONGEST_EXPLANATION = 2000;

/** The last object with a label in the answer: models like to think aloud before it, or to fence it. null: there is none. */
export function readExplanation(answer: string): Explanation | null {
  for (const text of candidates(answer, "{", "}")) {
    const { label, explanation } = (text ?? {}) as { label?: unknown; explanation?: unknown };
    if (typeof label !== "string" || label.trim() === "") continue;
    const said = typeof explanation === "string" ? explanation : "";
    return { label: storable(label, LONGEST_LABEL), explanation: storable(said, LONGEST_EXPLANATION) };
  }
  return null;
}

/** The last list of so many zeros and ones (or truths). null: there is none. */
export function readMatches(answer: string, count: number): boolean[] | null {
  for (const list of candidates(answer, "[", "]")) {
    if (!Array.isArray(list) || list.length !== count) continue;
    if (list.every((one) => one === 0 || one === 1 || typeof one === "boolean")) return list.map(Boolean);
  }
  return null;
}

/** What parses as JSON between the brackets, the last first. */
function* candidates(whole: string, open: string, close: string): Generator<unknown> {
  const answer = whole.slice(-LONGEST_ANSWER);
  const end = answer.lastIndexOf(close) + 1;
  for (
    let start = answer.lastIndexOf(open, end);
    start >= 0;
    start = start > 0 ? answer.lastIndexOf(open, start - 1) : -1
  ) {
    try {
      yield JSON.parse(answer.slice(start, end));
    } catch {
      // The bracket was inside something larger, or no JSON at all.
    }
  }
}

function storable(text: string, length: number): string {
  return text.replaceAll("\0", " ").trim().slice(0, length).toWellFormed();
}
