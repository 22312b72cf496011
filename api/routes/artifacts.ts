import { Readable } from "node:stream";
import { Type } from "typebox";
import { Artifact, CompleteUpload, CreateArtifact, GivenDigest } from "../../domain/artifact.ts";
import { idPattern } from "../../domain/id.ts";
import { Problem } from "../../domain/problem.ts";
import { closed, parse } from "../../domain/schema.ts";
import type { StoredBlob } from "../../platform/artifacts/store.ts";
import type { Artifact as ArtifactRow } from "../../platform/database.ts";
import {
  announceArtifact,
  asProblems,
  checkParts,
  describeUpload,
  makeVisible,
  pendingOf,
} from "../artifact-upload.ts";
import { isUnchanged, sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { found } from "../lookup.ts";
import { beginIdempotent } from "../plugins/idempotency.ts";
import { bareDigest, wireArtifact } from "../wire/artifact.ts";

export const ArtifactParams = closed({ id: Type.String({ pattern: idPattern("artifact") }) });

const CreateQuery = closed({
  name: Type.Optional(CreateArtifact.properties.name),
  content_type: CreateArtifact.properties.content_type,
  digest: Type.Optional(GivenDigest),
});

export async function artifactRoutes(app: App): Promise<void> {
  const { platform } = app;
  app.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));

  app.post(
    "/v1/artifacts",
    {
      config: {
        scope: "write",
        idempotent: true,
        documentedBody: {
          "application/json": CreateArtifact,
          "application/octet-stream": Type.String({ format: "binary" }),
        },
      },
      schema: {
        tags: ["artifacts"],
        operationId: "createArtifact",
        summary: "Upload an artifact, or announce one",
        description:
          "`application/octet-stream` sends the bytes now, with name, content_type and digest in the query. JSON announces size and digest; the answer's `upload` says where the bytes go. Nothing can be read before its digest is verified.",
        querystring: CreateQuery,
        response: { 201: Artifact },
      },
    },
    async (request, reply) => {
      const { workspaceId } = request.caller;
      const { body, query } = request;
      let row: ArtifactRow;
      if (body instanceof Readable) {
        const blob = await store(workspaceId, body, query.digest);
        if (await beginIdempotent(request, reply, blob.digest)) return reply;
        row = await platform.artifacts.create({
          workspaceId,
          name: query.name ?? "",
          contentType: query.content_type ?? "application/octet-stream",
          blob,
        });
      } else {
        row = await announceArtifact(platform, workspaceId, parse(CreateArtifact, body ?? {}));
      }
      reply.code(201).header("Location", `/v1/artifacts/${row.id}`);
      return wireArtifact(row, await describeUpload(platform, row));
    },
  );

  async function store(workspaceId: string, content: Readable, digest: string | undefined): Promise<StoredBlob> {
    const expected = digest === undefined ? {} : { expectedDigest: bareDigest(digest) };
    const options = { maxBytes: platform.config.ARTIFACT_LIMIT_BYTES, ...expected };
    return asProblems(platform.store.put(workspaceId, content, options));
  }

  app.get(
    "/v1/artifacts/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["artifacts"],
        operationId: "getArtifact",
        summary: "Read an artifact's description",
        params: ArtifactParams,
        response: { 200: Artifact },
      },
    },
    async (request, reply) => {
      const row = await ownArtifact(request.caller.workspaceId, request.params.id);
      if (isUnchanged(request, reply, `"${row.state}-${row.digest ?? ""}"`)) return sendEmpty(reply, 304);
      return wireArtifact(row, await describeUpload(platform, row));
    },
  );

  app.post(
    "/v1/artifacts/:id/complete",
    {
      config: { scope: "write" },
      schema: {
        tags: ["artifacts"],
        operationId: "completeArtifact",
        summary: "Finish a multipart upload",
        description: "Joins the parts and verifies the digest. Completing a finished upload changes nothing.",
        params: ArtifactParams,
        body: CompleteUpload,
        response: { 200: Artifact },
      },
    },
    async (request) => {
      const row = await ownArtifact(request.caller.workspaceId, request.params.id);
      if (row.state === "visible") return wireArtifact(row);
      const pending = pendingOf(row);
      if (!pending?.upload)
        throw new Problem("UPLOAD_INCOMPLETE", "This artifact's bytes go to its content address in one PUT.");
      checkParts(row, pending.upload, request.body.parts);
      const options = { expectedDigest: pending.digest, maxBytes: Number(row.size_bytes) };
      const joining = platform.store.completeUpload(row.workspace_id, pending.upload, request.body.parts, options);
      const blob = await asProblems(
        joining.catch((error: unknown) => {
          // A part that was never uploaded, by either store's word for it.
          if (error instanceof RangeError || (error as Error).name === "InvalidPart") {
            throw new Problem("UPLOAD_INCOMPLETE", (error as Error).message);
          }
          throw error;
        }),
      );
      return wireArtifact(await makeVisible(platform, row, blob));
    },
  );

  /** Also one whose bytes are still to come; never one that an unfinished job is making. */
  async function ownArtifact(workspaceId: string, id: string): Promise<ArtifactRow> {
    const row = await platform.db.artifact.findFirst({
      where: { id, workspace_id: workspaceId, OR: [{ state: "visible" }, { job_id: null }] },
    });
    return found(row, "ARTIFACT_NOT_FOUND", id);
  }
}
