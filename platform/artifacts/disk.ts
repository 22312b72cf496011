// Artifacts in a folder: {root}/blobs/{workspace}/{first two}/{digest}, made under {root}/drafts and renamed, so that a
// name under blobs/ always has its whole, verified content. The folder may be shared by machines over a network disk.
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { checkedContent } from "./checked-content.ts";
import { type ArtifactStore, BlobMissing } from "./store.ts";

const partSizeBytes = 16 * 2 ** 20;

export async function createDiskStore(root: string): Promise<ArtifactStore> {
  const drafts = join(root, "drafts");
  const blobs = join(root, "blobs");
  await mkdir(drafts, { recursive: true });
  await mkdir(blobs, { recursive: true });

  const folderOf = (workspaceId: string) => join(blobs, safeName(workspaceId));
  const pathOf = (workspaceId: string, digest: string) =>
    join(folderOf(workspaceId), safeName(digest).slice(0, 2), safeName(digest));
  const uploadFolder = (uploadId: string) => join(drafts, safeName(uploadId));

  const store: ArtifactStore = {
    kind: "disk",

    async put(workspaceId, content, options = {}) {
      const draft = join(drafts, randomUUID());
      const checked = checkedContent(content, options);
      try {
        await pipeline(checked.stream, createWriteStream(draft, { flags: "wx", mode: 0o600 }), {
          signal: options.signal,
        });
        const blob = checked.verify();
        await syncFile(draft);
        await publish(draft, pathOf(workspaceId, blob.digest));
        return blob;
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },

    async get(workspaceId, digest, range) {
      const path = pathOf(workspaceId, digest);
      // Opened before it is returned: a missing blob is an answer, not an error of the stream.
      const file = await open(path).catch(missing(digest));
      if (range !== undefined && range.end !== undefined && range.end <= range.start) {
        await file.close();
        return Readable.from([]);
      }
      return file.createReadStream({
        ...(range === undefined ? {} : { start: range.start }),
        ...(range?.end === undefined ? {} : { end: range.end - 1 }),
      });
    },

    async head(workspaceId, digest) {
      const found = await stat(pathOf(workspaceId, digest)).catch(() => null);
      return found === null ? null : { sizeBytes: found.size, modifiedAt: found.mtime };
    },

    async delete(workspaceId, digest) {
      await rm(pathOf(workspaceId, digest), { force: true });
    },

    async *list(workspaceId) {
      const folder = folderOf(workspaceId);
      for (const group of await readdir(folder).catch(() => []))
        for (const digest of await readdir(join(folder, group))) {
          const found = await stat(join(folder, group, digest)).catch(() => null);
          if (found !== null) yield { digest, sizeBytes: found.size, modifiedAt: found.mtime };
        }
    },

    presignGet: async () => null,
    presignPart: async () => null,

    async startUpload() {
      const uploadId = randomUUID();
      await mkdir(uploadFolder(uploadId));
      return { uploadId, key: uploadId, partSizeBytes };
    },

    async uploadPart(upload, part, content) {
      const path = join(uploadFolder(upload.uploadId), `part-${part}`);
      const draft = `${path}.${randomUUID()}`;
      const hash = createHash("sha256");
      await pipeline(
        content instanceof Uint8Array ? Readable.from([content]) : content,
        async function* (chunks: AsyncIterable<Uint8Array>) {
          for await (const chunk of chunks) {
            hash.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(draft, { flags: "wx", mode: 0o600 }),
      );
      const etag = hash.digest("hex");
      await rename(draft, path);
      await writeFile(`${path}.etag`, etag);
      return { number: part, etag };
    },

    async completeUpload(workspaceId, upload, parts, options = {}) {
      const folder = uploadFolder(upload.uploadId);
      const paths = [...parts]
        .sort((a, b) => a.number - b.number)
        .map((part) => ({ ...part, path: join(folder, `part-${part.number}`) }));
      for (const { path, etag, number } of paths) {
        const known = await readFile(`${path}.etag`, "utf8").catch(() => null);
        if (known !== etag) throw new RangeError(`part ${number}: no part with the ETag ${etag} was uploaded`);
      }
      try {
        return await store.put(workspaceId, concatenate(paths.map(({ path }) => path)), options);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    async abortUpload(upload) {
      await rm(uploadFolder(upload.uploadId), { recursive: true, force: true });
    },

    async cleanUp(olderThanMs) {
      let removed = 0;
      for (const name of await readdir(drafts)) {
        const path = join(drafts, name);
        const found = await stat(path).catch(() => null);
        if (found === null || found.mtimeMs > Date.now() - olderThanMs) continue;
        await rm(path, { recursive: true, force: true });
        removed++;
      }
      return removed;
    },

    async close() {},
  };
  return store;
}

async function* concatenate(paths: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const path of paths) yield* createReadStream(path) as AsyncIterable<Uint8Array>;
}

/** Two puts of the same content may meet here; either's file is the right one. */
async function publish(draft: string, path: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await rename(draft, path);
}

/** The content is on the disk before its name is: after a power cut a blob is whole or absent. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}

function missing(digest: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    throw error.code === "ENOENT" ? new BlobMissing(`there is no blob ${digest}`) : error;
  };
}

/** Ids and digests become file names; anything that could leave the folder is a bug or an attack. */
function safeName(name: string): string {
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(name)) throw new RangeError(`not a name for a file: ${JSON.stringify(name)}`);
  return name;
}
