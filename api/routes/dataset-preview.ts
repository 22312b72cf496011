import { createReadStream } from "node:fs";
import multipart from "@fastify/multipart";
import { DatasetPreview } from "../../domain/dataset-preview.ts";
import type { App } from "../context.ts";
import { previewDataset } from "../dataset-preview.ts";
import { PreviewFields, receiveUpload, UploadPreviewFields } from "../upload.ts";

/** Text needs its beginning only; Parquet, whose directory is at its end, is previewed whole up to this size. */
const previewLimitBytes = 64 * 2 ** 20;

export async function datasetPreviewRoutes(app: App): Promise<void> {
  const { platform } = app;
  const fileSize = Math.min(previewLimitBytes, platform.config.UPLOAD_LIMIT_BYTES);
  await app.register(multipart, { limits: { fileSize, files: 1, fields: 8, fieldSize: 65_536, parts: 9 } });

  app.post(
    "/v1/datasets/preview",
    {
      config: { scope: "read", documentedBody: { "multipart/form-data": UploadPreviewFields } },
      schema: {
        tags: ["datasets"],
        operationId: "previewDataset",
        summary: "Look at a file before a dataset is made of it",
        description:
          "Send the first megabyte of a file with `partial` = true, or a whole file of up to 64 MiB (Parquet must be whole). The answer has its format, its columns with types and examples, the template that it is recognised for, the first samples and prompts; what is wrong with the file stands in `problem`. Nothing is kept.",
        response: { 200: DatasetPreview },
      },
    },
    async (request) => {
      const upload = await receiveUpload(request, PreviewFields);
      try {
        const content = createReadStream(upload.path);
        const { fileName, fields } = upload;
        return await previewDataset(platform, request.caller.workspaceId, { ...fields, content, fileName });
      } finally {
        await upload.remove();
      }
    },
  );
}
