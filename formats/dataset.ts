import type { ColumnMapping, Sample } from "../domain/dataset.ts";
import { type ByteSource, type PeekedBytes, plainBytes, startsWith } from "./bytes.ts";
import { readDelimited } from "./delimited.ts";
import { readJsonArray, readJsonl } from "./json.ts";
import { type DatasetLimits, withDefaults } from "./limits.ts";
import { PARQUET_MAGIC, readParquet } from "./parquet.ts";
import { readPlainText } from "./plain-text.ts";
import { datasetTooLarge, formatUnknown, invalidFile } from "./refusal.ts";
import type { Row } from "./row.ts";
import { createSampler, KNOWN_COLUMN_NAMES } from "./sample.ts";
import { decodeUtf8 } from "./utf8.ts";

export type DatasetFormat = "jsonl" | "json" | "csv" | "tsv" | "text" | "parquet";

export interface ReadDatasetOptions {
  /** Tells the format by its ending (a final ".gz" does not matter); the content decides where the ending says nothing. */
  readonly fileName: string;
  readonly mapping?: ColumnMapping;
  readonly limits?: Partial<DatasetLimits>;
  /** Wins over the file's name. */
  readonly format?: DatasetFormat;
  /** CSV and TSV: whether the first record names the columns; guessed when absent. */
  readonly header?: boolean;
}

const ENDINGS: Readonly<Record<string, DatasetFormat>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  csv: "csv",
  tsv: "tsv",
  tab: "tsv",
  txt: "text",
  text: "text",
  md: "text",
  parquet: "parquet",
};

/**
 * Reads a dataset file as a stream of samples: JSON Lines, a JSON array, CSV, TSV, plain text or Parquet, each also gzipped.
 *
 * Memory does not grow with the file (Parquet: with its largest row group). Rows arrive in the order of the file.
 *
 * @throws Problem DATASET_FORMAT_UNKNOWN, DATASET_ENCODING_INVALID, DATASET_TOO_LARGE or DATASET_INVALID, with the row or byte and the
 * reason; samples before it have been yielded already. A file without a single sample is DATASET_INVALID.
 */
export async function* readDataset(source: ByteSource, options: ReadDatasetOptions): AsyncGenerator<Sample> {
  const limits = withDefaults(options.limits);
  const toSample = createSampler(options.mapping ?? {}, limits);
  let rows = 0;
  for await (const row of readRows(source, options, limits)) {
    rows += 1;
    if (rows > limits.rows) throw datasetTooLarge(`the file has more than ${limits.rows} rows`);
    yield toSample(row);
  }
  if (rows === 0) throw invalidFile("the file has no rows");
}

/** The same mapping and checks for samples that come inside a JSON request. */
export function mapSamples(
  samples: readonly Record<string, unknown>[],
  mapping: ColumnMapping = {},
  limits?: Partial<DatasetLimits>,
): Sample[] {
  const toSample = createSampler(mapping, withDefaults(limits));
  return samples.map((fields, i) => toSample({ number: i + 1, fields }));
}

async function* readRows(source: ByteSource, options: ReadDatasetOptions, limits: DatasetLimits): AsyncGenerator<Row> {
  const content = await plainBytes(source, limits);
  const format = options.format ?? formatOf(options.fileName, content);
  const isParquet = startsWith(content.head, PARQUET_MAGIC);
  if (format === "parquet") {
    if (!isParquet) throw formatUnknown(`"${options.fileName}" does not start like a Parquet file`);
    yield* readParquet(content.bytes, limits);
    return;
  }
  if (isParquet) throw formatUnknown(`"${options.fileName}" is a Parquet file, not ${format}`);
  const text = decodeUtf8(content.bytes);
  const expected = [...KNOWN_COLUMN_NAMES, ...Object.values(options.mapping ?? {})];
  const header = options.header === undefined ? {} : { header: options.header };
  if (format === "jsonl") yield* readJsonl(text, limits);
  else if (format === "json") yield* readJsonArray(text, limits);
  else if (format === "text") yield* readPlainText(text, limits);
  else yield* readDelimited(text, { delimiter: format === "csv" ? "," : "\t", expected, ...header }, limits);
}

/** The format by the file's ending, else by its first character. A ".json" file of objects line by line is read as such. */
function formatOf(fileName: string, content: PeekedBytes): DatasetFormat {
  if (startsWith(content.head, PARQUET_MAGIC)) return "parquet";
  const ending = /\.([a-z0-9]+)$/i.exec(fileName.replace(/\.gz(ip)?$/i, ""))?.[1]?.toLowerCase() ?? "";
  const first = String.fromCharCode(content.head.find((byte) => byte > 0x20 && byte < 0x7f) ?? 0);
  const named = ENDINGS[ending];
  if (named === "json" && first === "{") return "jsonl";
  if (named !== undefined) return named;
  if (first === "{") return "jsonl";
  if (first === "[") return "json";
  throw formatUnknown(
    `"${fileName}" does not tell its format: name it .jsonl, .json, .csv, .tsv, .txt or .parquet, with or without .gz`,
  );
}
