/** Checkpoints of an index: every array of every sae, and where the pass stood. */
import { Readable } from "node:stream";
import { Problem } from "../../../domain/problem.ts";
import type { FeatureIndex, IndexArray } from "../../../engine/features/feature-index.ts";
import {
  type NamedTensor,
  parseSafetensors,
  type SafetensorsDType,
  safetensorsParts,
} from "../../../formats/safetensors.ts";
import { bytesOf } from "../../bytes.ts";
import { FIRST_PLACE, type TokenPlace } from "../../token-order.ts";
import type { JobContext } from "../handler.ts";

export interface IndexProgress {
  readonly place: TokenPlace;
  /** Read so far, position 0 included. */
  readonly tokens: number;
  readonly sequences: number;
  /** Nothing is left to read. */
  readonly ended: boolean;
}

export const NOTHING_READ: IndexProgress = { place: FIRST_PLACE, tokens: 0, sequences: 0, ended: false };

const arrayTypes = {
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  I16: Int16Array,
  U8: Uint8Array,
} as const;

function typeOf(array: IndexArray): keyof typeof arrayTypes {
  const found = Object.entries(arrayTypes).find(([, type]) => array instanceof type);
  return found![0] as keyof typeof arrayTypes;
}

export async function saveIndex(
  context: JobContext,
  indexes: readonly FeatureIndex[],
  progress: IndexProgress,
): Promise<void> {
  const tensors = indexes.flatMap((index, i) =>
    Object.entries(index.arrays()).map(
      ([name, data]): NamedTensor => ({ name: `${i}.${name}`, dtype: typeOf(data), shape: [data.length], data }),
    ),
  );
  // The job's own number keeps the contents of equal jobs apart.
  const parts = safetensorsParts(tensors, { job: context.jobId, progress: JSON.stringify(progress) });
  await context.saveCheckpoint(Readable.from(parts), progress.tokens);
}

/** Fills the indexes with what an earlier attempt had. @throws Problem CHECKPOINT_MISMATCH */
export async function loadIndex(context: JobContext, indexes: readonly FeatureIndex[]): Promise<IndexProgress> {
  if (!context.checkpoint) return NOTHING_READ;
  const file = parseSafetensors(await bytesOf(await context.blobs.get(context.checkpoint.digest)));
  const { job, progress } = file.metadata;
  if (job !== context.jobId || progress === undefined)
    throw new Problem("CHECKPOINT_MISMATCH", `the checkpoint was made by ${job}, this is ${context.jobId}`);
  for (const [i, index] of indexes.entries()) {
    const names = Object.keys(index.arrays());
    index.restore(Object.fromEntries(names.map((name) => [name, arrayOf(file, `${i}.${name}`)])));
  }
  return JSON.parse(progress) as IndexProgress;
}

function arrayOf(file: ReturnType<typeof parseSafetensors>, name: string): IndexArray {
  // A copy, for its alignment.
  const bytes = Uint8Array.from(file.bytesOf(name));
  const type = arrayTypes[file.tensors.get(name)!.dtype as SafetensorsDType & keyof typeof arrayTypes];
  return new type(bytes.buffer);
}
