import { access } from "node:fs/promises";
import { join } from "node:path";
import { readOptionalText } from "./optional-text.ts";
import {
  openSafetensors,
  readEntryFloat32,
  type SafetensorsEntry,
  SafetensorsError,
  type SafetensorsFile,
} from "./safetensors.ts";

/** All weights of a checkpoint folder by name, in one file or in several shards. */
export interface SafetensorsSet {
  readonly files: readonly SafetensorsFile[];
  readonly tensors: ReadonlyMap<string, SafetensorsEntry & { readonly file: SafetensorsFile }>;
  readonly sizeBytes: number;
}

/**
 * Opens `model.safetensors`, or without it the shards that `model.safetensors.index.json` names, in `folder`. A folder with both
 * means the single file, as for transformers: another reading would be another model.
 *
 * @throws SafetensorsError naming the shard that is absent, or the tensor that the index promises and its shard lacks.
 */
export async function openSafetensorsSet(folder: string): Promise<SafetensorsSet> {
  const single = "model.safetensors";
  const index = (await exists(join(folder, single)))
    ? null
    : await readOptionalText(join(folder, "model.safetensors.index.json"));
  if (index === null) return gather([await openShard(folder, single)]);
  const places = parseIndex(index);
  const shards = new Map<string, SafetensorsFile>();
  for (const shard of new Set(places.values())) shards.set(shard, await openShard(folder, shard));
  for (const [name, shard] of places) {
    if (!shards.get(shard)!.tensors.has(name)) {
      throw new SafetensorsError(`the index places tensor ${JSON.stringify(name)} in ${shard}, which does not hold it`);
    }
  }
  return gather([...shards.values()]);
}

function parseIndex(text: string): Map<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new SafetensorsError(`model.safetensors.index.json is not JSON: ${(error as Error).message}`);
  }
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null)
    throw new SafetensorsError("model.safetensors.index.json has no weight_map");
  for (const [name, shard] of Object.entries(map)) {
    // A shard is a file beside the index; anything with a path in it could reach outside the folder.
    if (typeof shard !== "string" || /[/\\]/.test(shard) || !shard.endsWith(".safetensors")) {
      throw new SafetensorsError(
        `the index places tensor ${JSON.stringify(name)} in ${JSON.stringify(shard)}, which is not a file name of a shard`,
      );
    }
  }
  return new Map(Object.entries(map as Record<string, string>));
}

async function openShard(folder: string, shard: string): Promise<SafetensorsFile> {
  try {
    return await openSafetensors(join(folder, shard));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new SafetensorsError(`the file ${shard} is missing in ${folder}`);
    throw error;
  }
}

function gather(files: SafetensorsFile[]): SafetensorsSet {
  const tensors = new Map<string, SafetensorsEntry & { file: SafetensorsFile }>();
  for (const file of files) {
    for (const entry of file.tensors.values()) {
      if (tensors.has(entry.name)) throw new SafetensorsError(`tensor ${JSON.stringify(entry.name)} is in two shards`);
      tensors.set(entry.name, { ...entry, file });
    }
  }
  return { files, tensors, sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0) };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** One floating-point tensor of the set as float32. */
export function readSetFloat32(set: SafetensorsSet, name: string): Promise<Float32Array> {
  const entry = set.tensors.get(name);
  if (!entry) throw new SafetensorsError(`tensor ${JSON.stringify(name)} is missing`);
  return readEntryFloat32(entry.file, entry);
}
