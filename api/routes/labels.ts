import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import { LabelImport, LabelLine, type LabelLine as Line } from "../../domain/feature.ts";
import { Problem } from "../../domain/problem.ts";
import { checkSchema, closed, validationProblem } from "../../domain/schema.ts";
import { readLabels, writeLabels } from "../../platform/features.ts";
import type { App } from "../context.ts";
import { findSae, found } from "../lookup.ts";
import { ByIdOrName } from "./models.ts";

const jsonLines = "application/jsonl";
/** 131,072 labels of 500 characters. */
const MAXIMUM_BYTES = 64 * 2 ** 20;

export async function labelRoutes(app: App): Promise<void> {
  const { platform } = app;
  for (const type of [jsonLines, "application/x-ndjson", "text/plain"])
    app.addContentTypeParser(type, { parseAs: "string", bodyLimit: MAXIMUM_BYTES }, (_request, body, done) =>
      done(null, body),
    );

  app.get(
    "/v1/saes/:id/labels",
    {
      config: { scope: "read" },
      schema: {
        tags: ["saes"],
        operationId: "exportLabels",
        summary: "Export the labels of an sae",
        description: "As JSON lines, in the order of the features; POST takes the same.",
        params: ByIdOrName,
        response: { 200: { description: "a label a line", content: { [jsonLines]: { schema: Type.String() } } } },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const sae = found(await findSae(platform, request.caller.workspaceId, id), "SAE_NOT_FOUND", id);
      async function* lines() {
        for await (const line of readLabels(platform.db, sae.id)) yield `${JSON.stringify(line)}\n`;
      }
      reply.header("Content-Type", jsonLines);
      reply.header("Content-Disposition", `attachment; filename="${sae.name}-labels.jsonl"`);
      return (reply as FastifyReply).send(Readable.from(lines()));
    },
  );

  app.post(
    "/v1/saes/:id/labels",
    {
      config: { scope: "write", documentedBody: { [jsonLines]: LabelLine } },
      schema: {
        tags: ["saes"],
        operationId: "importLabels",
        summary: "Import labels of an sae",
        description:
          "JSON lines. All of them or, where one is wrong, none: the problem points at /{line}, counted from 1. A line without `source` counts as imported.",
        params: ByIdOrName,
        querystring: closed({
          replace: Type.Optional(Type.Boolean({ description: "false: features that have a label keep it" })),
        }),
        response: { 200: LabelImport },
      },
    },
    async (request) => {
      const { id } = request.params;
      const { replace = true } = request.query;
      const sae = found(await findSae(platform, request.caller.workspaceId, id), "SAE_NOT_FOUND", id);
      const labels = parseLines(request.body, sae.width);
      const imported = await writeLabels(platform.db, { saeId: sae.id, labels, replace });
      const features = new Set(labels.map(({ index }) => index)).size;
      return { object: "label_import" as const, sae_id: sae.id, imported, kept: features - imported };
    },
  );
}

function parseLines(body: unknown, width: number): Line[] {
  if (typeof body !== "string") {
    throw new Problem("MEDIA_TYPE_UNSUPPORTED", `Send JSON lines with the content type ${jsonLines}.`);
  }
  return body
    .replace(/^\uFEFF/, "")
    .split("\n")
    .flatMap((text, at) => (text.trim() === "" ? [] : [parseLine(text, at + 1, width)]));
}

function parseLine(text: string, line: number, width: number): Line {
  const pointer = `/${line}`;
  const value = parsed(text);
  if (value === undefined) throw validationProblem([{ pointer, detail: "is not JSON" }]);
  const errors = checkSchema(LabelLine, value, pointer);
  if (errors.length > 0) throw validationProblem(errors);
  const label = value as Line;
  if (label.index < width) return label;
  const detail = `the sae has features 0 to ${width - 1}, there is no ${label.index}`;
  throw validationProblem([{ pointer: `${pointer}/index`, detail }]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
