// Artifacts in an S3 bucket: {prefix}blobs/{workspace}/{digest}. Content of unknown digest is spooled to a local draft
// while it is hashed, then sent under its final key, which S3 makes readable only when it is whole. Parts go out as
// buffers: the SDK then sends its checksums as headers, and not as trailers, which many S3-compatible servers cannot read.
import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { checkedContent } from "./checked-content.ts";
import { type ArtifactStore, type BlobInfo, BlobMissing, type UploadPart } from "./store.ts";

/** S3 copies at most this in one request. */
const copyLimitBytes = 5 * 2 ** 30;

const resendAfterMs = 3_600_000;

export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  readonly prefix: string;
  readonly endpoint?: string | undefined;
  /** The address clients reach, put into presigned addresses. */
  readonly publicEndpoint?: string | undefined;
  readonly presign: boolean;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
  /** At least 5 MiB, as S3 demands; default 16 MiB. */
  readonly partSizeBytes?: number | undefined;
}

export function createS3Store(settings: S3Settings): ArtifactStore {
  const { bucket: Bucket, prefix } = settings;
  const partSizeBytes = settings.partSizeBytes ?? 16 * 2 ** 20;
  const connect = (endpoint: string | undefined) =>
    new S3Client({
      region: settings.region,
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    });
  const client = connect(settings.endpoint);
  const publicClient = settings.publicEndpoint === undefined ? client : connect(settings.publicEndpoint);

  const keyOf = (workspaceId: string, digest: string) => `${prefix}blobs/${workspaceId}/${digest}`;
  const uploadKey = (id: string) => `${prefix}uploads/${id}`;

  async function look(Key: string): Promise<BlobInfo | null> {
    try {
      const { ContentLength = 0, LastModified = new Date(0) } = await client.send(
        new HeadObjectCommand({ Bucket, Key }),
      );
      return { sizeBytes: ContentLength, modifiedAt: LastModified };
    } catch (error) {
      if (statusOf(error) === 404) return null;
      throw error;
    }
  }

  async function read(Key: string, Range?: string): Promise<Readable> {
    try {
      const { Body } = await client.send(
        new GetObjectCommand({ Bucket, Key, ...(Range === undefined ? {} : { Range }) }),
      );
      return Body as Readable;
    } catch (error) {
      if (statusOf(error) === 404) throw new BlobMissing(`there is no object ${Key}`);
      throw error;
    }
  }

  async function sendFile(Key: string, path: string): Promise<void> {
    const Body = createReadStream(path, { highWaterMark: 2 ** 20 });
    // Cuts the file into parts, a few at a time, or sends it as one object when it is no longer than a part.
    await new Upload({ client, params: { Bucket, Key, Body }, partSize: partSizeBytes, queueSize: 3 }).done();
  }

  /** Objects beyond 5 GiB are copied in ranges. */
  async function copy(from: string, to: string, sizeBytes: number): Promise<void> {
    const CopySource = `${Bucket}/${from}`;
    if (sizeBytes <= copyLimitBytes) {
      await client.send(new CopyObjectCommand({ Bucket, Key: to, CopySource }));
      return;
    }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: to }));
    const where = { Bucket, Key: to, UploadId };
    try {
      const Parts = [];
      for (let start = 0; start < sizeBytes; start += copyLimitBytes) {
        const PartNumber: number = Parts.length + 1;
        const CopySourceRange = `bytes=${start}-${Math.min(sizeBytes, start + copyLimitBytes) - 1}`;
        const command = new UploadPartCopyCommand({ ...where, PartNumber, CopySource, CopySourceRange });
        Parts.push({ PartNumber, ETag: (await client.send(command)).CopyPartResult?.ETag });
      }
      await client.send(new CompleteMultipartUploadCommand({ ...where, MultipartUpload: { Parts } }));
    } catch (error) {
      await client.send(new AbortMultipartUploadCommand(where)).catch(() => {});
      throw error;
    }
  }

  return {
    kind: "s3",

    async put(workspaceId, content, options = {}) {
      const folder = await mkdtemp(join(tmpdir(), "qwen-scope-"));
      const draft = join(folder, "draft");
      try {
        const checked = checkedContent(content, options);
        await pipeline(checked.stream, createWriteStream(draft, { mode: 0o600 }), { signal: options.signal });
        const blob = checked.verify();
        const key = keyOf(workspaceId, blob.digest);
        const there = await look(key);
        // Sent again when it is old: its date is what tells the collector that somebody is about to point to it.
        if (
          there === null ||
          there.sizeBytes !== blob.sizeBytes ||
          there.modifiedAt.getTime() < Date.now() - resendAfterMs
        )
          await sendFile(key, draft);
        return blob;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },

    async get(workspaceId, digest, range) {
      const key = keyOf(workspaceId, digest);
      if (range === undefined) return read(key);
      if (range.end !== undefined && range.end <= range.start) return Readable.from([]);
      return read(key, `bytes=${range.start}-${range.end === undefined ? "" : range.end - 1}`);
    },

    head: (workspaceId, digest) => look(keyOf(workspaceId, digest)),

    async delete(workspaceId, digest) {
      await client.send(new DeleteObjectCommand({ Bucket, Key: keyOf(workspaceId, digest) }));
    },

    async *list(workspaceId) {
      const Prefix = keyOf(workspaceId, "");
      for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix }))
        for (const { Key = "", Size = 0, LastModified = new Date(0) } of page.Contents ?? [])
          yield { digest: Key.slice(Prefix.length), sizeBytes: Size, modifiedAt: LastModified };
    },

    async presignGet(workspaceId, digest, { expiresSeconds, fileName, contentType }) {
      if (!settings.presign) return null;
      const command = new GetObjectCommand({
        Bucket,
        Key: keyOf(workspaceId, digest),
        ResponseContentType: contentType,
        ResponseContentDisposition: `attachment; filename*=UTF-8''${encodeURIComponent(fileName)}`,
      });
      return getSignedUrl(publicClient, command, { expiresIn: expiresSeconds });
    },

    async startUpload() {
      const key = uploadKey(randomUUID());
      const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
      return { uploadId: UploadId as string, key, partSizeBytes };
    },

    async presignPart(upload, part, expiresSeconds) {
      if (!settings.presign) return null;
      const command = new UploadPartCommand({ Bucket, Key: upload.key, UploadId: upload.uploadId, PartNumber: part });
      return getSignedUrl(publicClient, command, { expiresIn: expiresSeconds });
    },

    async uploadPart(upload, part, content): Promise<UploadPart> {
      const Body = content instanceof Uint8Array ? content : Buffer.concat(await content.toArray());
      const { ETag } = await client.send(
        new UploadPartCommand({ Bucket, Key: upload.key, UploadId: upload.uploadId, PartNumber: part, Body }),
      );
      return { number: part, etag: ETag as string };
    },

    async completeUpload(workspaceId, upload, parts, options = {}) {
      const Parts = [...parts]
        .sort((a, b) => a.number - b.number)
        .map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
      const where = { Bucket, Key: upload.key };
      await client.send(
        new CompleteMultipartUploadCommand({ ...where, UploadId: upload.uploadId, MultipartUpload: { Parts } }),
      );
      try {
        // The whole object passes through here once: S3's own checksum of a multipart upload is not the sha256 of its content.
        const checked = checkedContent(await read(upload.key), options);
        for await (const _ of checked.stream);
        const blob = checked.verify();
        await copy(upload.key, keyOf(workspaceId, blob.digest), blob.sizeBytes);
        return blob;
      } finally {
        await client.send(new DeleteObjectCommand(where));
      }
    },

    async abortUpload(upload) {
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key: upload.key, UploadId: upload.uploadId }));
    },

    async cleanUp(olderThanMs) {
      const before = Date.now() - olderThanMs;
      let removed = 0;
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: prefix }));
      for (const { Key, UploadId, Initiated } of Uploads ?? []) {
        if (Initiated === undefined || Initiated.getTime() > before) continue;
        await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
        removed++;
      }
      return removed;
    },

    async close() {
      client.destroy();
      if (publicClient !== client) publicClient.destroy();
    },
  };
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}
