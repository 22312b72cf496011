import { Type } from "typebox";
import { Problem } from "../../domain/problem.ts";
import { readyTemplates } from "../../domain/ready-templates.ts";
import { closed, namePattern } from "../../domain/schema.ts";
import { CreateTemplate, checkTemplate, describeReady, maximumTemplates, Template } from "../../domain/template.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { found } from "../lookup.ts";
import { nameTaken } from "../submit/submission.ts";
import { ownTemplate } from "../templates.ts";
import { wireTemplate } from "../wire/template.ts";

const ByName = closed({ name: Type.String({ pattern: namePattern }) });

const TemplateList = Type.Object(
  {
    object: Type.Literal("list"),
    data: Type.Array(Template),
    has_more: Type.Literal(false),
    next_cursor: Type.Null(),
  },
  { title: "TemplateList" },
);

export async function templateRoutes(app: App): Promise<void> {
  const { platform } = app;

  app.get(
    "/v1/templates",
    {
      config: { scope: "read" },
      schema: {
        tags: ["templates"],
        operationId: "listTemplates",
        summary: "List prompt templates",
        description: "All of them in one page: the workspace's own, newest first, then the ready ones.",
        response: { 200: TemplateList },
      },
    },
    async (request) => {
      const own = await platform.db.promptTemplate.findMany({
        where: { workspace_id: request.caller.workspaceId },
        orderBy: [{ created_at: "desc" }, { name: "asc" }],
      });
      const data = [...own.map(wireTemplate), ...describeReady()];
      return { object: "list" as const, data, has_more: false as const, next_cursor: null };
    },
  );

  app.post(
    "/v1/templates",
    {
      config: { scope: "write", idempotent: true },
      schema: {
        tags: ["templates"],
        operationId: "createTemplate",
        summary: "Save a prompt template",
        description:
          "Usable by its name wherever a ready one is. With `columns`, files that have them are recognised as its own from then on, before any ready template.",
        body: CreateTemplate,
        response: { 201: Template },
      },
    },
    async (request, reply) => {
      const given = request.body;
      const { workspaceId } = request.caller;
      checkTemplate(given);
      if ((await ownTemplate(platform, workspaceId, given.name)) !== null)
        throw nameTaken("/name", "template", given.name, "this workspace");
      const count = await platform.db.promptTemplate.count({ where: { workspace_id: workspaceId } });
      if (count >= maximumTemplates)
        throw new Problem(
          "SETTINGS_CONTRADICTORY",
          `A workspace has at most ${maximumTemplates} templates of its own.`,
        );
      const row = await platform.db.promptTemplate.create({
        data: {
          workspace_id: workspaceId,
          name: given.name,
          purpose: given.purpose ?? "",
          template: given.template,
          shot: given.shot ?? null,
          columns: given.columns ?? [],
          header: given.header ?? [],
          mapping: given.mapping ?? {},
        },
      });
      return reply.status(201).header("location", `/v1/templates/${row.name}`).send(wireTemplate(row));
    },
  );

  app.get(
    "/v1/templates/:name",
    {
      config: { scope: "read" },
      schema: {
        tags: ["templates"],
        operationId: "getTemplate",
        summary: "Read a prompt template",
        params: ByName,
        response: { 200: Template },
      },
    },
    async (request) => {
      const { name } = request.params;
      const ready = describeReady().find((template) => template.name === name);
      if (ready) return ready;
      const own = await ownTemplate(platform, request.caller.workspaceId, name);
      return wireTemplate(found(own, "TEMPLATE_NOT_FOUND", name));
    },
  );

  app.delete(
    "/v1/templates/:name",
    {
      config: { scope: "write" },
      schema: {
        tags: ["templates"],
        operationId: "deleteTemplate",
        summary: "Delete a prompt template",
        description: "Refused while a dataset names it, and for the ready ones.",
        params: ByName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { workspaceId } = request.caller;
      if (Object.hasOwn(readyTemplates, name))
        throw new Problem("RESOURCE_IN_USE", `"${name}" is a ready template; it cannot be deleted.`);
      found(await ownTemplate(platform, workspaceId, name), "TEMPLATE_NOT_FOUND", name);
      const users = await platform.db.dataset.findMany({
        where: { workspace_id: workspaceId, template: name },
        select: { name: true },
        take: 10,
      });
      if (users.length > 0) {
        const names = users.map((dataset) => `the dataset ${dataset.name}`).join(", ");
        throw new Problem("RESOURCE_IN_USE", `"${name}" is used by ${names}.`);
      }
      await platform.db.promptTemplate.deleteMany({ where: { workspace_id: workspaceId, name } });
      return sendEmpty(reply, 204);
    },
  );
}
