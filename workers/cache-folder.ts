/**
 * The cache folder of a machine's workers: laid-out files, kept while there is room, and one scratch folder a running
 * job. Whatever is in it can be made again; what a killed process left is removed by the next that starts.
 */
import { mkdir, mkdtemp, readdir, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

/** A folder laid out or used within this time may still be about to be opened. */
const FRESH_MS = 3600 * 1000;
/** No claim of a job lasts longer than a day, so what another host made before this is nobody's any more. */
const FOREIGN_MS = 48 * 3600 * 1000;

/** Process numbers mean nothing on another machine, nor in another container over the same data folder. */
const host = hostname().replaceAll(/[^\w.-]/g, "_");

export async function makeScratch(cacheFolder: string): Promise<string> {
  return await mkdtemp(join(cacheFolder, `job-${host}-${process.pid}-`));
}

/** Removes what dead processes left: scratch folders, and folders that were never finished. */
export async function tidyCache(cacheFolder: string): Promise<void> {
  await mkdir(join(cacheFolder, "files"), { recursive: true });
  for (const name of await readdir(cacheFolder)) {
    const [, on, owner] = /^job-(.+)-(\d+)-[^-]*$/.exec(name) ?? [];
    const path = join(cacheFolder, name);
    if (on !== undefined && on !== host) {
      if ((await ageMs(path)) > FOREIGN_MS) await remove(path);
      continue;
    }
    // A process that has just started owns none yet, also when it got the number of a dead one.
    if (owner && (Number(owner) === process.pid || !isRunning(Number(owner)))) await remove(path);
  }
  for (const name of await readdir(join(cacheFolder, "files"))) {
    const path = join(cacheFolder, "files", name);
    if (name.includes(".") && (await ageMs(path)) > FRESH_MS) await remove(path);
  }
}

/** Marks a laid-out folder as used now. */
export async function touch(folder: string): Promise<void> {
  const now = new Date();
  await utimes(folder, now, now).catch(() => {});
}

/**
 * Removes laid-out folders, least recently used first, until the rest takes at most so many bytes. An open file stays
 * readable for whoever has it open, so only folders that may be about to be opened are spared.
 */
export async function shrinkCache(cacheFolder: string, limitBytes: number): Promise<void> {
  const root = join(cacheFolder, "files");
  const folders = [];
  for (const name of await readdir(root)) {
    const path = join(root, name);
    folders.push({ path, ageMs: await ageMs(path), sizeBytes: await folderBytes(path) });
  }
  folders.sort((a, b) => b.ageMs - a.ageMs);
  let total = folders.reduce((sum, folder) => sum + folder.sizeBytes, 0);
  for (const { path, ageMs: age, sizeBytes } of folders) {
    if (total <= limitBytes || age < FRESH_MS) return;
    await remove(path);
    total -= sizeBytes;
  }
}

async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let sum = 0;
  for (const entry of entries) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0;
  }
  return sum;
}

async function ageMs(path: string): Promise<number> {
  const found = await stat(path).catch(() => null);
  return found ? Date.now() - found.mtimeMs : 0;
}

async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
