// Where contents live. Content-addressed (sha256), one namespace per workspace, and nothing is readable before its digest is verified.
import type { Readable } from "node:stream";

export interface StoredBlob {
  /** sha256, lower-case hex. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface BlobInfo {
  readonly sizeBytes: number;
  /** Of the last put, also when the content was there before: what is fresh is not collected. */
  readonly modifiedAt: Date;
}

/** Half-open range of bytes [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end?: number | undefined;
}

export interface PutOptions {
  /** Refused with DigestMismatch when the content has another digest. */
  readonly expectedDigest?: string | undefined;
  /** Refused with BlobTooLarge beyond it. */
  readonly maxBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A multipart upload that a client fills through presigned addresses (or through the API when the store has none). */
export interface Upload {
  readonly uploadId: string;
  readonly key: string;
  readonly partSizeBytes: number;
}

export interface UploadPart {
  readonly number: number;
  readonly etag: string;
}

export interface ArtifactStore {
  readonly kind: "disk" | "s3";
  put(
    workspaceId: string,
    content: Readable | AsyncIterable<Uint8Array> | Uint8Array,
    options?: PutOptions,
  ): Promise<StoredBlob>;
  /** Throws BlobMissing. */
  get(workspaceId: string, digest: string, range?: ByteRange): Promise<Readable>;
  /** Null when it is not there. */
  head(workspaceId: string, digest: string): Promise<BlobInfo | null>;
  /** Idempotent. */
  delete(workspaceId: string, digest: string): Promise<void>;
  list(workspaceId: string): AsyncIterable<StoredBlob & BlobInfo>;
  /** A short-lived address for reading, or null when the store has none (disk): then the API streams. */
  presignGet(
    workspaceId: string,
    digest: string,
    options: { expiresSeconds: number; fileName: string; contentType: string },
  ): Promise<string | null>;

  startUpload(workspaceId: string): Promise<Upload>;
  /** Addresses to PUT parts to, or null when the store has none: then the API calls uploadPart. */
  presignPart(upload: Upload, part: number, expiresSeconds: number): Promise<string | null>;
  uploadPart(upload: Upload, part: number, content: Readable | Uint8Array): Promise<UploadPart>;
  /** Joins the parts, verifies the digest, and only then makes it readable. Throws DigestMismatch, and nothing stays behind. */
  completeUpload(
    workspaceId: string,
    upload: Upload,
    parts: readonly UploadPart[],
    options?: PutOptions,
  ): Promise<StoredBlob>;
  abortUpload(upload: Upload): Promise<void>;
  /** Removes temporary files and unfinished uploads older than `olderThanMs`. */
  cleanUp(olderThanMs: number): Promise<number>;
  close(): Promise<void>;
}

export class BlobMissing extends Error {
  override readonly name = "BlobMissing";
}
export class DigestMismatch extends Error {
  override readonly name = "DigestMismatch";
}
export class BlobTooLarge extends Error {
  override readonly name = "BlobTooLarge";
}
