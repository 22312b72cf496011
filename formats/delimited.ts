import { CsvError, type Parser, parse } from "csv-parse";
import type { DatasetLimits } from "./limits.ts";
import { invalidFile, invalidRow, rowTooLong } from "./refusal.ts";
import type { Row } from "./row.ts";

export interface DelimitedOptions {
  readonly delimiter: "," | "\t";
  /** Whether the first record names the columns. Without it, guessed; columns are then called column_1, column_2, … */
  readonly header?: boolean;
  /** Column names that the caller will ask for: a first record that holds one of them is a header. */
  readonly expected?: readonly string[];
  /** Names for the columns where the first record is known to be data and not a header. */
  readonly namesFor?: (record: readonly string[]) => readonly string[] | null;
}

interface ParsedRecord {
  readonly record: string[];
  readonly info: { readonly lines: number };
}

/**
 * Rows of CSV or TSV (RFC 4180: quoted fields may hold delimiters, doubled quotes and line breaks; LF, CRLF or CR).
 * Blank lines are skipped; every row must have as many columns as the first.
 *
 * @throws Problem with the row's number for too few or too many columns, an unclosed or misplaced quote, or an overlong row
 */
export async function* readDelimited(
  text: AsyncIterable<string>,
  options: DelimitedOptions,
  limits: DatasetLimits,
): AsyncGenerator<Row> {
  const parser = parse({
    delimiter: options.delimiter,
    info: true,
    max_record_size: limits.rowLength,
    // We count columns ourselves: the message must name the row, and an error of the library ends its stream.
    relax_column_count: true,
    // Unquoted TSV fields that merely contain a quotation mark are common.
    relax_quotes: options.delimiter === "\t",
    skip_empty_lines: true,
  });
  let columns: readonly string[] | undefined;
  let hasHeader = false;
  let number = 0;
  for await (const { record, info } of records(text, parser, (error) => describe(error, number + 1, limits))) {
    if (columns === undefined) {
      if (record.length > limits.columns) throw invalidFile(`the file has more than ${limits.columns} columns`);
      const names = options.header === true ? null : (options.namesFor?.(record) ?? null);
      hasHeader = names === null && (options.header ?? looksLikeHeader(record, options.expected ?? []));
      columns = hasHeader ? headerNames(record) : (names ?? record.map((_, i) => `column_${i + 1}`));
      if (hasHeader) continue;
    }
    number += 1;
    yield { number, fields: toFields(record, columns, number, info.lines, hasHeader) };
  }
  if (hasHeader && number === 0) throw invalidFile("the file has a header and no rows");
}

/**
 * Drives the parser by hand: a piped stream drops the records that it has parsed but not delivered when the next one
 * is broken, and the row in the message would then depend on timing.
 */
async function* records(
  text: AsyncIterable<string>,
  parser: Parser,
  refused: (error: CsvError) => Error,
): AsyncGenerator<ParsedRecord> {
  let failure: Error | undefined;
  parser.on("error", (error) => {
    failure = error;
  });
  const parsed = (): ParsedRecord[] => {
    const ready: ParsedRecord[] = [];
    for (let next = parser.read(); next !== null; next = parser.read()) ready.push(next);
    return ready;
  };
  try {
    for await (const chunk of text) {
      const written = new Promise<void>((resolve) => parser.write(chunk, () => resolve()));
      yield* parsed();
      await written;
      yield* parsed();
      if (failure) break;
    }
    if (!failure) {
      const ended = new Promise<void>((resolve) => parser.end(resolve));
      await ended;
      yield* parsed();
    }
    if (failure) throw failure instanceof CsvError ? refused(failure) : failure;
  } finally {
    parser.destroy();
  }
}

function toFields(
  record: readonly string[],
  columns: readonly string[],
  row: number,
  line: number,
  hasHeader: boolean,
): Record<string, unknown> {
  if (record.length !== columns.length) {
    const expected = `${hasHeader ? "the header" : "the first row"} has ${columns.length}`;
    const count = `${record.length} column${record.length === 1 ? "" : "s"}`;
    throw invalidRow(
      row,
      `too ${record.length < columns.length ? "few" : "many"} columns: ${count}, but ${expected} (the row ends on line ${line})`,
    );
  }
  return Object.fromEntries(columns.map((column, i) => [column, record[i]!]));
}

function headerNames(record: readonly string[]): string[] {
  const seen = new Set<string>();
  return record.map((cell, i) => {
    // Tables saved with their row numbers have a first column without a name.
    const name = cell.trim() === "" ? `column_${i + 1}` : cell.trim();
    if (seen.has(name)) throw invalidFile(`the header names the column "${name}" twice`);
    seen.add(name);
    return name;
  });
}

/** A header holds a name that is asked for, or nothing but distinct short identifiers; a row of data has a sentence or a number somewhere. */
function looksLikeHeader(record: readonly string[], expected: readonly string[]): boolean {
  const cells = record.map((cell) => cell.trim());
  const named = new Set(expected.map((name) => name.toLowerCase()));
  if (cells.some((cell) => named.has(cell.toLowerCase()))) return true;
  const names = cells.filter((cell) => cell !== "");
  return (
    names.length > 0 &&
    new Set(names).size === names.length &&
    names.every((cell) => /^[\p{L}_][\p{L}\p{N}_.:-]{0,63}$/u.test(cell))
  );
}

function describe(error: CsvError, row: number, limits: DatasetLimits): Error {
  switch (error.code) {
    case "CSV_MAX_RECORD_SIZE":
      return rowTooLong(row, limits.rowLength);
    case "CSV_QUOTE_NOT_CLOSED":
      return invalidRow(row, `a quoted field is never closed`);
    case "CSV_INVALID_CLOSING_QUOTE":
      return invalidRow(row, `a quotation mark inside a quoted field is not doubled (line ${error.lines})`);
    case "INVALID_OPENING_QUOTE":
      return invalidRow(
        row,
        `a quotation mark stands inside an unquoted field (line ${error.lines}): quote the whole field`,
      );
    default:
      return invalidRow(row, `not valid CSV (${error.message.slice(0, 200)})`);
  }
}
