import { Type } from "typebox";
import { Job } from "../../domain/job.ts";
import { CreateModel, Model } from "../../domain/model.ts";
import { Page, PageQuery, toPage } from "../../domain/page.ts";
import { closed, IdOrName } from "../../domain/schema.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { findModel, found } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { submitJob } from "../submit/table.ts";
import { refuseWhileUsed } from "../usage.ts";
import { wireModel } from "../wire/model.ts";
import { answerWithJob } from "./job-answer.ts";

export const ByIdOrName = closed({ id: IdOrName });

export async function modelRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.post(
    "/v1/models",
    {
      config: { scope: "write", idempotent: true },
      schema: {
        tags: ["models"],
        operationId: "createModel",
        summary: "Register a model",
        description:
          "Starts a `model.import` job; its result has `model_id`. `Prefer: wait=n` waits. A directory source needs the admin scope.",
        body: CreateModel,
        response: { 202: Job, 200: Job },
      },
    },
    async (request, reply) => {
      const submission = { platform, caller: request.caller, at: "" };
      const row = await submitJob(submission, { kind: "model.import", input: request.body });
      return answerWithJob(request, reply, row);
    },
  );

  app.get(
    "/v1/models",
    {
      config: { scope: "read", openAIErrors: true },
      schema: {
        tags: ["models"],
        operationId: "listModels",
        summary: "List models",
        querystring: PageQuery,
        response: { 200: Page(Model, "ModelPage") },
      },
    },
    async (request) => {
      const page = pageOf(request.query);
      const rows = await platform.db.model.findMany({
        where: { workspace_id: request.caller.workspaceId, ...page.beyond },
        ...page.order,
      });
      return toPage(rows, page.limit, positionOf, wireModel);
    },
  );

  app.get(
    "/v1/models/:id",
    {
      config: { scope: "read", openAIErrors: true },
      schema: {
        tags: ["models"],
        operationId: "getModel",
        summary: "Read a model",
        params: ByIdOrName,
        response: { 200: Model },
      },
    },
    async (request) => {
      const { id } = request.params;
      return wireModel(found(await findModel(platform, request.caller.workspaceId, id), "MODEL_NOT_FOUND", id));
    },
  );

  app.delete(
    "/v1/models/:id",
    {
      config: { scope: "write" },
      schema: {
        tags: ["models"],
        operationId: "deleteModel",
        summary: "Delete a model",
        description:
          "Refused while an sae, a variant or an unfinished job uses it. A directory's files stay where they are.",
        params: ByIdOrName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { workspaceId } = request.caller;
      const { id } = request.params;
      const model = found(await findModel(platform, workspaceId, id), "MODEL_NOT_FOUND", id);
      await refuseWhileUsed(platform, workspaceId, model.id, async () => {
        const where = { model_id: model.id };
        const saes = await platform.db.sae.findMany({ where, take: 10 });
        const variants = await platform.db.variant.findMany({ where, take: 10 });
        return [
          ...saes.map((sae) => `the sae ${sae.name} (${sae.id})`),
          ...variants.map((variant) => `the variant ${variant.name} (${variant.id})`),
        ];
      });
      // What its own import made, and nobody else can have meant to keep.
      const files = model.files as { artifact_id?: string }[];
      const made = [model.quantized_artifact_id, ...files.map((file) => file.artifact_id)].filter((one) => one != null);
      const unused = { where: { id: { in: made }, job_id: model.job_id }, data: { expires_at: new Date() } };
      await platform.db.$transaction([
        platform.db.model.deleteMany({ where: { id: model.id } }),
        platform.db.artifact.updateMany(unused),
      ]);
      return sendEmpty(reply, 204);
    },
  );
}
