import type { DatasetLimits } from "./limits.ts";
import { splitLines } from "./lines.ts";
import { invalidRow, rowTooLong } from "./refusal.ts";
import type { Row } from "./row.ts";
import { isRecord } from "./row.ts";

/** Rows of JSON Lines: one object (or one string, taken as its text) per line; blank lines are skipped. */
export async function* readJsonl(text: AsyncIterable<string>, limits: DatasetLimits): AsyncGenerator<Row> {
  for await (const lines of splitLines(text, limits.rowLength)) {
    for (const line of lines) if (line.text.trim() !== "") yield parseRow(line.text, line.number);
  }
}

/**
 * Rows of one JSON array of objects or strings, element by element: the whole array is never in memory.
 *
 * @throws Problem for anything but whitespace before the array, between elements, or after it, and for an array that does not end
 */
export async function* readJsonArray(text: AsyncIterable<string>, limits: DatasetLimits): AsyncGenerator<Row> {
  const scanner = new ElementScanner(limits.rowLength);
  for await (const chunk of text) {
    for (const element of scanner.push(chunk)) yield parseRow(element.text, element.row);
  }
  scanner.end();
}

/** Rows of JSON objects one after the other, each over any number of lines: one file per problem, joined or alone. */
export async function* readJsonObjects(text: AsyncIterable<string>, limits: DatasetLimits): AsyncGenerator<Row> {
  let pending = "";
  let depth = 0;
  let row = 1;
  let inString = false;
  let escaped = false;
  for await (const chunk of text) {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const code = chunk.charCodeAt(at);
      if (escaped) escaped = false;
      else if (inString) {
        if (code === 0x5c) escaped = true;
        else if (code === 0x22) inString = false;
      } else if (code === 0x22) inString = true;
      else if (code === 0x7b) depth += 1;
      else if (code === 0x7d) {
        depth -= 1;
        if (depth > 0) continue;
        const whole = pending + chunk.slice(from, at + 1);
        if (whole.length > limits.rowLength) throw rowTooLong(row, limits.rowLength);
        yield parseRow(whole, row);
        row += 1;
        depth = 0;
        pending = "";
        from = at + 1;
      }
    }
    pending += chunk.slice(from);
    if (pending.length > limits.rowLength) throw rowTooLong(row, limits.rowLength);
  }
  if (pending.trim() !== "") yield parseRow(pending, row);
}

function parseRow(text: string, row: number): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const advice = row === 1 && !/^\s*[[{"\d-]/.test(text) ? ": if this is a table, name it .csv or .tsv" : "";
    throw invalidRow(row, `not valid JSON (${(error as Error).message.slice(0, 200)})${advice}`);
  }
  if (typeof value === "string") return { number: row, fields: { text: value } };
  if (isRecord(value)) return { number: row, fields: value };
  const found = value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
  throw invalidRow(row, `expected an object with named fields, got ${found}`);
}

type State = "before" | "element" | "between" | "after";

/** Finds the elements of a top-level array by counting brackets outside strings; JSON.parse judges each one afterwards. */
class ElementScanner {
  #state: State = "before";
  #depth = 0;
  #inString = false;
  #escaped = false;
  #pending = "";
  #row = 0;
  readonly #maxLength: number;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  *push(chunk: string): Generator<{ text: string; row: number }> {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const code = chunk.charCodeAt(at);
      if (this.#state === "element") {
        if (!this.#endsElement(code)) continue;
        const text = this.#pending + chunk.slice(from, at);
        this.#pending = "";
        this.#state = code === 0x5d ? "after" : "between";
        this.#check(text.length);
        yield { text, row: this.#row };
      } else if (!isSpace(code)) {
        if (!this.#startsElement(code)) continue;
        from = at;
        // The first character of an element may itself open a string or a bracket: look at it again, inside.
        at -= 1;
      }
    }
    if (this.#state !== "element") return;
    this.#pending += chunk.slice(from);
    this.#check(this.#pending.length);
  }

  end(): void {
    if (this.#state === "before") throw invalidRow(1, "the file is empty, expected a JSON array");
    if (this.#state !== "after") throw invalidRow(this.#row, "the JSON array does not end: the file is cut off");
  }

  #endsElement(code: number): boolean {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString) {
      if (code === 0x5c) this.#escaped = true;
      else if (code === 0x22) this.#inString = false;
    } else if (code === 0x22) this.#inString = true;
    else if (code === 0x7b || code === 0x5b) this.#depth += 1;
    else if (this.#depth > 0) {
      if (code === 0x7d || code === 0x5d) this.#depth -= 1;
    } else return code === 0x2c || code === 0x5d;
    return false;
  }

  /** Takes one character outside the elements; true when it is the first of an element. */
  #startsElement(code: number): boolean {
    const isFirst = this.#row === 0;
    if (this.#state === "before") {
      if (code !== 0x5b) throw invalidRow(1, "expected a JSON array of objects");
      this.#state = "between";
    } else if (this.#state === "after") {
      throw invalidRow(this.#row, "something follows the end of the JSON array");
    } else if (code === 0x5d && isFirst) {
      this.#state = "after";
    } else {
      this.#row += 1;
      if (code === 0x2c || code === 0x5d) throw invalidRow(this.#row, "a value is missing before or after a comma");
      this.#state = "element";
      return true;
    }
    return false;
  }

  #check(length: number): void {
    if (length > this.#maxLength) throw rowTooLong(this.#row, this.#maxLength);
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}
