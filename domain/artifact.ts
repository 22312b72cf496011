// Artifacts: immutable, content-addressed blobs.
import { type Static, Type } from "typebox";
import { closed, nullable, oneOf, Timestamp } from "./schema.ts";

export const Digest = Type.String({
  pattern: "^sha256:[0-9a-f]{64}$",
  description: "sha256: and 64 hexadecimal digits",
});
/** A digest as a client may write it, with or without the algorithm's name. */
export const GivenDigest = Type.String({
  pattern: "^(?:sha256:)?[0-9a-f]{64}$",
  description: "SHA-256 of the content, 64 lower-case hexadecimal digits, `sha256:` in front or not",
});

export const artifactStates = ["uploading", "ready"] as const;

export const UploadPart = Type.Object({
  number: Type.Integer({ minimum: 1 }),
  url: Type.String({ description: "PUT the part's bytes here" }),
  offset: Type.Integer({ minimum: 0 }),
  size_bytes: Type.Integer({ minimum: 0 }),
});

/** How to send the bytes of an artifact that is not there yet. */
export const Upload = Type.Object(
  {
    method: oneOf(["direct", "multipart"], {
      description: "direct: PUT all bytes to `url`; multipart: PUT each part to its own url, then POST complete_url",
    }),
    url: nullable(Type.String()),
    parts: Type.Array(UploadPart),
    complete_url: nullable(Type.String()),
    expires_at: Timestamp,
  },
  { title: "Upload" },
);
export type Upload = Static<typeof Upload>;

export const Artifact = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("artifact"),
    name: nullable(Type.String()),
    state: oneOf(artifactStates),
    digest: nullable(Digest),
    size_bytes: Type.Integer({ minimum: 0 }),
    content_type: Type.String(),
    created_at: Timestamp,
    upload: Type.Optional(Upload),
  },
  {
    title: "Artifact",
    examples: [
      {
        id: "artifact_01jd5xk0m4q8v7w2r3t5y6z8ag",
        object: "artifact",
        name: "gsm8k.jsonl",
        state: "ready",
        digest: `sha256:${"0c".repeat(32)}`,
        size_bytes: 749_738,
        content_type: "application/jsonl",
        created_at: "2026-11-22T12:00:00.000Z",
      },
    ],
  },
);
export type Artifact = Static<typeof Artifact>;

export const CreateArtifact = closed(
  {
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    content_type: Type.Optional(
      Type.String({
        pattern: "^[\\w.+-]+/[\\w.+-]+$",
        maxLength: 100,
        description: "application/octet-stream if absent",
      }),
    ),
    size_bytes: Type.Integer({ minimum: 0, maximum: 5 * 2 ** 40 }),
    digest: GivenDigest,
  },
  {
    title: "CreateArtifact",
    examples: [{ name: "model.safetensors", size_bytes: 1_192_135_096, digest: `sha256:${"0c".repeat(32)}` }],
  },
);
export type CreateArtifact = Static<typeof CreateArtifact>;

export const CompletedPart = closed({
  number: Type.Integer({ minimum: 1, maximum: 10_000 }),
  etag: Type.String({ minLength: 1, maxLength: 256 }),
});
export const CompleteUpload = closed(
  { parts: Type.Array(CompletedPart, { minItems: 1, maxItems: 10_000 }) },
  { title: "CompleteUpload", examples: [{ parts: [{ number: 1, etag: "9bb58f26192e4ba00f01e2e7b136bbd8" }] }] },
);
export type CompleteUpload = Static<typeof CompleteUpload>;

/** An artifact that a job made, under the name its kind gives it. */
export const ArtifactLink = Type.Object(
  {
    name: Type.String(),
    artifact_id: Type.String(),
    content_type: Type.String(),
    size_bytes: Type.Integer({ minimum: 0 }),
    content_url: Type.String(),
  },
  { title: "ArtifactLink" },
);
export type ArtifactLink = Static<typeof ArtifactLink>;
