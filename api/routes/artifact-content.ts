import type { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { Artifact } from "../../domain/artifact.ts";
import { parseRange } from "../../domain/byte-range.ts";
import { Problem } from "../../domain/problem.ts";
import type { Artifact as ArtifactRow } from "../../platform/database.ts";
import { asProblems, makeVisible, pendingOf } from "../artifact-upload.ts";
import { isUnchanged, sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { found } from "../lookup.ts";
import { wireArtifact } from "../wire/artifact.ts";
import { ArtifactParams } from "./artifacts.ts";

const presignSeconds = 300;

export async function artifactContentRoutes(app: App): Promise<void> {
  const { platform } = app;
  // The bytes are taken as they come, whatever they call themselves.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));

  app.get(
    "/v1/artifacts/:id/content",
    {
      config: { scope: "read" },
      schema: {
        tags: ["artifacts"],
        operationId: "getArtifactContent",
        summary: "Download an artifact",
        description:
          "Honours Range and If-None-Match. On S3 it redirects to a short-lived address. Always sent as an attachment that no browser runs.",
        params: ArtifactParams,
        response: {
          200: { description: "the bytes", content: { "application/octet-stream": { schema: binary() } } },
          206: { description: "a range of them", content: { "application/octet-stream": { schema: binary() } } },
          302: Type.Null({ description: "to a short-lived address" }),
        },
      },
    },
    async (request, reply) => {
      const { workspaceId } = request.caller;
      const { id } = request.params;
      const row = await platform.db.artifact.findFirst({
        where: { id, workspace_id: workspaceId, OR: [{ state: "visible" }, { job_id: null }] },
      });
      const artifact = found(row, "ARTIFACT_NOT_FOUND", id);
      if (artifact.digest === null) throw new Problem("ARTIFACT_NOT_READY");
      const etag = `"${artifact.digest}"`;
      if (isUnchanged(request, reply, etag)) return sendEmpty(reply, 304);
      const address = await platform.store.presignGet(workspaceId, artifact.digest, {
        expiresSeconds: presignSeconds,
        fileName: fileNameOf(artifact),
        contentType: artifact.content_type,
      });
      if (address !== null) return reply.header("Cache-Control", "no-store").redirect(address, 302);
      return sendContent(reply, artifact, artifact.digest, etag, {
        range: request.headers.range,
        ifRange: request.headers["if-range"],
      });
    },
  );

  async function sendContent(
    reply: FastifyReply,
    artifact: ArtifactRow,
    digest: string,
    etag: string,
    asked: { range: string | undefined; ifRange: string | string[] | undefined },
  ): Promise<FastifyReply> {
    const size = Number(artifact.size_bytes);
    reply.headers({
      "Content-Type": artifact.content_type,
      "Content-Disposition": attachment(fileNameOf(artifact)),
      "Content-Security-Policy": "sandbox; default-src 'none'",
      "Cache-Control": "private, max-age=31536000, immutable",
      "Accept-Ranges": "bytes",
    });
    // If-Range with another version's tag asks for the whole content.
    const range = asked.ifRange !== undefined && asked.ifRange !== etag ? null : parseRange(asked.range, size);
    if (range === "unsatisfiable") {
      reply.header("Content-Range", `bytes */${size}`);
      throw new Problem("RANGE_NOT_SATISFIABLE", `The content has ${size} bytes.`);
    }
    if (range === null) {
      return reply.header("Content-Length", size).send(await platform.store.get(artifact.workspace_id, digest));
    }
    return reply
      .code(206)
      .header("Content-Range", `bytes ${range.start}-${range.end - 1}/${size}`)
      .header("Content-Length", range.end - range.start)
      .send(await platform.store.get(artifact.workspace_id, digest, range));
  }

  app.put(
    "/v1/artifacts/:id/content",
    {
      config: {
        scope: "write",
        documentedBody: { "application/octet-stream": binary() },
      },
      schema: {
        tags: ["artifacts"],
        operationId: "putArtifactContent",
        summary: "Send the bytes of an announced artifact",
        description: "Refused when size or digest differ from what was announced; then it may be sent again.",
        params: ArtifactParams,
        response: { 200: Artifact },
      },
    },
    async (request) => {
      const { workspaceId } = request.caller;
      const { id } = request.params;
      const row = await platform.db.artifact.findFirst({ where: { id, workspace_id: workspaceId, job_id: null } });
      const artifact = found(row, "ARTIFACT_NOT_FOUND", id);
      if (artifact.state === "visible") return wireArtifact(artifact);
      const pending = pendingOf(artifact);
      if (pending === null || pending.upload !== null) {
        throw new Problem(
          "UPLOAD_INCOMPLETE",
          "This artifact's parts go to their own addresses; then complete the upload.",
        );
      }
      const content = (request.body ?? Buffer.alloc(0)) as Readable | Uint8Array;
      const blob = await asProblems(
        platform.store.put(workspaceId, content, {
          expectedDigest: pending.digest,
          maxBytes: Number(artifact.size_bytes),
        }),
      );
      return wireArtifact(await makeVisible(platform, artifact, blob));
    },
  );
}

function binary() {
  return Type.String({ format: "binary" });
}

function fileNameOf(artifact: ArtifactRow): string {
  return artifact.name === "" ? artifact.id : artifact.name;
}

/** RFC 6266, with an ASCII fallback. */
function attachment(fileName: string): string {
  const plain = fileName.replaceAll(/[^\x20-\x7e]|["\\%]/g, "_");
  const encoded = encodeURIComponent(fileName).replaceAll(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
