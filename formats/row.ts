/** One record of a file before its columns are mapped. */
export interface Row {
  /** 1-based; a header is not a row. */
  readonly number: number;
  readonly fields: Record<string, unknown>;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
