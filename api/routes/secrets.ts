import { Type } from "typebox";
import { looksLikeId } from "../../domain/id.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { CreateSecret, Secret } from "../../domain/secret.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { findSecret, found } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { nameTaken } from "../submit/submission.ts";
import { wireSecret } from "../wire/secret.ts";
import { ByIdOrName } from "./models.ts";

export async function secretRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/secrets",
    {
      config: { scope: "admin", idempotent: true },
      schema: {
        tags: ["secrets"],
        operationId: "createSecret",
        summary: "Store a key or token for another service",
        description:
          "Jobs name it where they ask another service (`token_secret`, `secret`). It is encrypted at rest and shown to nobody again. Whoever may submit jobs can have it sent to its `hosts`: name them.",
        body: CreateSecret,
        response: { 201: Secret },
      },
    },
    async (request, reply) => {
      const { name, value, hosts = [] } = request.body;
      const { workspaceId } = request.caller;
      if (looksLikeId(name)) throw fieldProblem("VALIDATION_FAILED", "/name", "a name must not look like an id");
      const holder = await findSecret(platform, workspaceId, name);
      if (holder !== null) throw nameTaken("/name", "secret", name, holder.id);
      const row = await platform.secrets.create({ workspaceId, name, value, hosts });
      return reply.status(201).header("location", `/v1/secrets/${row.id}`).send(wireSecret(row));
    },
  );

  app.get(
    "/v1/secrets",
    {
      config: { scope: "read" },
      schema: {
        tags: ["secrets"],
        operationId: "listSecrets",
        summary: "List the names of secrets",
        querystring: PageQuery,
        response: { 200: Page(Secret, "SecretPage") },
      },
    },
    async (request) => {
      const page = pageOf(request.query);
      const rows = await platform.db.secret.findMany({
        where: { workspace_id: request.caller.workspaceId, ...page.beyond },
        ...page.order,
      });
      return toPage(rows, page.limit, positionOf, wireSecret);
    },
  );

  app.get(
    "/v1/secrets/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["secrets"],
        operationId: "getSecret",
        summary: "Read what is known of a secret, without its value",
        params: ByIdOrName,
        response: { 200: Secret },
      },
    },
    async (request) => wireSecret(await secretOf(request.caller.workspaceId, request.params.id)),
  );

  app.delete(
    "/v1/secrets/:id",
    {
      config: { scope: "admin" },
      schema: {
        tags: ["secrets"],
        operationId: "deleteSecret",
        summary: "Delete a secret",
        description: "Jobs that name it and have not asked for it yet will fail.",
        params: ByIdOrName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { id } = await secretOf(request.caller.workspaceId, request.params.id);
      await platform.db.secret.deleteMany({ where: { id } });
      return sendEmpty(reply, 204);
    },
  );

  async function secretOf(workspaceId: string, idOrName: string) {
    return found(await findSecret(platform, workspaceId, idOrName), "SECRET_NOT_FOUND", idOrName);
  }
}
