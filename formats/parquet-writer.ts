import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";

export type ParquetColumn = Pick<ColumnSource, "name" | "data"> & {
  readonly type: "BOOLEAN" | "INT32" | "INT64" | "DOUBLE" | "STRING" | "JSON";
};

/** A Parquet file of some columns of equal length, compressed with Snappy. null is a missing value; INT64 takes BigInts. */
export function writeParquet(columnData: ParquetColumn[]): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}
