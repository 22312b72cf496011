/** sae.export: saes of this workspace in a layout that other tools read, one artifact per file. */
import { createReadStream } from "node:fs";
import { copyFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "../../../domain/id.ts";
import { Problem } from "../../../domain/problem.ts";
import { releaseName } from "../../../domain/qwen-scope-name.ts";
import {
  qwenScopeFile,
  type SaeExportInput,
  type SaeExportResult,
  sparsifyFolder,
} from "../../../domain/sae-export.ts";
import { writeOnnx } from "../../../engine/sae/layouts/onnx.ts";
import { writeQwenScope } from "../../../engine/sae/layouts/qwen-scope.ts";
import type { SaeReader } from "../../../engine/sae/layouts/sae-reader.ts";
import type { WriteSteps } from "../../../engine/sae/layouts/sae-writer.ts";
import { openSaelens, writeSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { writeSparsify } from "../../../engine/sae/layouts/sparsify.ts";
import { statisticsFile } from "../../feature-statistics.ts";
import { layOut } from "../../files.ts";
import type { ProducedArtifact } from "../../protocol.ts";
import type { SaeRow } from "../../records.ts";
import { type JobContext, type JobHandler, stepOrStop } from "../handler.ts";
import { createProgressMeter } from "../progress.ts";

interface Export {
  readonly row: SaeRow;
  readonly reader: SaeReader;
  readonly modelName: string;
  readonly precision: NonNullable<SaeExportInput["precision"]>;
  /** The sae as the service keeps it. */
  readonly stored: string;
  /** Where the files go, below which their relative paths begin. */
  readonly folder: string;
  readonly steps: WriteSteps;
}

export const saeExport: JobHandler<SaeExportInput> = async (input, context) => {
  const rows: SaeRow[] = [];
  for (const id of input.sae_ids) rows.push(await context.catalog.sae(id));
  const total = rows.reduce((sum, { width }) => sum + width, 0);
  const meter = createProgressMeter(total, "features");
  const artifacts: ProducedArtifact[] = [];
  const files: SaeExportResult["files"] = [];
  let done = 0;
  for (const row of rows) {
    const folder = join(context.scratch, row.id);
    const step = async (features: number) => {
      context.progress(meter.at(done + features));
      await stepOrStop(context);
    };
    await writeOne(input, row, folder, { step }, context);
    for (const path of await pathsBelow(folder)) {
      const blob = await context.blobs.put(createReadStream(join(folder, path)));
      await stepOrStop(context);
      const id = newId("artifact");
      artifacts.push({ id, name: path, contentType: contentType(path), blob });
      files.push({ path, artifact_id: id, sae_id: row.id, size_bytes: blob.sizeBytes });
    }
    // A release of many layers would otherwise lie on the disk twice.
    await rm(folder, { recursive: true });
    done += row.width;
  }
  return { result: { layout: input.layout, files } satisfies SaeExportResult, artifacts };
};

async function writeOne(
  { layout, precision = "float32" }: SaeExportInput,
  row: SaeRow,
  folder: string,
  steps: WriteSteps,
  context: JobContext,
): Promise<void> {
  const model = await context.catalog.model(row.modelId);
  const stored = await layOut(row.files, context.blobs, context.settings.cacheFolder, () => stepOrStop(context));
  const { reader } = await openSaelens(stored);
  try {
    await writers[layout]({ row, reader, modelName: model.name, precision, stored, folder, steps });
  } catch (error) {
    // The laws know a sae's architecture by name; the file itself has the last word.
    if (error instanceof RangeError) throw new Problem("SETTINGS_CONTRADICTORY", `${row.name}: ${error.message}`);
    throw error;
  } finally {
    await reader.close();
  }
}

const writers: Readonly<Record<SaeExportInput["layout"], (one: Export) => Promise<void>>> = {
  saelens: async ({ row, reader, modelName, precision, stored, folder, steps }) => {
    const target = join(folder, row.name);
    await writeSaelens(target, reader, { ...steps, modelName, layer: row.layer, dtype: precision });
    // What is known of its features goes along: sae.import reads it, others pass it over.
    if (!row.files.some(({ path }) => path === statisticsFile)) return;
    await copyFile(join(stored, statisticsFile), join(target, statisticsFile));
  },
  sparsify: ({ row, reader, precision, folder, steps }) =>
    writeSparsify(join(folder, sparsifyFolder(row.layer)), reader, { ...steps, dtype: precision }),
  qwen_scope: ({ row, reader, modelName, precision, folder, steps }) => {
    const { width, rule } = reader;
    const release = releaseName({ backbone: modelName, width, k: rule.kind === "topk" ? rule.k : 0 });
    return writeQwenScope(join(folder, release, qwenScopeFile(row.layer)), reader, { ...steps, dtype: precision });
  },
  onnx: ({ row, reader, folder, steps }) => writeOnnx(join(folder, row.name), reader, steps),
};

async function pathsBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return paths.map((path) => path.slice(folder.length + 1)).sort();
}

function contentType(path: string): string {
  return path.endsWith(".json") ? "application/json" : "application/octet-stream";
}
