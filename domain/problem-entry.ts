// What is said of an error that a client can be told.

export interface ProblemEntry {
  readonly status: number;
  readonly title: string;
  /** What the reader should do next. */
  readonly fix: string;
  /** Whether the same request may succeed later without a change. */
  readonly retryable?: true;
}
