import type { DatasetLimits } from "./limits.ts";
import { splitLines } from "./lines.ts";
import type { Row } from "./row.ts";

/** Rows of plain text: each line that is not blank is one sample. The row's number is the line's. */
export async function* readPlainText(text: AsyncIterable<string>, limits: DatasetLimits): AsyncGenerator<Row> {
  for await (const lines of splitLines(text, limits.rowLength)) {
    for (const line of lines) {
      if (line.text.trim() !== "") yield { number: line.number, fields: { text: line.text } };
    }
  }
}
