import type { ColumnMapping, Sample } from "../domain/dataset.ts";
import { fieldProblem, isProblem, type Problem } from "../domain/problem.ts";
import { fittingShape, headerlessShape, mappingFor, type NamedShape } from "../domain/template-fit.ts";
import { type ByteSource, plainBytes, startsWith } from "./bytes.ts";
import { type DatasetFormat, formatOf } from "./dataset-format.ts";
import { readDelimited } from "./delimited.ts";
import { readJsonArray, readJsonl, readJsonObjects } from "./json.ts";
import { type DatasetLimits, withDefaults } from "./limits.ts";
import { PARQUET_MAGIC, readParquet } from "./parquet.ts";
import { readPlainText } from "./plain-text.ts";
import { datasetTooLarge, formatUnknown, idUsedTwice, invalidFile } from "./refusal.ts";
import type { Row } from "./row.ts";
import { createSampler, KNOWN_COLUMN_NAMES } from "./sample.ts";
import { decodeUtf8 } from "./utf8.ts";

export interface ReadDatasetOptions {
  /** Tells the format by its ending (a final ".gz" does not matter); the content decides where the ending says nothing. */
  readonly fileName: string;
  readonly mapping?: ColumnMapping;
  readonly limits?: Partial<DatasetLimits>;
  /** Wins over the file's name. */
  readonly format?: DatasetFormat;
  /** CSV and TSV: whether the first record names the columns; guessed when absent. */
  readonly header?: boolean;
  /** Shapes of published benchmarks that the file is held against; the one that fits says how columns are mapped. */
  readonly shapes?: readonly NamedShape[];
  /** The shapes are of the one template that the client named: a file that fits none of them is refused. */
  readonly shapeAsked?: boolean;
  /** Only the beginning of a file: where it breaks off, the rows end without a problem. */
  readonly partial?: boolean;
}

export interface OpenedDataset {
  readonly format: DatasetFormat;
  readonly gzip: boolean;
  /** The shape that the first row fits. */
  readonly shape: NamedShape | null;
  /** The mapping in force: the client's over the shape's. */
  readonly mapping: ColumnMapping;
  readonly firstRow: Row;
  /** In the order of the file; each with the row that it was made of. */
  readonly samples: AsyncGenerator<{ readonly row: Row; readonly sample: Sample }>;
}

// Of distinct ids of about 20 characters a million take some 100 MB; no benchmark is near.
const MAXIMUM_IDS = 1_000_000;

/**
 * Opens a dataset file as a stream of samples: JSON Lines, JSON, CSV, TSV, plain text or Parquet, each also gzipped.
 *
 * Memory does not grow with the file (Parquet: with its largest row group; a benchmark whose rows have ids: with those).
 *
 * @throws Problem DATASET_FORMAT_UNKNOWN, DATASET_ENCODING_INVALID, DATASET_TOO_LARGE or DATASET_INVALID, with the row or byte and the
 * reason, here for the first row and while reading for the others. A file without a single row is DATASET_INVALID.
 */
export async function openDataset(source: ByteSource, options: ReadDatasetOptions): Promise<OpenedDataset> {
  const limits = withDefaults(options.limits);
  const { format, gzip, rows } = await openRows(source, options, limits);
  const first = await rows.next();
  if (first.done) throw invalidFile("the file has no rows");
  const shapes = options.shapes ?? [];
  const shape = fittingShape(first.value.fields, shapes);
  if (shape === null && options.shapeAsked && shapes.length > 0) {
    await rows.return(undefined);
    throw fitsNot(shapes, first.value);
  }
  const mapping = mappingFor(shape, first.value.fields, options.mapping ?? {});
  return {
    format,
    gzip,
    shape,
    mapping,
    firstRow: first.value,
    samples: samplesOf(first.value, rows, mapping, limits),
  };
}

/** The samples of `openDataset`. */
export async function* readDataset(source: ByteSource, options: ReadDatasetOptions): AsyncGenerator<Sample> {
  const { samples } = await openDataset(source, options);
  for await (const { sample } of samples) yield sample;
}

/** The same mapping and checks for samples that come inside a JSON request. */
export function mapSamples(
  samples: readonly Record<string, unknown>[],
  mapping: ColumnMapping = {},
  limits?: Partial<DatasetLimits>,
): Sample[] {
  const toSample = createSampler(mapping, withDefaults(limits));
  const checkId = mapping.id === undefined ? null : createIdCheck();
  return samples.map((fields, i) => {
    const sample = toSample({ number: i + 1, fields });
    checkId?.(sample, i + 1);
    return sample;
  });
}

async function* samplesOf(
  first: Row,
  rest: AsyncGenerator<Row>,
  mapping: ColumnMapping,
  limits: DatasetLimits,
): AsyncGenerator<{ row: Row; sample: Sample }> {
  const toSample = createSampler(mapping, limits);
  const checkId = mapping.id === undefined ? null : createIdCheck();
  let count = 0;
  try {
    for (let row: Row | undefined = first; row !== undefined; ) {
      count += 1;
      if (count > limits.rows) throw datasetTooLarge(`the file has more than ${limits.rows} rows`);
      const sample = toSample(row);
      checkId?.(sample, row.number);
      yield { row, sample };
      const next: IteratorResult<Row, unknown> = await rest.next();
      row = next.done ? undefined : next.value;
    }
  } finally {
    await rest.return(undefined);
  }
}

function createIdCheck(): (sample: Sample, row: number) => void {
  const rowOf = new Map<string, number>();
  return ({ id }, row) => {
    if (typeof id !== "string" && typeof id !== "number") return;
    const key = String(id);
    const earlier = rowOf.get(key);
    if (earlier !== undefined) throw idUsedTwice(row, key, earlier);
    if (rowOf.size === MAXIMUM_IDS) throw datasetTooLarge(`rows with ids: more than ${MAXIMUM_IDS} of them`);
    rowOf.set(key, row);
  };
}

function fitsNot(shapes: readonly NamedShape[], first: Row): Problem {
  const wanted = shapes.map(({ columns }) => columns.join(", ")).join("; or ");
  const found = Object.keys(first.fields).slice(0, 30).join(", ");
  const detail = `the file is not of the shape of "${shapes[0]!.template}", which has the columns ${wanted}; it has ${found}`;
  return fieldProblem("DATASET_INVALID", "/template", detail);
}

async function openRows(source: ByteSource, options: ReadDatasetOptions, limits: DatasetLimits) {
  const partial = options.partial ?? false;
  const content = await plainBytes(source, limits, partial);
  const format = options.format ?? formatOf(options.fileName, content.head);
  const opened = { format, gzip: content.gzip };
  const isParquet = startsWith(content.head, PARQUET_MAGIC);
  if (format === "parquet") {
    if (!isParquet) throw formatUnknown(`"${options.fileName}" does not start like a Parquet file`);
    return { ...opened, rows: readParquet(content.bytes, limits) };
  }
  if (isParquet) throw formatUnknown(`"${options.fileName}" is a Parquet file, not ${format}`);
  const ending = { reached: false };
  const text = watched(decodeUtf8(content.bytes), ending);
  return { ...opened, rows: guarded(textRows(text, format, options, limits), ending, partial) };
}

function textRows(
  text: AsyncIterable<string>,
  format: Exclude<DatasetFormat, "parquet">,
  options: ReadDatasetOptions,
  limits: DatasetLimits,
): AsyncGenerator<Row> {
  switch (format) {
    case "jsonl":
      return readJsonl(text, limits);
    case "json":
      return readJsonArray(text, limits);
    case "json_objects":
      return readJsonObjects(text, limits);
    case "text":
      return readPlainText(text, limits);
    case "csv":
    case "tsv": {
      const shapes = options.shapes ?? [];
      const namesFor = (record: readonly string[]) =>
        headerlessShape(record, shapes, options.shapeAsked ?? false)?.header ?? null;
      const expected = [...KNOWN_COLUMN_NAMES, ...Object.values(options.mapping ?? {})];
      const header = options.header === undefined ? {} : { header: options.header };
      return readDelimited(text, { delimiter: format === "csv" ? "," : "\t", expected, namesFor, ...header }, limits);
    }
  }
}

async function* watched(text: AsyncIterable<string>, ending: { reached: boolean }): AsyncGenerator<string> {
  yield* text;
  ending.reached = true;
}

/** Names the row in which text stops being UTF-8, and takes the end of a partial file for the end of its rows. */
async function* guarded(
  rows: AsyncGenerator<Row>,
  ending: { readonly reached: boolean },
  partial: boolean,
): AsyncGenerator<Row> {
  let last = 0;
  try {
    for await (const row of rows) {
      yield row;
      last = row.number;
    }
  } catch (error) {
    if (partial && ending.reached && last > 0) return;
    if (!isProblem(error) || error.code !== "DATASET_ENCODING_INVALID") throw error;
    throw fieldProblem(error.code, `/rows/${last + 1}`, `${error.detail} (in row ${last + 1})`);
  }
}
