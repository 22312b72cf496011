import { fieldProblem, Problem } from "../domain/problem.ts";

// Every way in which a reader refuses a file, so that all formats name rows, bytes and reasons alike.

export function formatUnknown(reason: string): Problem {
  return new Problem("DATASET_FORMAT_UNKNOWN", reason);
}

export function datasetTooLarge(reason: string): Problem {
  return new Problem("DATASET_TOO_LARGE", reason);
}

export function invalidFile(reason: string): Problem {
  return new Problem("DATASET_INVALID", reason);
}

/** @param row 1-based; a header does not count @param column the field at fault, where there is one */
export function invalidRow(row: number, reason: string, column?: string): Problem {
  const detail = `row ${row}: ${reason}`;
  return fieldProblem(
    "DATASET_INVALID",
    `/rows/${row}${column === undefined ? "" : `/${escapePointer(column)}`}`,
    detail,
  );
}

export function idUsedTwice(row: number, id: string, earlier: number): Problem {
  return invalidRow(row, `the id ${JSON.stringify(id.slice(0, 100))} is already that of row ${earlier}`, "id");
}

export function rowTooLong(row: number, limit: number): Problem {
  return fieldProblem("DATASET_TOO_LARGE", `/rows/${row}`, `row ${row}: longer than ${limit} characters`);
}

export function fieldTooLong(row: number, column: string, limit: number): Problem {
  return fieldProblem(
    "DATASET_TOO_LARGE",
    `/rows/${row}/${escapePointer(column)}`,
    `row ${row}: field "${column}" is longer than ${limit} characters`,
  );
}

export function notUtf8(byte: number, line: number, reason: string): Problem {
  return new Problem("DATASET_ENCODING_INVALID", `byte ${byte} (line ${line}) is not UTF-8 text: ${reason}`);
}

/** @param key the well-known name of the mapping, e.g. "text" */
export function columnMissing(key: string, source: string, columns: readonly string[], row: number): Problem {
  return fieldProblem(
    "DATASET_INVALID",
    `/mapping/${escapePointer(key)}`,
    `row ${row}: the mapping takes "${key}" from "${source}", which is not there; the columns are ${list(columns)}`,
  );
}

export function list(columns: readonly string[]): string {
  const shown = columns.slice(0, 30).map((column) => `"${column.slice(0, 60)}"`);
  if (columns.length > shown.length) shown.push(`and ${columns.length - shown.length} more`);
  return shown.length > 0 ? shown.join(", ") : "none";
}

function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
