import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSae } from "../../engine/sae/open-sae.ts";
import { createDiskStore } from "../../platform/artifacts/disk.ts";
import { createBlobs } from "../../workers/blobs.ts";
import type { Blobs } from "../../workers/jobs/handler.ts";
import { useSae } from "../../workers/open-models.ts";
import type { SaeRow } from "../../workers/records.ts";
import { createResidency } from "../../workers/residency.ts";
import { saeBytes, storeSae } from "../../workers/sae-files.ts";
import { normals, randomSae } from "../engine/sae/support.ts";

const D = 16;
const width = 64;
const layers = [0, 1, 2, 3];
const sae = (layer: number) => randomSae(D, width, { kind: "topk", k: 4 }, 10 * layer);
const bytes = saeBytes(D, width);
const rows_BD = normals(3 * D, 1);

let folder: string;
let blobs: Blobs;
let stored: SaeRow[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sae-paging-"));
  blobs = createBlobs(await createDiskStore(join(folder, "store")), "workspace_a");
  stored = await Promise.all(
    layers.map(async (layer) => {
      const toStore = { sae: sae(layer), modelName: "tiny", layer, statistics: null };
      const { artifacts, digest, sizeBytes } = await storeSae(toStore, `layer${layer}`, { scratch: folder, blobs });
      const files = artifacts.map(({ name, blob }) => ({ path: name.split("/").at(-1)!, ...blob }));
      const names = { id: `sae_${layer}`, name: `layer${layer}`, modelId: "model_a", architecture: "topk" };
      return { ...names, layer, width, dModel: D, k: 4, digest, sizeBytes, files };
    }),
  );
});
afterAll(() => rm(folder, { recursive: true }));

/** A worker with memory for two of the four layers. */
function worker() {
  const residency = createResidency(2.5 * bytes);
  const cacheFolder = join(folder, "cache");
  const settings = {
    device: "cpu",
    threads: 1,
    memoryBytes: 1e9,
    modelRoots: [],
    cacheFolder,
    maxBatch: 1,
    cacheBytes: 0,
  };
  return {
    residency,
    use: (layer: number) => useSae({ residency, blobs, settings: settings as never }, stored[layer]!),
  };
}

test("layers page in and out of a budget for two, and encode as if they had never left", async () => {
  const { residency, use } = worker();
  const expected = await Promise.all(
    layers.map(async (layer) => {
      const opened = await openSae(sae(layer), { threads: 1 });
      return await opened.encode(rows_BD).finally(() => opened.close());
    }),
  );
  for (const layer of [0, 1, 2, 3, 0, 0, 2, 1, 3]) {
    const lease = await use(layer);
    expect(residency.residentBytes).toBeLessThanOrEqual(2.5 * bytes);
    expect(await lease.value.opened.encode(rows_BD)).toEqual(expected[layer]);
    lease.release();
  }
  expect(residency.keys()).toHaveLength(2);
  await residency.close();
});

test("layers in use at the same time stay; one more than fits is refused, not squeezed in", async () => {
  const { residency, use } = worker();
  const held = [await use(0), await use(1)];
  await expect(use(2)).rejects.toMatchObject({ code: "WORKER_UNAVAILABLE" });
  for (const { value } of held) expect((await value.opened.encode(rows_BD)).rows).toBe(3);
  held[0]!.release();
  (await use(2)).release();
  expect(residency.residentBytes).toBe(2 * bytes);
  held[1]!.release();
  await residency.close();
});
