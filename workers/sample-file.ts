/** A dataset on the local disk whose samples can be read in any order, such as a shuffled pass over it. */
import type { Sample } from "../domain/dataset.ts";
import type { Blobs } from "./jobs/handler.ts";
import { openLineFile } from "./line-file.ts";

export interface SampleFile {
  readonly count: number;
  read(index: number): Promise<Sample>;
  close(): Promise<void>;
}

/** `path`: where the dataset's JSON Lines are copied to. */
export async function openSampleFile(blobs: Blobs, digest: string, path: string): Promise<SampleFile> {
  const file = await openLineFile(await blobs.get(digest), path);
  return {
    count: file.count,
    read: async (index) => JSON.parse(await file.read(index)) as Sample,
    close: () => file.close(),
  };
}
