// Artifacts whose bytes are still to come: announced with size and digest, visible when the bytes match both.
import type { CreateArtifact, Upload as WireUpload } from "../domain/artifact.ts";
import { newId } from "../domain/id.ts";
import { fieldProblem, Problem } from "../domain/problem.ts";
import { recordBlob } from "../platform/artifacts/artifacts.ts";
import {
  BlobTooLarge,
  DigestMismatch,
  type StoredBlob,
  type Upload,
  type UploadPart,
} from "../platform/artifacts/store.ts";
import type { Artifact, Json } from "../platform/database.ts";
import type { Platform } from "../platform/platform.ts";
import { bareDigest, contentUrl } from "./wire/artifact.ts";

const uploadTimeMs = 24 * 3_600_000;
const presignSeconds = 3600;

/** What an announced artifact's row keeps until the bytes are there. */
export interface PendingUpload {
  readonly digest: string;
  /** null: the bytes come through the API in one PUT */
  readonly upload: Upload | null;
}

export function pendingOf(row: Artifact): PendingUpload | null {
  return row.state === "pending" ? (row.upload as unknown as PendingUpload | null) : null;
}

export async function announceArtifact(
  platform: Platform,
  workspaceId: string,
  given: CreateArtifact,
): Promise<Artifact> {
  if (given.size_bytes > platform.config.ARTIFACT_LIMIT_BYTES) {
    throw new Problem("BODY_TOO_LARGE", `The largest artifact has ${platform.config.ARTIFACT_LIMIT_BYTES} bytes.`);
  }
  const pending: PendingUpload = { digest: bareDigest(given.digest), upload: await startUpload(platform, workspaceId) };
  return platform.db.artifact.create({
    data: {
      id: newId("artifact"),
      workspace_id: workspaceId,
      name: given.name ?? "",
      content_type: given.content_type ?? "application/octet-stream",
      size_bytes: given.size_bytes,
      state: "pending",
      upload: pending as unknown as Json,
      expires_at: new Date(platform.clock.now() + uploadTimeMs),
    },
  });
}

/** null where the store has no addresses of its own to send clients to. */
async function startUpload(platform: Platform, workspaceId: string): Promise<Upload | null> {
  if (platform.store.kind !== "s3" || !platform.config.S3_PRESIGN) return null;
  return platform.store.startUpload(workspaceId);
}

/** How the client sends the bytes; addresses are signed anew at each reading. */
export async function describeUpload(platform: Platform, row: Artifact): Promise<WireUpload | undefined> {
  const pending = pendingOf(row);
  if (pending === null) return undefined;
  const expiresAt = row.expires_at ?? row.created_at;
  const { upload } = pending;
  if (upload === null) {
    return {
      method: "direct",
      url: contentUrl(row.id),
      parts: [],
      complete_url: null,
      expires_at: expiresAt.toISOString(),
    };
  }
  const size = Number(row.size_bytes);
  const parts = [];
  for (let number = 1, offset = 0; number === 1 || offset < size; number++, offset += upload.partSizeBytes) {
    const url = await platform.store.presignPart(upload, number, presignSeconds);
    if (url === null) throw new Problem("SERVICE_UNAVAILABLE", "The store gave no address for a part.");
    parts.push({ number, url, offset, size_bytes: Math.min(upload.partSizeBytes, size - offset) });
  }
  const signedUntil = Math.min(platform.clock.now() + presignSeconds * 1000, expiresAt.getTime());
  return {
    method: "multipart",
    url: null,
    parts,
    complete_url: `/v1/artifacts/${row.id}/complete`,
    expires_at: new Date(signedUntil).toISOString(),
  };
}

/** Every part that was announced must be named once, before the store is asked to join them. */
export function checkParts(row: Artifact, upload: Upload, parts: readonly UploadPart[]): void {
  const wanted = Math.max(1, Math.ceil(Number(row.size_bytes) / upload.partSizeBytes));
  const named = new Set(parts.map((part) => part.number));
  for (let number = 1; number <= wanted; number++) {
    if (!named.has(number)) throw fieldProblem("UPLOAD_INCOMPLETE", "/parts", `part ${number} of ${wanted} is missing`);
  }
  if (parts.length !== wanted)
    throw fieldProblem("UPLOAD_INCOMPLETE", "/parts", `there are ${wanted} parts, each once`);
}

export async function makeVisible(platform: Platform, row: Artifact, blob: StoredBlob): Promise<Artifact> {
  if (blob.sizeBytes !== Number(row.size_bytes)) {
    throw new Problem("DIGEST_MISMATCH", `The content has ${blob.sizeBytes} bytes, ${row.size_bytes} were announced.`);
  }
  return platform.db.$transaction(async (tx) => {
    await recordBlob(tx, row.workspace_id, blob);
    return tx.artifact.update({
      where: { id: row.id },
      data: {
        digest: blob.digest,
        state: "visible",
        visible_at: new Date(platform.clock.now()),
        upload: { done: true },
        expires_at: null,
      },
    });
  });
}

/** The store's own refusals as problems. */
export async function asProblems<T>(storing: Promise<T>): Promise<T> {
  try {
    return await storing;
  } catch (error) {
    if (error instanceof DigestMismatch) throw new Problem("DIGEST_MISMATCH", error.message);
    if (error instanceof BlobTooLarge) throw new Problem("BODY_TOO_LARGE", error.message);
    throw error;
  }
}
