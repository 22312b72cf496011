// From rows to a dataset: the samples become one JSON-lines artifact, whatever was uploaded.

import type { ColumnMapping, Sample } from "../domain/dataset.ts";
import { newId } from "../domain/id.ts";
import { Problem } from "../domain/problem.ts";
import type { Metadata } from "../domain/schema.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { type OpenedDataset, openDataset } from "../formats/dataset.ts";
import type { Dataset, Json } from "../platform/database.ts";
import type { Platform } from "../platform/platform.ts";
import type { Caller } from "./context.ts";
import { nameTaken } from "./submit/submission.ts";
import { choiceOfShapes } from "./templates.ts";

const chunkBytes = 65_536;

export interface NewDataset {
  readonly name: string;
  readonly samples: AsyncIterable<Sample> | Iterable<Sample>;
  /** The prompt template that it is for. */
  readonly template?: string | null;
  /** What it came from, for the row. */
  readonly source: Json;
  readonly metadata?: Metadata | undefined;
}

/** Nothing is left behind by a row that is refused: the store drops what was not finished. */
export async function storeDataset(platform: Platform, caller: Caller, given: NewDataset): Promise<Dataset> {
  const columns = new Set<string>();
  let count = 0;

  async function* lines(): AsyncGenerator<Uint8Array> {
    let chunk = "";
    for await (const sample of given.samples) {
      count += 1;
      for (const column of Object.keys(sample)) columns.add(column);
      chunk += `${JSON.stringify(sample)}\n`;
      if (chunk.length >= chunkBytes) {
        yield Buffer.from(chunk);
        chunk = "";
      }
    }
    if (chunk !== "") yield Buffer.from(chunk);
  }

  const blob = await platform.store.put(caller.workspaceId, lines(), {
    maxBytes: platform.config.ARTIFACT_LIMIT_BYTES,
  });
  try {
    return await platform.db.$transaction(async (tx) => {
      const artifact = await platform.artifacts.create(
        {
          workspaceId: caller.workspaceId,
          name: `${given.name}.jsonl`,
          contentType: "application/jsonl",
          blob,
        },
        tx,
      );
      return tx.dataset.create({
        data: {
          id: newId("dataset"),
          workspace_id: caller.workspaceId,
          name: given.name,
          samples: count,
          columns: [...columns],
          digest: blob.digest,
          size_bytes: blob.sizeBytes,
          artifact_id: artifact.id,
          template: given.template ?? null,
          source: given.source,
          metadata: given.metadata ?? {},
        },
      });
    });
  } catch (error) {
    if (isUniqueViolation(error)) throw nameTaken("/name", "dataset", given.name, "another dataset");
    throw error;
  }
}

export interface NewFile extends Omit<NewDataset, "samples" | "template"> {
  readonly content: ByteSource;
  readonly fileName: string;
  readonly mapping?: ColumnMapping | undefined;
  readonly template?: string | undefined;
}

/** Reads the file as the template says that is named, or that it is recognised for. */
export async function storeFile(platform: Platform, caller: Caller, file: NewFile): Promise<Dataset> {
  const { name, source, metadata, content, fileName } = file;
  const { shapes, template } = await choiceOfShapes(platform, caller.workspaceId, file.template);
  const opened = await openDataset(content, {
    fileName,
    shapes,
    shapeAsked: template !== null,
    ...(file.mapping ? { mapping: file.mapping } : {}),
  });
  return storeDataset(platform, caller, {
    name,
    samples: justSamples(opened),
    template: template ?? opened.shape?.template ?? null,
    source,
    metadata,
  });
}

async function* justSamples({ samples }: OpenedDataset): AsyncGenerator<Sample> {
  for await (const { sample } of samples) yield sample;
}

function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: string }).code === "P2002";
}

/** Readers name rows of a file; in a JSON body the same row is `/samples/{row − 1}`. */
export function inSamples<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const errors = error.errors.map((field) => ({
      ...field,
      pointer: field.pointer.replace(/^\/rows\/(\d+)/, (_, row: string) => `/samples/${Number(row) - 1}`),
    }));
    throw new Problem(error.code, error.detail, { errors });
  }
}
