import type { Sample } from "../../domain/dataset.ts";
import { Problem } from "../../domain/problem.ts";
import { type ReadDatasetOptions, readDataset } from "../../formats/dataset.ts";

/** All samples of a file given as text or bytes, handed over in pieces of `chunk` bytes. */
export async function readAll(
  content: string | Uint8Array,
  options: ReadDatasetOptions,
  chunk = Number.POSITIVE_INFINITY,
): Promise<Sample[]> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const samples: Sample[] = [];
  for await (const sample of readDataset(pieces(bytes, chunk), options)) samples.push(sample);
  return samples;
}

/** The problem with which a file is refused. */
export async function refusal(
  content: string | Uint8Array,
  options: ReadDatasetOptions,
  chunk?: number,
): Promise<Problem> {
  try {
    await readAll(content, options, chunk);
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error(`${options.fileName} was not refused`);
}

function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, Math.min(bytes.length, at + size));
}
