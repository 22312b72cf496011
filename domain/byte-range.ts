// The Range header (RFC 9110, section 14) for one range of bytes.

export interface ByteRange {
  /** first byte */
  readonly start: number;
  /** one past the last byte */
  readonly end: number;
}

/** null: no range was asked for that we serve (absent, another unit, several ranges), so the whole content goes out.
 *  "unsatisfiable": the range lies outside of the content. */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | "unsatisfiable" | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (match === null) return null;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return null;
  if (first === "") {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? "unsatisfiable" : { start: sizeBytes - length, end: sizeBytes };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return null;
  if (start >= sizeBytes) return "unsatisfiable";
  return { start, end: last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}
