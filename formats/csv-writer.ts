export type CsvCell = string | number | null | undefined;

/**
 * CSV after RFC 4180 (CRLF, quotes doubled), one header row and as many columns in every row.
 *
 * Text that a spreadsheet would run as a formula (it starts with = + - @, a tab or a carriage return) gets a leading apostrophe;
 * numbers never do. null, undefined and NaN are empty cells.
 *
 * @throws RangeError for a row with another number of columns than the header
 */
export function toCsv(header: readonly string[], rows: Iterable<readonly CsvCell[]>): string {
  const lines = [header.map(cell).join(",")];
  for (const row of rows) {
    if (row.length !== header.length) {
      throw new RangeError(`row ${lines.length}: expected ${header.length} cells, got ${row.length}`);
    }
    lines.push(row.map(cell).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
}

function cell(value: CsvCell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isNaN(value) ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
