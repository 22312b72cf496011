/** A `source` of a request as a folder on this machine. */
import { fieldProblem } from "../domain/problem.ts";
import type { StoredSource } from "../domain/source.ts";
import { isSafeRelativePath, layOut, realDirectory } from "./files.ts";
import { type JobContext, stepOrStop } from "./jobs/handler.ts";
import type { BlobFile } from "./records.ts";

export interface SourceFolder {
  readonly folder: string;
  /** Null for artifacts: then the folder is a copy in the cache. */
  readonly path: string | null;
  readonly artifacts: readonly (BlobFile & { readonly artifactId: string })[];
}

export async function folderOfSource(source: StoredSource, context: JobContext): Promise<SourceFolder> {
  if (source.type === "directory") {
    const folder = await realDirectory(source.path, context.settings.modelRoots);
    return { folder, path: folder, artifacts: [] };
  }
  const artifacts = [];
  const seen = new Set<string>();
  for (const [index, file] of source.files.entries()) {
    const pointer = `/source/files/${index}`;
    if (!isSafeRelativePath(file.path) || seen.has(file.path)) {
      const detail = seen.has(file.path) ? `${file.path} is given twice` : `${file.path} is not a relative path`;
      throw fieldProblem("SETTINGS_CONTRADICTORY", `${pointer}/path`, detail);
    }
    seen.add(file.path);
    const { digest, sizeBytes } = await context.catalog.artifact(file.artifact_id);
    artifacts.push({ path: file.path, digest, sizeBytes, artifactId: file.artifact_id });
  }
  const folder = await layOut(artifacts, context.blobs, context.settings.cacheFolder, () => stepOrStop(context));
  return { folder, path: null, artifacts };
}
