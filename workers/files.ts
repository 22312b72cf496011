/**
 * From a `source` to a folder the engine can open: a directory stays where it is, blobs are laid out once in the
 * cache folder under the digest of their list. Either way no path may lead out of where it belongs.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { fieldProblem, Problem } from "../domain/problem.ts";
import { shrinkCache, touch } from "./cache-folder.ts";
import type { Blobs } from "./jobs/handler.ts";
import type { BlobFile, FilesAt } from "./records.ts";

/** Laid-out models and saes that a machine keeps on its disk. */
const CACHE_BYTES = 64 * 2 ** 30;

/**
 * The real path of a directory that a client named. Links are followed first and judged after, so that hub
 * layouts (snapshots linking into blobs) work inside the roots and nothing outside them can be reached.
 */
export async function realDirectory(path: string, roots: readonly string[]): Promise<string> {
  const realRoots = await realPaths(roots);
  const real = await realpath(path).catch(() => null);
  if (real === null && isInside(await nearestReal(resolve(path)), realRoots)) {
    throw fieldProblem("FILE_NOT_FOUND", "/source/path", `${path} is not there`);
  }
  // Outside of the roots the same answer for "is not there" and "is elsewhere": the service does not tell what else the disk holds.
  if (real === null || !isInside(real, realRoots)) {
    throw new Problem(
      "PATH_OUTSIDE_ROOTS",
      `${path} is not a directory below MODEL_ROOTS (${roots.join(", ") || "none are set"})`,
      {
        errors: [{ pointer: "/source/path", detail: "name a directory below one of the roots" }],
      },
    );
  }
  if (!(await stat(real)).isDirectory()) {
    throw new Problem("PATH_OUTSIDE_ROOTS", `${path} is not a directory`, {
      errors: [{ pointer: "/source/path", detail: "name the directory, not a file in it" }],
    });
  }
  for (const name of await readdir(real)) {
    const target = await realpath(join(real, name)).catch(() => null);
    if (target !== null && isInside(target, realRoots)) continue;
    throw new Problem(
      "PATH_OUTSIDE_ROOTS",
      `${name} in ${path} links to ${target === null ? "nothing" : "a place outside MODEL_ROOTS"}`,
      {
        errors: [{ pointer: "/source/path", detail: `mend or remove the link ${name}` }],
      },
    );
  }
  return real;
}

/** Of a path that is not there the part that is, its links followed. */
async function nearestReal(path: string): Promise<string> {
  const real = await realpath(path).catch(() => null);
  return real ?? (path === dirname(path) ? path : await nearestReal(dirname(path)));
}

async function realPaths(roots: readonly string[]): Promise<string[]> {
  const found = await Promise.all(roots.map((root) => realpath(root).catch(() => null)));
  return found.filter((path) => path !== null);
}

function isInside(path: string, roots: readonly string[]): boolean {
  return roots.some((root) => {
    const rest = relative(root, path);
    return rest === "" || (!rest.startsWith(`..${sep}`) && rest !== ".." && !isAbsolute(rest));
  });
}

/** A relative path that stays below its folder, with forward slashes and no `.` or `..` in it. */
export function isSafeRelativePath(path: string): boolean {
  return (
    path !== "" &&
    !path.includes("\\") &&
    !path.includes("\0") &&
    !posix.isAbsolute(path) &&
    posix.normalize(path) === path &&
    path !== "." &&
    !path.split("/").includes("..")
  );
}

/** Bytes of a large file between two signs of life. */
const STEP_BYTES = 64 * 2 ** 20;

/** Called now and then between two chunks of a file; what it throws ends the work. */
export type FileStep = () => Promise<void>;

/** Passes the chunks on, with a step after each file and after each 64 MiB of it. */
async function* withSteps(chunks: AsyncIterable<Uint8Array>, step: FileStep): AsyncGenerator<Uint8Array> {
  let due = STEP_BYTES;
  for await (const chunk of chunks) {
    yield chunk;
    due -= chunk.byteLength;
    if (due > 0) continue;
    due = STEP_BYTES;
    await step();
  }
  await step();
}

const noStep: FileStep = async () => {};

/** A folder with the files in it. Laid out beside its place and renamed into it: a crash leaves no half folder. */
export async function layOut(
  files: readonly BlobFile[],
  blobs: Blobs,
  cacheFolder: string,
  step: FileStep = noStep,
): Promise<string> {
  const folder = join(cacheFolder, "files", listDigest(files));
  if (await exists(folder)) {
    await touch(folder);
    return folder;
  }
  await mkdir(dirname(folder), { recursive: true });
  const building = await mkdtemp(`${folder}.`);
  try {
    for (const file of files) {
      const target = join(building, file.path);
      await mkdir(dirname(target), { recursive: true });
      await pipeline(withSteps(await blobs.get(file.digest), step), createWriteStream(target));
    }
    await rename(building, folder).catch(async (error) => {
      // Another process of this machine was faster; its folder has the same content.
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  await shrinkCache(cacheFolder, CACHE_BYTES);
  return folder;
}

/** Makes a folder that holds just these files the one that `layOut` would make of them. */
export async function keepFolder(folder: string, files: readonly HashedFile[], cacheFolder: string): Promise<void> {
  const place = join(cacheFolder, "files", listDigest(files));
  await mkdir(dirname(place), { recursive: true });
  await rename(folder, place).catch(async (error) => {
    if (!(await exists(place))) throw error;
  });
  await touch(place);
  await shrinkCache(cacheFolder, CACHE_BYTES);
}

export async function folderOf(files: FilesAt, blobs: Blobs, cacheFolder: string): Promise<string> {
  return files.type === "directory" ? files.path : await layOut(files.files, blobs, cacheFolder);
}

export interface HashedFile {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** sha256 of a file, hex. */
export async function hashFile(folder: string, path: string, step: FileStep = noStep): Promise<HashedFile> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const chunks: AsyncIterable<Buffer> = createReadStream(join(folder, path), { highWaterMark: 1 << 20 });
  for await (const chunk of withSteps(chunks, step)) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { path, digest: hash.digest("hex"), sizeBytes };
}

/** One digest for a set of files: sha256 over `path NUL digest LF`, sorted by path, so that order is no content. */
export function listDigest(files: readonly { path: string; digest: string }[]): string {
  const hash = createHash("sha256");
  for (const file of files.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    hash.update(`${file.path}\0${file.digest}\n`);
  return hash.digest("hex");
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
