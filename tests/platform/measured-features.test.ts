import { randomUUID } from "node:crypto";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StoredBlob } from "../../platform/artifacts/store.ts";
import { findMeasured, forgetMeasured, keepMeasured } from "../../platform/measured-features.ts";
import { type TestPlatform, testPlatform, testWorkspace } from "../support/platform.ts";

let platform: TestPlatform;
let sae: string;
beforeAll(async () => {
  platform = await testPlatform();
  sae = await saeWithDigest();
});
afterAll(() => platform.close());

async function saeWithDigest(): Promise<string> {
  const workspace_id = platform.workspaceId;
  const model = await platform.db.model.create({
    data: {
      id: `model_${randomUUID()}`,
      workspace_id,
      name: randomUUID(),
      family: "qwen3",
      layers: 2,
      d_model: 8,
      vocab_size: 16,
      context_length: 32,
      precision: "float32",
      digest: "model",
      size_bytes: 1n,
      source: {},
    },
  });
  const row = await platform.db.sae.create({
    data: {
      id: `sae_${randomUUID()}`,
      workspace_id,
      name: randomUUID(),
      release_id: "release",
      model_id: model.id,
      layer: 0,
      tap: "resid_post.0",
      architecture: "topk",
      width: 16,
      d_model: 8,
      digest: `sae ${randomUUID()}`,
      size_bytes: 1n,
    },
  });
  return row.digest;
}

const put = (text: string) => platform.store.put(platform.workspaceId, Buffer.from(text));

/** Makes a content look as if nobody had put it for two days. */
async function age({ digest }: StoredBlob): Promise<void> {
  const then = new Date(Date.now() - 2 * 86_400_000);
  const path = join(platform.config.DATA_DIR, "artifacts", "blobs", platform.workspaceId, digest.slice(0, 2), digest);
  utimesSync(path, then, then);
  await platform.db.blob.updateMany({ where: { digest }, data: { touched_at: then } });
}

async function keep(key: string, saeDigest = sae): Promise<StoredBlob> {
  const blob = await put(`features of ${key}`);
  await keepMeasured(platform.db, platform.workspaceId, { key, blob, saeDigest, datasetDigest: null });
  return blob;
}
const find = (...keys: string[]) => findMeasured(platform.db, platform.workspaceId, keys);

test("measured features are found by their key, in their workspace and in no other", async () => {
  const blob = await keep("a");
  await keep("a");
  expect(await find("a", "unknown")).toEqual([{ key: "a", blob }]);
  expect(await findMeasured(platform.db, await testWorkspace(platform, "other"), ["a"])).toEqual([]);
});

test("their contents outlive the job that made them, until they are forgotten", async () => {
  const blob = await keep("b");
  await age(blob);
  await platform.artifacts.collect();
  expect(await platform.store.head(platform.workspaceId, blob.digest)).not.toBeNull();
  await platform.db.measuredFeatures.deleteMany({ where: { key: "b" } });
  await platform.artifacts.collect();
  expect(await platform.store.head(platform.workspaceId, blob.digest)).toBeNull();
});

test("what nobody read for a month is forgotten; being asked for keeps it", async () => {
  await keep("old");
  await keep("read");
  const then = new Date(Date.now() - 31 * 86_400_000);
  await platform.db.measuredFeatures.updateMany({ where: { key: { in: ["old", "read"] } }, data: { used_at: then } });
  expect(await find("read")).toHaveLength(1);
  await forgetMeasured(platform.db);
  expect((await find("old", "read")).map(({ key }) => key)).toEqual(["read"]);
});

test("what an sae measured goes with the sae, and what was measured of a dataset with the dataset", async () => {
  await keep("kept");
  await keep("gone", "digest of no sae");
  const blob = await put("of a dataset that is deleted");
  await keepMeasured(platform.db, platform.workspaceId, {
    key: "dataset gone",
    blob,
    saeDigest: sae,
    datasetDigest: "digest of no dataset",
  });
  await forgetMeasured(platform.db);
  expect((await find("kept", "gone", "dataset gone")).map(({ key }) => key)).toEqual(["kept"]);
});
