/** Where a training's activations come from: the model itself, or shards that a harvest left. Both give the same batches. */
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type ActivationManifest, ActivationManifest as ManifestSchema } from "../domain/activations.ts";
import { fieldProblem, isProblem } from "../domain/problem.ts";
import { parse } from "../domain/schema.ts";
import { harvest } from "../engine/llm/harvest.ts";
import type { LanguageModel } from "../engine/llm/model.ts";
import type { ActivationBatch } from "../engine/runtime/activations.ts";
import { SafetensorsError } from "../formats/safetensors.ts";
import { checkShard, openShard, readShardHeader, ShardError } from "./activation-shards.ts";
import { bytesOf } from "./bytes.ts";
import type { JobContext } from "./jobs/handler.ts";
import type { TokenOrder, TokenPlace } from "./token-order.ts";

/** Tokens that go through the model together: a cancel waits for as many, and more would hardly be faster. */
export const HARVEST_TOKENS = 1024;

export interface PlacedBatch {
  readonly batch: ActivationBatch;
  /** Where the batch after this one starts: what a checkpoint keeps. */
  readonly next: TokenPlace;
}

export interface ActivationSource {
  /** Batches from a place on, without end: passes follow each other. Ends where a whole pass gives nothing. */
  from(place: TokenPlace): AsyncGenerator<PlacedBatch>;
}

/** Activations made on the fly: they never touch the disk. `passes`: so many over the dataset, then the end. */
export function modelSource(
  model: LanguageModel,
  order: TokenOrder,
  { layers, passes = Number.POSITIVE_INFINITY }: { readonly layers: readonly number[]; readonly passes?: number },
): ActivationSource {
  return {
    async *from(place) {
      const ends = new Map<number, TokenPlace>();
      async function* sequences(): AsyncGenerator<Int32Array> {
        let index = 0;
        for await (const { ids, next } of order.from(place)) {
          if (next.pass >= passes) return;
          ends.set(index++, next);
          yield ids;
        }
      }
      for await (const batch of harvest(model, sequences(), { layers, batchTokens: HARVEST_TOKENS })) {
        // Batches are made of whole sequences, one after the other: what follows the last one has not been seen.
        const last = batch.sequence[batch.rows - 1]!;
        const next = ends.get(last)!;
        for (const index of ends.keys()) if (index <= last) ends.delete(index);
        yield { batch, next };
      }
    },
  };
}

export async function readManifest({ catalog, blobs }: JobContext, id: string): Promise<ActivationManifest> {
  const { digest } = await catalog.artifact(id);
  const bytes = await bytesOf(await blobs.get(digest));
  try {
    return parse(ManifestSchema, JSON.parse(Buffer.from(bytes).toString("utf8")), "");
  } catch (error) {
    if (!isProblem(error) && !(error instanceof SyntaxError)) throw error;
    throw fieldProblem(
      "ACTIVATIONS_MISMATCH",
      "/input/activations_id",
      `the artifact is no manifest: ${error.message}`,
    );
  }
}

/** Looks at the head of every shard before any work: hours later would be late for a shard of another width. */
export async function checkShards(manifest: ActivationManifest, { blobs, catalog }: JobContext): Promise<void> {
  for (const [index, shard] of manifest.shards.entries()) {
    const { digest, sizeBytes } = await catalog.artifact(shard.artifact_id);
    try {
      if (digest !== shard.digest) throw new ShardError("its content is not what the manifest was made of");
      checkShard(await readShardHeader(await blobs.get(digest), sizeBytes), manifest, shard.rows);
    } catch (error) {
      throw shardProblem(error, index);
    }
  }
}

function shardProblem(error: unknown, index: number): unknown {
  if (!(error instanceof ShardError) && !(error instanceof SafetensorsError)) return error;
  return fieldProblem("ACTIVATIONS_MISMATCH", "/input/activations_id", `shard ${index}: ${error.message}`);
}

/** Activations of a harvest. One shard is on the local disk at a time; a place is (pass, shard, row). */
export function shardSource(
  manifest: ActivationManifest,
  layers: readonly number[],
  { blobs, scratch }: JobContext,
): ActivationSource {
  async function* shard(index: number, fromRow: number) {
    const { digest, rows } = manifest.shards[index]!;
    const path = join(scratch, `activations-${index}.safetensors`);
    await pipeline(await blobs.get(digest), createWriteStream(path));
    const file = await openShard(path, manifest, rows).catch((error) => {
      throw shardProblem(error, index);
    });
    try {
      for await (const { batch, nextRow } of file.batches(layers, fromRow)) {
        yield { batch, at: nextRow === rows ? { shard: index + 1, row: 0 } : { shard: index, row: nextRow } };
      }
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
  }
  return {
    async *from(place) {
      let { pass, sample: first, piece: row } = place;
      for (; ; pass++, first = 0) {
        for (let index = first; index < manifest.shards.length; index++, row = 0) {
          for await (const { batch, at } of shard(index, row)) {
            const ended = at.shard === manifest.shards.length;
            const next = ended ? { pass: pass + 1, sample: 0, piece: 0 } : { pass, sample: at.shard, piece: at.row };
            yield { batch, next };
          }
        }
      }
    },
  };
}
