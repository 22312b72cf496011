// A multipart upload of one file: the file goes to a temporary place and is read from there, because its fields (the
// name, the mapping) may come after it.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { MultipartFile } from "@fastify/multipart";
import type { FastifyRequest } from "fastify";
import { type Static, type TObject, Type } from "typebox";
import { ColumnMapping, TemplateChoice } from "../domain/dataset.ts";
import { fieldProblem, Problem } from "../domain/problem.ts";
import { closed, Metadata, Name, parse } from "../domain/schema.ts";

const Fields = {
  name: Name,
  mapping: Type.Optional(ColumnMapping),
  template: Type.Optional(TemplateChoice),
  metadata: Type.Optional(Metadata),
};

/** As documented: `mapping` and `metadata` are JSON texts inside the form. */
export const UploadFields = closed(
  { ...Fields, file: Type.String({ format: "binary", description: "its name tells the format" }) },
  { title: "UploadDataset" },
);
/** The fields beside the file. */
export const DatasetFields = closed(Fields);

const LookFields = {
  mapping: Fields.mapping,
  template: Fields.template,
  partial: Type.Optional(
    Type.Boolean({ default: false, description: "the file is cut off: what its end breaks is not a problem" }),
  ),
};
export const UploadPreviewFields = closed(
  {
    ...LookFields,
    file: Type.String({ format: "binary", description: "its first megabyte, or all of it; its name tells the format" }),
  },
  { title: "PreviewDataset" },
);
export const PreviewFields = closed(LookFields);

export interface ReceivedUpload<Fields> {
  readonly fields: Fields;
  readonly fileName: string;
  readonly path: string;
  readonly digest: string;
  remove(): Promise<void>;
}

export async function receiveUpload<S extends TObject>(
  request: FastifyRequest,
  schema: S,
): Promise<ReceivedUpload<Static<S>>> {
  const folder = await mkdtemp(join(tmpdir(), "upload-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "file");
    const fields: Record<string, unknown> = {};
    let file: { fileName: string; digest: string } | null = null;
    for await (const part of request.parts()) {
      if (part.type === "field") fields[part.fieldname] = fieldValue(part.fieldname, part.value);
      else if (part.fieldname !== "file")
        throw fieldProblem("VALIDATION_FAILED", `/${part.fieldname}`, "the file goes into `file`");
      else file = { fileName: basename(part.filename || "file"), digest: await save(part, path) };
    }
    if (file === null) throw fieldProblem("VALIDATION_FAILED", "/file", "is required");
    return { fields: parse(schema, fields), path, remove, ...file };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function save(part: MultipartFile, path: string): Promise<string> {
  const hash = createHash("sha256");
  part.file.on("data", (chunk: Buffer) => hash.update(chunk));
  await pipeline(part.file, createWriteStream(path));
  if (part.file.truncated)
    throw new Problem("BODY_TOO_LARGE", "The file is above the limit; upload it as an artifact.");
  return hash.digest("hex");
}

const jsonFields = new Set(["mapping", "metadata", "partial"]);

function fieldValue(name: string, value: unknown): unknown {
  if (!jsonFields.has(name)) return value;
  try {
    return JSON.parse(String(value)) as unknown;
  } catch {
    throw fieldProblem("VALIDATION_FAILED", `/${name}`, "must be JSON");
  }
}
