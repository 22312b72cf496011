import { Type } from "typebox";
import { Job } from "../../domain/job.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import { CreateSae, Sae } from "../../domain/sae.ts";
import { closed, IdOrName } from "../../domain/schema.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { findModel, findSae, found } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { submitJob } from "../submit/table.ts";
import { refuseWhileUsed } from "../usage.ts";
import { wireSae } from "../wire/sae.ts";
import { answerWithJob } from "./job-answer.ts";
import { ByIdOrName } from "./models.ts";

const ListQuery = closed({
  ...PageQuery.properties,
  model_id: Type.Optional(IdOrName),
  release_id: Type.Optional(Type.String({ maxLength: 128 })),
  layer: Type.Optional(Type.Integer({ minimum: 0 })),
});

export async function saeRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/saes",
    {
      config: { scope: "write", idempotent: true },
      schema: {
        tags: ["saes"],
        operationId: "createSae",
        summary: "Register an sae from files",
        description: "Starts an `sae.import` job; its result has `sae_ids`. `Prefer: wait=n` waits.",
        body: CreateSae,
        response: { 202: Job, 200: Job },
      },
    },
    async (request, reply) => {
      const submission = { platform, caller: request.caller, at: "" };
      const row = await submitJob(submission, { kind: "sae.import", input: request.body });
      return answerWithJob(request, reply, row);
    },
  );

  app.get(
    "/v1/saes",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "listSaes",
        summary: "List saes",
        querystring: ListQuery,
        response: { 200: Page(Sae, "SaePage") },
      },
    },
    async (request) => {
      const { workspaceId } = request.caller;
      const { model_id, release_id, layer } = request.query;
      const page = pageOf(request.query);
      const model = model_id === undefined ? null : await findModel(platform, workspaceId, model_id);
      const rows = await platform.db.sae.findMany({
        where: {
          workspace_id: workspaceId,
          // A model that does not exist has no saes: the list is empty, not refused.
          ...(model_id === undefined ? {} : { model_id: model?.id ?? "" }),
          ...(release_id === undefined ? {} : { release_id }),
          ...(layer === undefined ? {} : { layer }),
          ...page.beyond,
        },
        include: { feature_index: true },
        ...page.order,
      });
      return toPage(rows, page.limit, positionOf, wireSae);
    },
  );

  app.get(
    "/v1/saes/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "getSae",
        summary: "Read an sae",
        params: ByIdOrName,
        response: { 200: Sae },
      },
    },
    async (request) => {
      const { id } = request.params;
      const sae = found(await findSae(platform, request.caller.workspaceId, id), "SAE_NOT_FOUND", id);
      const feature_index = await platform.db.featureIndex.findUnique({ where: { sae_id: sae.id } });
      return wireSae({ ...sae, feature_index });
    },
  );

  app.delete(
    "/v1/saes/:id",
    {
      config: { scope: "write" },
      schema: {
        tags: ["saes"],
        operationId: "deleteSae",
        summary: "Delete an sae",
        description: "Its features and their labels go with it. Refused while a variant or an unfinished job uses it.",
        params: ByIdOrName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { workspaceId } = request.caller;
      const { id } = request.params;
      const sae = found(await findSae(platform, workspaceId, id), "SAE_NOT_FOUND", id);
      await refuseWhileUsed(platform, workspaceId, sae.id, async () => {
        const where = { workspace_id: workspaceId, sae_ids: { has: sae.id } };
        const variants = await platform.db.variant.findMany({ where, take: 10 });
        return variants.map((variant) => `the variant ${variant.name} (${variant.id})`);
      });
      const index = await platform.db.featureIndex.findUnique({ where: { sae_id: sae.id } });
      const ofIndex = index ? [index.details_artifact_id, index.summary_artifact_id] : [];
      const artifactIds = [sae.weights_artifact_id, sae.config_artifact_id, ...ofIndex].filter((one) => one !== null);
      await platform.db.$transaction([
        platform.db.sae.deleteMany({ where: { id: sae.id } }),
        // Artifacts that a job lists stay readable through the job.
        platform.db.artifact.deleteMany({ where: { id: { in: artifactIds }, job_artifact: { none: {} } } }),
      ]);
      return sendEmpty(reply, 204);
    },
  );
}
