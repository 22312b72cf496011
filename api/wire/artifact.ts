import type { ArtifactLink, Upload, Artifact as WireArtifact } from "../../domain/artifact.ts";
import type { Artifact } from "../../platform/database.ts";

/** Rows keep the bare hexadecimal digest. */
export function wireDigest(digest: string): string {
  return digest.startsWith("sha256:") ? digest : `sha256:${digest}`;
}

export function bareDigest(digest: string): string {
  return digest.replace(/^sha256:/, "");
}

export function contentUrl(artifactId: string): string {
  return `/v1/artifacts/${artifactId}/content`;
}

export function wireArtifact(row: Artifact, upload?: Upload): WireArtifact {
  return {
    id: row.id,
    object: "artifact",
    name: row.name === "" ? null : row.name,
    state: row.state === "visible" ? "ready" : "uploading",
    digest: row.digest === null ? null : wireDigest(row.digest),
    size_bytes: Number(row.size_bytes),
    content_type: row.content_type,
    created_at: row.created_at.toISOString(),
    ...(upload ? { upload } : {}),
  };
}

export function wireArtifactLink(name: string, row: Artifact): ArtifactLink {
  return {
    name,
    artifact_id: row.id,
    content_type: row.content_type,
    size_bytes: Number(row.size_bytes),
    content_url: contentUrl(row.id),
  };
}
