import { randomBytes } from "node:crypto";
import { Type } from "typebox";
import { idPattern, newId } from "../../domain/id.ts";
import { CreateKey, Key } from "../../domain/key.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import { fieldProblem, Problem } from "../../domain/problem.ts";
import { closed } from "../../domain/schema.ts";
import { defaultWorkspaceName, hashApiKey } from "../../platform/bootstrap.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { pageOf, positionOf } from "../paging.ts";
import { wireKey } from "../wire/key.ts";

const KeyParams = closed({ id: Type.String({ pattern: idPattern("key") }) });
const withWorkspace = { include: { workspace: { select: { name: true } } } };

export async function keyRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/keys",
    {
      config: { scope: "admin", idempotent: true, redactReplay: ({ secret: _secret, ...rest }) => rest },
      schema: {
        tags: ["keys"],
        operationId: "createKey",
        summary: "Create an API key",
        description:
          "The secret is in this answer only; it is stored hashed. An admin key of the workspace `default` may name another workspace, which is created when it does not exist.",
        body: CreateKey,
        response: { 201: Key },
      },
    },
    async (request, reply) => {
      const { name, scopes, workspace, expires_at } = request.body;
      const workspaceId = await workspaceFor(request.caller.workspaceId, workspace);
      const expiresAt = expires_at === undefined || expires_at === null ? null : new Date(expires_at);
      if (expiresAt !== null && expiresAt.getTime() <= platform.clock.now()) {
        throw fieldProblem("VALIDATION_FAILED", "/expires_at", "must lie in the future");
      }
      const secret = `qs_${randomBytes(30).toString("base64url")}`;
      const row = await platform.db.apiKey.create({
        data: {
          id: newId("key"),
          workspace_id: workspaceId,
          name,
          hash: hashApiKey(secret),
          prefix: secret.slice(0, 8),
          scopes,
          expires_at: expiresAt,
        },
        ...withWorkspace,
      });
      reply.code(201).header("Location", `/v1/keys/${row.id}`);
      return wireKey(row, secret);
    },
  );

  app.get(
    "/v1/keys",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["keys"],
        operationId: "listKeys",
        summary: "List the workspace's keys",
        querystring: PageQuery,
        response: { 200: Page(Key, "KeyPage") },
      },
    },
    async (request) => {
      const page = pageOf(request.query);
      const rows = await platform.db.apiKey.findMany({
        where: { workspace_id: request.caller.workspaceId, ...page.beyond },
        ...page.order,
        ...withWorkspace,
      });
      return toPage(rows, page.limit, positionOf, (row) => wireKey(row));
    },
  );

  app.get(
    "/v1/keys/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["keys"],
        operationId: "getKey",
        summary: "Read a key, without its secret",
        params: KeyParams,
        response: { 200: Key },
      },
    },
    async (request) => wireKey(await keyOf(request.caller.workspaceId, request.params.id)),
  );

  app.delete(
    "/v1/keys/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["keys"],
        operationId: "revokeKey",
        summary: "Revoke a key",
        description: "It stops working at once and stays in the list as revoked.",
        params: KeyParams,
        response: { 204: Type.Null({ description: "revoked" }) },
      },
    },
    async (request, reply) => {
      const row = await keyOf(request.caller.workspaceId, request.params.id);
      if (row.revoked_at === null) {
        const revokedAt = new Date(platform.clock.now());
        await platform.db.apiKey.updateMany({ where: { id: row.id }, data: { revoked_at: revokedAt } });
      }
      return sendEmpty(reply, 204);
    },
  );

  async function keyOf(workspaceId: string, id: string) {
    const row = await platform.db.apiKey.findFirst({ where: { id, workspace_id: workspaceId }, ...withWorkspace });
    if (row === null) throw new Problem("KEY_NOT_FOUND", `There is no "${id}" in this workspace.`);
    return row;
  }

  /** Only the operator's workspace may make others: an admin of one workspace must not reach into the next. */
  async function workspaceFor(callerWorkspaceId: string, name: string | undefined): Promise<string> {
    const own = await platform.db.workspace.findUniqueOrThrow({ where: { id: callerWorkspaceId } });
    if (name === undefined || name === own.name) return own.id;
    if (own.name !== defaultWorkspaceName) {
      throw new Problem(
        "SCOPE_INSUFFICIENT",
        "Only an admin key of the workspace `default` may name another workspace.",
      );
    }
    const row = await platform.db.workspace.upsert({
      where: { name },
      create: { id: newId("workspace"), name },
      update: {},
    });
    return row.id;
  }
}
