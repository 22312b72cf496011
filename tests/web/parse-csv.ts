/** RFC 4180 read by its grammar: the other side of what the console writes. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at < text.length; ) {
    const quoted = text[at] === '"';
    const match = (quoted ? /"((?:[^"]|"")*)"(,|\r\n)/y : /([^,\r\n]*)(,|\r\n)/y) as RegExp;
    match.lastIndex = at;
    const found = match.exec(text);
    if (found === null) throw new Error(`no CSV at ${at}`);
    row.push(quoted ? found[1]!.replaceAll('""', '"') : found[1]!);
    at = match.lastIndex;
    if (found[2] === "\r\n") {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}
