import { rowTooLong } from "./refusal.ts";

export interface Line {
  /** 1-based. */
  readonly number: number;
  readonly text: string;
}

/**
 * Splits text into lines at LF or CRLF; a last line without an end counts, an empty rest does not. Lines come in groups, one per
 * chunk of the source: a turn of the event loop for each of millions of short lines would cost more than reading them.
 *
 * @throws Problem with the line's number as soon as a line passes `maxLength`, before the rest of it is read
 */
export async function* splitLines(source: AsyncIterable<string>, maxLength: number): AsyncGenerator<Line[]> {
  let pending: string[] = [];
  let pendingLength = 0;
  let number = 1;

  function take(last: string): Line {
    const joined = pending.length > 0 ? pending.join("") + last : last;
    pending = [];
    pendingLength = 0;
    const text = joined.endsWith("\r") ? joined.slice(0, -1) : joined;
    return { number: number++, text };
  }

  function check(length: number): void {
    if (length > maxLength) throw rowTooLong(number, maxLength);
  }

  for await (const chunk of source) {
    const lines: Line[] = [];
    let from = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", from)) {
      check(pendingLength + end - from);
      lines.push(take(chunk.slice(from, end)));
      from = end + 1;
    }
    // Complete lines go out before an overlong rest is refused, so that what comes out does not depend on the chunks.
    if (lines.length > 0) yield lines;
    if (from === chunk.length) continue;
    pending.push(chunk.slice(from));
    pendingLength += chunk.length - from;
    check(pendingLength);
  }
  if (pendingLength > 0) yield [take("")];
}
