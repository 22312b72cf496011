/** How much a dataset file may ask of us. Every reader takes these, so a hostile file costs a bounded amount. */
export interface DatasetLimits {
  /** Bytes of the file as it comes. */
  readonly fileBytes: number;
  /** Bytes after decompression, summed over the file. */
  readonly expandedBytes: number;
  /** Decompressed over compressed size, checked once more than 16 MiB have come out. */
  readonly expansionRatio: number;
  readonly rows: number;
  readonly columns: number;
  /** UTF-16 code units of one field, and of one raw row. */
  readonly fieldLength: number;
  readonly rowLength: number;
  /** Nesting of objects and lists inside one row. */
  readonly depth: number;
  /** Parquet: time to decode one row group, and heap of the thread that does it. */
  readonly parquetStepMs: number;
  readonly parquetMemoryMb: number;
}

// Text compresses 3–10 times, logs up to about 100; deflate itself cannot pass 1,032.
export const DEFAULT_LIMITS: DatasetLimits = {
  fileBytes: 2 * 1024 ** 3,
  expandedBytes: 8 * 1024 ** 3,
  expansionRatio: 250,
  rows: 10_000_000,
  columns: 1_000,
  fieldLength: 1_000_000,
  rowLength: 4_000_000,
  depth: 32,
  parquetStepMs: 60_000,
  parquetMemoryMb: 2_048,
};

export function withDefaults(limits: Partial<DatasetLimits> | undefined): DatasetLimits {
  return { ...DEFAULT_LIMITS, ...limits };
}
