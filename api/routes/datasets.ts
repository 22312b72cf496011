import { createReadStream } from "node:fs";
import multipart from "@fastify/multipart";
import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { CreateDataset, CreateDatasetFromArtifact, Dataset, DatasetSample } from "../../domain/dataset.ts";
import { maximumPageLimit, Page, PageQuery, toPage } from "../../domain/page.ts";
import { closed, parse } from "../../domain/schema.ts";
import { fittingShape, mappingFor } from "../../domain/template-fit.ts";
import { mapSamples } from "../../formats/dataset.ts";
import type { Dataset as DatasetRow } from "../../platform/database.ts";
import { sendEmpty } from "../conditional.ts";
import type { App } from "../context.ts";
import { inSamples, storeDataset, storeFile } from "../dataset-intake.ts";
import { readSamples } from "../dataset-samples.ts";
import { findDataset, found, referred } from "../lookup.ts";
import { pageOf, positionOf } from "../paging.ts";
import { beginIdempotent } from "../plugins/idempotency.ts";
import { checkNameFree } from "../submit/submission.ts";
import { choiceOfShapes } from "../templates.ts";
import { DatasetFields, receiveUpload, UploadFields } from "../upload.ts";
import { refuseWhileUsed } from "../usage.ts";
import { wireDataset } from "../wire/dataset.ts";
import { ByIdOrName } from "./models.ts";

const SamplesQuery = closed({
  limit: PageQuery.properties.limit,
  cursor: PageQuery.properties.cursor,
});

export async function datasetRoutes(app: App): Promise<void> {
  const { platform } = app;
  await app.register(multipart, {
    limits: { fileSize: platform.config.UPLOAD_LIMIT_BYTES, files: 1, fields: 8, fieldSize: 65_536, parts: 9 },
  });

  app.post(
    "/v1/datasets",
    {
      config: {
        scope: "write",
        idempotent: true,
        documentedBody: {
          "application/json": Type.Union([CreateDataset, CreateDatasetFromArtifact]),
          "multipart/form-data": UploadFields,
        },
      },
      schema: {
        tags: ["datasets"],
        operationId: "createDataset",
        summary: "Create a dataset",
        description:
          "From samples in the body, from a file (JSONL, JSON, CSV, TSV, Parquet or plain text, each also gzipped), or from an uploaded artifact. A row that cannot be used is refused with its number and the reason; then nothing is created.",
        response: { 201: Dataset },
      },
    },
    async (request, reply) => {
      const created = request.isMultipart() ? await fromFile(request, reply) : await fromBody(request);
      if (created === null) return reply;
      reply.code(201).header("Location", `/v1/datasets/${created.id}`);
      return wireDataset(created);
    },
  );

  async function fromBody(request: FastifyRequest): Promise<DatasetRow> {
    const { caller, body } = request;
    const submission = { platform, caller, at: "" };
    if (typeof body === "object" && body !== null && "artifact_id" in body) {
      const given = parse(CreateDatasetFromArtifact, body);
      await checkNameFree(submission, "dataset", given.name);
      const found = await platform.artifacts.find(caller.workspaceId, given.artifact_id);
      const artifact = referred(found, "artifact", given.artifact_id, "/artifact_id");
      const content = await platform.store.get(caller.workspaceId, artifact.digest ?? "");
      const fileName = given.file_name ?? artifact.name;
      const source = { type: "artifact", artifact_id: artifact.id };
      return storeFile(platform, caller, { ...given, content, fileName, source });
    }
    const given = parse(CreateDataset, body ?? {});
    await checkNameFree(submission, "dataset", given.name);
    const { shapes, template } = await choiceOfShapes(platform, caller.workspaceId, given.template);
    const first = given.samples[0]!;
    const shape = fittingShape(first, shapes);
    const samples = inSamples(() => mapSamples(given.samples, mappingFor(shape, first, given.mapping ?? {})));
    return storeDataset(platform, caller, {
      name: given.name,
      samples,
      template: template ?? shape?.template ?? null,
      source: { type: "body" },
      metadata: given.metadata,
    });
  }

  /** null: a stored answer was sent instead. */
  async function fromFile(
    request: FastifyRequest,
    reply: Parameters<typeof beginIdempotent>[1],
  ): Promise<DatasetRow | null> {
    const upload = await receiveUpload(request, DatasetFields);
    try {
      if (await beginIdempotent(request, reply, JSON.stringify([upload.fields, upload.digest]))) return null;
      await checkNameFree({ platform, caller: request.caller, at: "" }, "dataset", upload.fields.name);
      const { fileName, fields } = upload;
      const source = { type: "upload", file_name: fileName };
      const content = createReadStream(upload.path);
      return await storeFile(platform, request.caller, { ...fields, content, fileName, source });
    } finally {
      await upload.remove();
    }
  }

  app.get(
    "/v1/datasets",
    {
      config: { scope: "read" },
      schema: {
        tags: ["datasets"],
        operationId: "listDatasets",
        summary: "List datasets",
        querystring: PageQuery,
        response: { 200: Page(Dataset, "DatasetPage") },
      },
    },
    async (request) => {
      const page = pageOf(request.query);
      const rows = await platform.db.dataset.findMany({
        where: { workspace_id: request.caller.workspaceId, ...page.beyond },
        ...page.order,
      });
      return toPage(rows, page.limit, positionOf, wireDataset);
    },
  );

  app.get(
    "/v1/datasets/:id",
    {
      config: { scope: "read" },
      schema: {
        tags: ["datasets"],
        operationId: "getDataset",
        summary: "Read a dataset's description",
        params: ByIdOrName,
        response: { 200: Dataset },
      },
    },
    async (request) => {
      const { id } = request.params;
      return wireDataset(found(await findDataset(platform, request.caller.workspaceId, id), "DATASET_NOT_FOUND", id));
    },
  );

  app.get(
    "/v1/datasets/:id/samples",
    {
      config: { scope: "read" },
      schema: {
        tags: ["datasets"],
        operationId: "listSamples",
        summary: "Read a dataset's samples",
        description: "In the order of the file.",
        params: ByIdOrName,
        querystring: SamplesQuery,
        response: { 200: Page(DatasetSample, "SamplePage") },
      },
    },
    async (request) => {
      const { id } = request.params;
      const { workspaceId } = request.caller;
      const dataset = found(await findDataset(platform, workspaceId, id), "DATASET_NOT_FOUND", id);
      const limit = Math.min(request.query.limit ?? 20, maximumPageLimit);
      return readSamples(platform.store, workspaceId, dataset, limit, request.query.cursor);
    },
  );

  app.delete(
    "/v1/datasets/:id",
    {
      config: { scope: "write" },
      schema: {
        tags: ["datasets"],
        operationId: "deleteDataset",
        summary: "Delete a dataset",
        description: "Refused while an unfinished job uses it.",
        params: ByIdOrName,
        response: { 204: Type.Null({ description: "deleted" }) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { workspaceId } = request.caller;
      const dataset = found(await findDataset(platform, workspaceId, id), "DATASET_NOT_FOUND", id);
      await refuseWhileUsed(platform, workspaceId, dataset.id);
      await platform.db.$transaction([
        platform.db.dataset.deleteMany({ where: { id: dataset.id } }),
        platform.db.artifact.deleteMany({ where: { id: dataset.artifact_id, datasets: { none: {} } } }),
      ]);
      return sendEmpty(reply, 204);
    },
  );
}
