import { Type } from "typebox";
import { resolveSteering, withIds } from "../../domain/generation/steering.ts";
import { newId } from "../../domain/id.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import type { ResolvedEdit } from "../../domain/request.ts";
import { CreateVariant, Variant } from "../../domain/variant.ts";
import type { Json } from "../../platform/database.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { createLookups, knownModel } from "../generation/lookups.ts";
import { findVariant, found } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { checkNameFree, referredModel } from "../submit/submission.ts";
import { refuseWhileUsed } from "../usage.ts";
import { wireVariant } from "../wire/variant.ts";
import { ByIdOrName } from "./models.ts";

export async function variantRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/variants",
    {
      config: { scope: "write", idempotent: true },
      schema: {
        tags: ["variants"],
        operationId: "createVariant",
        summary: "Save steering under a name",
        description:
          "The name can be used as `model` in completions: every text is then steered so, and by what the request adds. Names are shared with models.",
        body: CreateVariant,
        response: { 201: Variant },
      },
    },
    async (request, reply) => {
      const { name, model_id, steering, metadata } = request.body;
      const submission = { platform, caller: request.caller, at: "" };
      const { workspaceId } = request.caller;
      const model = await referredModel(submission, model_id);
      await checkNameFree(submission, "variant", name);
      const lookups = createLookups(platform, workspaceId);
      const target = { lookups, model: knownModel(model), maxTokens: null };
      const resolved = await resolveSteering(target, steering);
      const row = await platform.db.variant.create({
        data: {
          id: newId("variant"),
          workspace_id: workspaceId,
          name,
          model_id: model.id,
          edits: withIds(steering.edits, resolved) as Json,
          sae_ids: [...new Set(resolved.flatMap(saesOf))],
          metadata: metadata ?? {},
        },
      });
      return reply.status(201).header("location", `/v1/variants/${row.id}`).send(wireVariant(row));
    },
  );

  app.get(
    "/v1/variants",
    {
      config: { scope: "read" },
      schema: {
        tags: ["variants"],
        operationId: "listVariants",
        summary: "List variants",
        querystring: PageQuery,
        response: { 200: Page(Variant, "VariantPage") },
      },
    },
    async (request) => {
      const page = pageOf(request.query);
      const rows = await platform.db.variant.findMany({
        where: { workspace_id: request.caller.workspaceId, ...page.beyond },
        ...page.order,
      });
      return toPage(rows, page.limit, positionOf, wireVariant);
    },
  );

  app.get(
    "/v1/variants/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["variants"],
        operationId: "getVariant",
        summary: "Read a variant",
        params: ByIdOrName,
        response: { 200: Variant },
      },
    },
    async (request) => {
      const { id } = request.params;
      return wireVariant(found(await findVariant(platform, request.caller.workspaceId, id), "VARIANT_NOT_FOUND", id));
    },
  );

  app.delete(
    "/v1/variants/:id",
    {
      config: { scope: "write" },
      schema: {
        tags: ["variants"],
        operationId: "deleteVariant",
        summary: "Delete a variant",
        description: "Refused while an unfinished job uses it.",
        params: ByIdOrName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const variant = found(await findVariant(platform, request.caller.workspaceId, id), "VARIANT_NOT_FOUND", id);
      await refuseWhileUsed(platform, request.caller.workspaceId, variant.id);
      await platform.db.variant.deleteMany({ where: { id: variant.id } });
      return sendEmpty(reply, 204);
    },
  );
}

function saesOf({ feature, gate }: ResolvedEdit): string[] {
  return [feature?.sae_id, gate?.feature.sae_id].filter((id) => id !== undefined);
}
