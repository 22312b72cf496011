/** The lines of a batch, from an uploaded file or a dataset, each with its number. */
import { join } from "node:path";
import { fieldProblem, Problem } from "../../../domain/problem.ts";
import {
  maximumBatchBytes,
  maximumBatchLineBytes,
  maximumBatchLines,
  type SteeringBatchInput,
  sampleAsLine,
} from "../../../domain/steering-batch.ts";
import { plainBytes } from "../../../formats/bytes.ts";
import { withDefaults } from "../../../formats/limits.ts";
import { openLineFile } from "../../line-file.ts";
import type { JobContext } from "../handler.ts";

export interface BatchLines {
  readonly count: number;
  row(index: number): number;
  /**
   * The line's value, to be read as a request.
   *
   * @throws Problem when it is no JSON, or too long
   */
  read(index: number): Promise<unknown>;
  close(): Promise<void>;
}

/** No line with a custom_id is as short; whether a shorter one is more than white space is looked at. */
const SHORT_BYTES = 8;

export async function openBatchLines(input: SteeringBatchInput, context: JobContext): Promise<BatchLines> {
  const { catalog, blobs, scratch } = context;
  const isFile = input.artifact_id !== undefined;
  const source = isFile ? await catalog.artifact(input.artifact_id!) : await catalog.dataset(input.dataset_id!);
  const limits = withDefaults({ fileBytes: maximumBatchBytes, expandedBytes: maximumBatchBytes });
  const { bytes } = await plainBytes(await blobs.get(source.digest), limits);
  const file = await openLineFile(bytes, join(scratch, "lines.jsonl"));
  const pointer = isFile ? "/input/artifact_id" : "/input/dataset_id";
  const lines: number[] = [];
  for (let index = 0; index < file.count; index++) {
    if (file.sizeOf(index) > SHORT_BYTES || (await file.read(index)).trim() !== "") lines.push(index);
  }
  if (lines.length === 0) throw fieldProblem("DATASET_TOO_SMALL", pointer, "the file has no line");
  if (lines.length > maximumBatchLines) {
    const detail = `there are ${lines.length} lines; a batch may have ${maximumBatchLines}: make several of it`;
    throw fieldProblem("DATASET_TOO_LARGE", pointer, detail);
  }
  return {
    count: lines.length,
    row: (index) => file.row(lines[index]!),
    async read(index) {
      const sizeBytes = file.sizeOf(lines[index]!);
      if (sizeBytes > maximumBatchLineBytes) {
        const detail = `the line has ${sizeBytes} bytes; a line may have ${maximumBatchLineBytes}`;
        throw new Problem("VALIDATION_FAILED", detail);
      }
      const value = parseLine(await file.read(lines[index]!));
      return isFile ? value : sampleAsLine(value as Record<string, unknown>, file.row(lines[index]!), input);
    },
    close: () => file.close(),
  };
}

function parseLine(text: string): unknown {
  try {
    // A file may begin with a byte order mark.
    return JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    throw new Problem("REQUEST_MALFORMED", `the line is not JSON: ${(error as Error).message}`);
  }
}
