/** Each sample's features as gzipped JSON Lines, so that anyone can redo the analysis by other means. */
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGzip } from "node:zlib";

export interface FeatureSetFile {
  /** @param sample 0-based index in the dataset @param features in any order, repetitions allowed */
  add(benchmark: string, sample: number, features: readonly number[]): Promise<void>;
  /** Ends the file and gives its bytes. */
  finish(): Promise<Readable>;
  /** Gives up its handles, finished or not; the folder's owner removes the file. */
  close(): Promise<void>;
}

export async function createFeatureSetFile(folder: string): Promise<FeatureSetFile> {
  const path = join(folder, "feature-sets.jsonl.gz");
  const gzip = createGzip();
  const file = gzip.pipe(createWriteStream(path));
  await once(file, "open");
  return {
    async add(benchmark, sample, features) {
      const sorted = [...new Set(features)].sort((a, b) => a - b);
      if (!gzip.write(`${JSON.stringify({ benchmark, sample, features: sorted })}\n`)) await once(gzip, "drain");
    },
    async finish() {
      gzip.end();
      await finished(file);
      return createReadStream(path);
    },
    async close() {
      gzip.destroy();
      file.destroy();
    },
  };
}
