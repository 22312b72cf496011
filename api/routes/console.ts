// The console at `/`: a static page that may load nothing but what lies beside it and talk to nobody but this API.
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../../platform/config.ts";
import { isUnchanged, sendEmpty } from "../conditional.ts";
import type { ConsoleFile } from "../console-files.ts";
import type { App } from "../context.ts";

export async function consoleRoutes(app: App, { files }: { files: ReadonlyMap<string, ConsoleFile> }): Promise<void> {
  const policy = contentSecurityPolicy(app.platform.config);
  for (const [address, file] of files) {
    app.get(address, { schema: { hide: true } }, async (request, reply) => send(request, reply, file, policy));
  }
}

function send(request: FastifyRequest, reply: FastifyReply, file: ConsoleFile, policy: string): FastifyReply {
  const cacheControl = file.immutable ? "public, max-age=31536000, immutable" : "no-cache";
  reply.headers({ "Cache-Control": cacheControl, Vary: "Accept-Encoding" });
  if (isUnchanged(request, reply, file.etag)) return sendEmpty(reply, 304);
  reply.headers({
    "Content-Type": file.contentType,
    "Content-Security-Policy": policy,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
  });
  const gzip = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
  if (!gzip) return reply.send(file.bytes);
  return reply.header("Content-Encoding", "gzip").send(file.gzipped);
}

/** No inline script or style, no eval, no frame. `blob:` is for pictures that the console itself draws and exports. */
function contentSecurityPolicy(config: Config): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self' blob: data:",
    `connect-src ${["'self'", ...storeOrigins(config)].join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

/** Where a download of an artifact is redirected to. */
function storeOrigins(config: Config): string[] {
  if (config.S3_BUCKET === undefined || !config.S3_PRESIGN) return [];
  const endpoint = config.S3_PUBLIC_ENDPOINT ?? config.S3_ENDPOINT;
  if (endpoint !== undefined) return [new URL(endpoint).origin];
  return [`https://${config.S3_BUCKET}.s3.${config.S3_REGION}.amazonaws.com`];
}
