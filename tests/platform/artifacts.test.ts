import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StoredBlob } from "../../platform/artifacts/store.ts";
import { type TestPlatform, testPlatform, testWorkspace } from "../support/platform.ts";

let platform: TestPlatform;
beforeAll(async () => {
  platform = await testPlatform();
});
afterAll(() => platform.close());

const put = (text: string) => platform.store.put(platform.workspaceId, Buffer.from(text));
const artifact = (name: string, blob: StoredBlob, expiresAt?: Date) =>
  platform.artifacts.create({ workspaceId: platform.workspaceId, name, contentType: "text/plain", blob, expiresAt });
const isThere = async (blob: StoredBlob) => (await platform.store.head(platform.workspaceId, blob.digest)) !== null;

/** Makes a content look as if nobody had put it for two days. */
async function age({ digest }: StoredBlob): Promise<void> {
  const then = new Date(Date.now() - 2 * 86_400_000);
  const path = join(platform.config.DATA_DIR, "artifacts", "blobs", platform.workspaceId, digest.slice(0, 2), digest);
  utimesSync(path, then, then);
  await platform.db.blob.updateMany({ where: { digest }, data: { touched_at: then } });
}

test("an artifact is seen in its workspace and in no other", async () => {
  const made = await artifact("report.json", await put("{}"));
  expect(await platform.artifacts.find(platform.workspaceId, made.id)).toMatchObject({
    name: "report.json",
    size_bytes: 2n,
  });
  expect(await platform.artifacts.find(await testWorkspace(platform, "other"), made.id)).toBeNull();
});

test("a content stays as long as one of its artifacts does, and goes with the last", async () => {
  const blob = await put("shared by two names");
  const [one, two] = [await artifact("one", blob), await artifact("two", blob)];
  await age(blob);
  await platform.db.artifact.delete({ where: { id: one.id } });
  await platform.artifacts.collect();
  expect(await isThere(blob)).toBe(true);
  await platform.db.artifact.delete({ where: { id: two.id } });
  await platform.artifacts.collect();
  expect(await isThere(blob)).toBe(false);
  expect(await platform.db.blob.count({ where: { digest: blob.digest } })).toBe(0);
});

test("a content that was put and is not yet named stays for a day, then goes", async () => {
  const blob = await put("a worker put this and will name it when its job ends");
  await platform.artifacts.collect();
  expect(await isThere(blob)).toBe(true);
  await age(blob);
  await platform.artifacts.collect();
  expect(await isThere(blob)).toBe(false);
});

test("an old content that is put again is safe before anything names it", async () => {
  const blob = await put("the same checkpoint as last week");
  await age(blob);
  await put("the same checkpoint as last week");
  await platform.artifacts.collect();
  expect(await isThere(blob)).toBe(true);
});

test("an expired artifact goes, unless a dataset is made of it", async () => {
  const past = new Date(Date.now() - 1000);
  const [loose, used] = [
    await artifact("loose", await put("loose"), past),
    await artifact("used", await put("used"), past),
  ];
  await platform.db.dataset.create({
    data: {
      id: "dataset_1",
      workspace_id: platform.workspaceId,
      name: "d",
      samples: 1,
      columns: [],
      digest: "x",
      size_bytes: 4,
      artifact_id: used.id,
    },
  });
  await platform.artifacts.collect();
  expect(await platform.artifacts.find(platform.workspaceId, loose.id)).toBeNull();
  expect(await platform.artifacts.find(platform.workspaceId, used.id)).not.toBeNull();
});

test("an artifact that a dataset needs cannot be deleted from under it", async () => {
  const used = await platform.db.dataset.findUniqueOrThrow({ where: { id: "dataset_1" } });
  await expect(platform.db.artifact.delete({ where: { id: used.artifact_id } })).rejects.toThrow(/[Ff]oreign key/);
});
