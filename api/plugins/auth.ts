// Who is calling: a bearer key of a workspace, or nobody in particular when the server runs without keys on loopback.
import fp from "fastify-plugin";
import { holdsScope, scopes } from "../../domain/key.ts";
import { Problem } from "../../domain/problem.ts";
import { defaultWorkspaceName, hashApiKey } from "../../platform/bootstrap.ts";
import type { Platform } from "../../platform/platform.ts";
import type { Caller } from "../context.ts";

const lastUsedEveryMs = 60_000;

export const auth = fp(
  async (app) => {
    const { platform } = app;
    let nobody: Caller | null = null;

    app.decorateRequest("caller");

    // A route under /v1 that forgot to say who may call it must not start.
    app.addHook("onRoute", (route) => {
      if (route.url.startsWith("/v1/") && route.config?.scope === undefined) {
        throw new Error(`${route.method} ${route.url} has no scope`);
      }
    });

    app.addHook("onRequest", async (request) => {
      const needed = request.routeOptions.config.scope;
      if (needed === undefined) return;
      if (platform.config.AUTH === "off") {
        nobody ??= { workspaceId: await defaultWorkspaceId(platform), keyId: null, scopes };
        request.caller = nobody;
        return;
      }
      request.caller = await callerOf(platform, request.headers.authorization);
      if (!holdsScope(request.caller.scopes, needed)) {
        throw new Problem("SCOPE_INSUFFICIENT", `This needs a key with the scope ${needed}.`);
      }
    });
  },
  { name: "auth" },
);

async function callerOf(platform: Platform, header: string | undefined): Promise<Caller> {
  if (header === undefined) throw new Problem("AUTHENTICATION_REQUIRED");
  const secret = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (secret === undefined)
    throw new Problem("AUTHENTICATION_REQUIRED", "The header must read `Authorization: Bearer <key>`.");
  const row = await platform.db.apiKey.findUnique({ where: { hash: hashApiKey(secret) } });
  const now = platform.clock.now();
  if (row === null || row.revoked_at !== null || (row.expires_at !== null && row.expires_at.getTime() <= now)) {
    throw new Problem("KEY_INVALID");
  }
  if (row.last_used_at === null || now - row.last_used_at.getTime() > lastUsedEveryMs) {
    await platform.db.apiKey.updateMany({ where: { id: row.id }, data: { last_used_at: new Date(now) } });
  }
  return { workspaceId: row.workspace_id, keyId: row.id, scopes: row.scopes };
}

async function defaultWorkspaceId(platform: Platform): Promise<string> {
  const row = await platform.db.workspace.findUnique({ where: { name: defaultWorkspaceName } });
  if (row === null) throw new Problem("SERVICE_UNAVAILABLE", "The workspace `default` does not exist yet.");
  return row.id;
}
