// One contract, every store.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDiskStore } from "../../platform/artifacts/disk.ts";
import { createS3Store } from "../../platform/artifacts/s3.ts";
import { type ArtifactStore, BlobMissing, BlobTooLarge, DigestMismatch } from "../../platform/artifacts/store.ts";
import { startS3, type TestS3 } from "../support/s3-server.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const chunks = (bytes: Uint8Array, size: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)),
  );

interface Opened {
  readonly store: ArtifactStore;
  close(): Promise<void>;
}

const stores: Record<string, () => Promise<Opened>> = {
  async disk() {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-store-"));
    const store = await createDiskStore(folder);
    return { store, close: async () => rmSync(folder, { recursive: true, force: true }) };
  },
  async s3() {
    const server: TestS3 = await startS3();
    const store = createS3Store(server.settings);
    return {
      store,
      async close() {
        await store.close();
        await server.stop();
      },
    };
  },
};

describe.each(Object.entries(stores))("the %s store", (_, open) => {
  let opened: Opened;
  let store: ArtifactStore;
  beforeAll(async () => {
    opened = await open();
    store = opened.store;
  });
  afterAll(() => opened.close());

  const read = async (digest: string, range?: { start: number; end?: number }, workspace = "workspace_a") =>
    buffer(await store.get(workspace, digest, range));

  test.each([0, 1, 300_000, 5 * 2 ** 20, 12_000_001])(
    "%i bytes come back as they were put, under their sha256",
    async (size) => {
      const bytes = randomBytes(size);
      const blob = await store.put("workspace_a", chunks(bytes, 70_000));
      expect(blob).toEqual({ digest: sha256(bytes), sizeBytes: size });
      expect((await read(blob.digest)).equals(bytes)).toBe(true);
      expect((await store.head("workspace_a", blob.digest))?.sizeBytes).toBe(size);
    },
  );

  test("a range is half-open, may lack its end, and may be empty", async () => {
    const bytes = randomBytes(200_000);
    const { digest } = await store.put("workspace_a", bytes);
    expect((await read(digest, { start: 10, end: 20 })).equals(bytes.subarray(10, 20))).toBe(true);
    expect((await read(digest, { start: 0, end: 2 })).equals(bytes.subarray(0, 2))).toBe(true);
    expect((await read(digest, { start: 130_000 })).equals(bytes.subarray(130_000))).toBe(true);
    expect((await read(digest, { start: 5, end: 5 })).length).toBe(0);
  });

  test("what is not there is missing, not an empty stream", async () => {
    const absent = sha256(Buffer.from("never put"));
    await expect(store.get("workspace_a", absent)).rejects.toThrow(BlobMissing);
    expect(await store.head("workspace_a", absent)).toBeNull();
    await store.delete("workspace_a", absent);
  });

  test("one workspace does not see another's content, even when it knows the digest", async () => {
    const { digest } = await store.put("workspace_a", Buffer.from("private to a"));
    expect(await store.head("workspace_b", digest)).toBeNull();
    await expect(store.get("workspace_b", digest)).rejects.toThrow(BlobMissing);
  });

  test("content with another digest than announced is refused and not readable", async () => {
    const bytes = randomBytes(150_000);
    const put = store.put("workspace_a", chunks(bytes, 10_000), {
      expectedDigest: sha256(Buffer.from("something else")),
    });
    await expect(put).rejects.toThrow(DigestMismatch);
    expect(await store.head("workspace_a", sha256(bytes))).toBeNull();
  });

  test("content beyond the limit is refused while it comes in", async () => {
    let produced = 0;
    async function* endless() {
      for (;;) {
        produced++;
        yield Buffer.alloc(10_000);
      }
    }
    await expect(store.put("workspace_a", endless(), { maxBytes: 100_000 })).rejects.toThrow(BlobTooLarge);
    expect(produced).toBeLessThan(100);
  });

  test("a source that fails leaves nothing readable", async () => {
    const bytes = randomBytes(90_000);
    async function* broken() {
      yield bytes;
      throw new Error("the client went away");
    }
    await expect(store.put("workspace_a", broken())).rejects.toThrow("went away");
    expect(await store.head("workspace_a", sha256(bytes))).toBeNull();
  });

  test("the same content put twice at the same time is one content", async () => {
    const bytes = randomBytes(120_000);
    const [a, b] = await Promise.all([store.put("workspace_a", bytes), store.put("workspace_a", chunks(bytes, 999))]);
    expect(a).toEqual(b);
    expect((await read(a.digest)).equals(bytes)).toBe(true);
  });

  test("a deleted content is gone, and can be put again", async () => {
    const bytes = randomBytes(1000);
    const { digest } = await store.put("workspace_a", bytes);
    await store.delete("workspace_a", digest);
    expect(await store.head("workspace_a", digest)).toBeNull();
    await store.put("workspace_a", bytes);
    expect((await read(digest)).equals(bytes)).toBe(true);
  });

  test("the list names a workspace's contents and no other's", async () => {
    const put = [];
    for (let i = 0; i < 5; i++) put.push(await store.put("workspace_list", Buffer.from(`item ${i}`)));
    const other = await store.put("workspace_other", Buffer.from("elsewhere"));
    const listed = [];
    for await (const { digest, sizeBytes, modifiedAt } of store.list("workspace_list")) {
      listed.push({ digest, sizeBytes });
      expect(Math.abs(Date.now() - modifiedAt.getTime())).toBeLessThan(600_000);
    }
    const byDigest = (a: { digest: string }, b: { digest: string }) => a.digest.localeCompare(b.digest);
    expect(listed.sort(byDigest)).toEqual(put.sort(byDigest));
    expect(listed).not.toContainEqual(other);
  });

  describe("an upload in parts", () => {
    const parts = [randomBytes(100_000), randomBytes(100_000), randomBytes(17)];
    const whole = Buffer.concat(parts);

    test("is readable when it is complete, and not before; parts may come in any order", async () => {
      const upload = await store.startUpload("workspace_a");
      const sent = [];
      for (const number of [3, 1, 2]) {
        const bytes = parts[number - 1] as Buffer;
        const url = await store.presignPart(upload, number, 60);
        if (url === null) sent.push(await store.uploadPart(upload, number, Readable.from([bytes])));
        else {
          const { status, headers } = await fetch(url, { method: "PUT", body: new Uint8Array(bytes) });
          expect(status).toBe(200);
          sent.push({ number, etag: headers.get("etag") as string });
        }
      }
      expect(await store.head("workspace_a", sha256(whole))).toBeNull();
      const blob = await store.completeUpload("workspace_a", upload, sent, { expectedDigest: sha256(whole) });
      expect(blob).toEqual({ digest: sha256(whole), sizeBytes: whole.length });
      expect((await read(blob.digest)).equals(whole)).toBe(true);
    });

    test("with another digest than announced is refused, and nothing stays behind", async () => {
      const bytes = randomBytes(80_000);
      const upload = await store.startUpload("workspace_c");
      const part = await store.uploadPart(upload, 1, bytes);
      const completed = store.completeUpload("workspace_c", upload, [part], { expectedDigest: sha256(whole) });
      await expect(completed).rejects.toThrow(DigestMismatch);
      expect(await store.head("workspace_c", sha256(bytes))).toBeNull();
      expect(await store.list("workspace_c")[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    });

    test("with a part that was never sent is refused", async () => {
      const upload = await store.startUpload("workspace_a");
      await store.uploadPart(upload, 1, parts[0] as Buffer);
      const claimed = [{ number: 2, etag: "0".repeat(32) }];
      await expect(store.completeUpload("workspace_a", upload, claimed)).rejects.toThrow();
    });
  });

  test("a presigned address, where the store gives one, serves the content as an attachment for a while", async () => {
    const { digest } = await store.put("workspace_a", Buffer.from("for the client"));
    const url = await store.presignGet("workspace_a", digest, {
      expiresSeconds: 60,
      fileName: "räport.txt",
      contentType: "text/plain",
    });
    if (store.kind === "disk") {
      expect(url).toBeNull();
      return;
    }
    const answer = await fetch(url as string);
    expect(await answer.text()).toBe("for the client");
    expect(answer.headers.get("content-disposition")).toBe("attachment; filename*=UTF-8''r%C3%A4port.txt");
    expect(new URL(url as string).searchParams.get("X-Amz-Expires")).toBe("60");
  });
});

describe("the disk store", () => {
  // Not in the contract above: the S3 server of the tests takes `bytes=0-0` for the whole object.
  test("gives the first byte alone", async () => {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-store-"));
    const store = await createDiskStore(folder);
    const { digest } = await store.put("workspace_a", Buffer.from("abc"));
    expect((await buffer(await store.get("workspace_a", digest, { start: 0, end: 1 }))).toString()).toBe("a");
    rmSync(folder, { recursive: true, force: true });
  });

  test("removes old drafts and keeps young ones and contents", async () => {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-store-"));
    const store = await createDiskStore(folder);
    const { digest } = await store.put("workspace_a", Buffer.from("kept"));
    const old = await store.startUpload("workspace_a");
    const young = await store.startUpload("workspace_a");
    const yesterday = new Date(Date.now() - 86_400_000);
    utimesSync(join(folder, "drafts", old.uploadId), yesterday, yesterday);
    expect(await store.cleanUp(3_600_000)).toBe(1);
    expect(readdirSync(join(folder, "drafts"))).toEqual([young.uploadId]);
    expect(await store.head("workspace_a", digest)).not.toBeNull();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a failed put leaves no draft", async () => {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-store-"));
    const store = await createDiskStore(folder);
    await expect(store.put("workspace_a", Buffer.from("x"), { expectedDigest: "0" })).rejects.toThrow(DigestMismatch);
    expect(readdirSync(join(folder, "drafts"))).toEqual([]);
    rmSync(folder, { recursive: true, force: true });
  });

  test("a name that would leave the folder is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "qwen-scope-store-"));
    const store = await createDiskStore(folder);
    for (const name of ["..", "a/b", "", "a\0b"]) {
      await expect(store.put(name, Buffer.from("x"))).rejects.toThrow(RangeError);
      await expect(store.head("workspace_a", name)).rejects.toThrow(RangeError);
    }
    rmSync(folder, { recursive: true, force: true });
  });
});
