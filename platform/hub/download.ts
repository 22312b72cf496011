/**
 * One file of the hub into a folder, under its digest. What has arrived stays beside it when a connection is cut, a job stops or
 * a process is killed, and the next download of the same content goes on from there.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Problem } from "../../domain/problem.ts";
import { type Hub, type HubFile, type HubSnapshot, passing } from "./hub.ts";
import { Passing } from "./hub-problems.ts";

export interface DownloadOptions {
  readonly folder: string;
  /** Names who writes, so that two jobs never write into one file. */
  readonly owner: string;
  /** Of this file, those kept from before included. */
  onBytes(done: number): void;
}

/** A part that its owner has not touched for so long belongs to nobody any more. */
const ABANDONED_MS = 15 * 60_000;

/** The path of the complete, checked file. @throws Problem HUB_…, OUTBOUND_…, DIGEST_MISMATCH, or the reason of the hub's signal */
export async function downloadFile(
  hub: Hub,
  snapshot: Pick<HubSnapshot, "repo" | "commit">,
  file: HubFile,
  { folder, owner, onBytes }: DownloadOptions,
): Promise<string> {
  const path = join(folder, file.digest.hex);
  if ((await sizeOf(path)) === file.sizeBytes) {
    onBytes(file.sizeBytes);
    return path;
  }
  await mkdir(folder, { recursive: true });
  const part = `${path}.${owner}.part`;
  await adoptPart(folder, file.digest.hex, part);
  try {
    // A part may have been damaged by whatever ended its process: then once more, from nothing.
    for (const isLast of [false, true]) {
      await fetchRest(hub, snapshot, file, part, onBytes);
      if ((await digestOf(part, file)) === file.digest.hex) break;
      await rm(part);
      if (isLast)
        throw new Problem("DIGEST_MISMATCH", `${file.path} of ${snapshot.repo} is not what the hub's list says`);
    }
    await rename(part, path);
    return path;
  } catch (error) {
    await rename(part, `${path}.part`).catch(() => {});
    throw error;
  }
}

/** The part that this owner left, or one that nobody writes: given back, or abandoned by a process that is gone. */
async function adoptPart(folder: string, hex: string, part: string): Promise<void> {
  if ((await sizeOf(part)) !== null) return;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${hex}.`)) continue;
    const other = join(folder, name);
    const found = await stat(other).catch(() => null);
    const isFree = name === `${hex}.part` || (found !== null && Date.now() - found.mtimeMs > ABANDONED_MS);
    // Of two that try, one finds it gone and begins anew.
    if (isFree) await rename(other, part).catch(() => {});
    if ((await sizeOf(part)) !== null) return;
  }
}

async function fetchRest(
  hub: Hub,
  snapshot: Pick<HubSnapshot, "repo" | "commit">,
  file: HubFile,
  part: string,
  onBytes: (done: number) => void,
): Promise<void> {
  let reached = 0;
  let before = 0;
  await hub.retrying(
    async () => {
      before = (await sizeOf(part)) ?? 0;
      if (before > file.sizeBytes) {
        await truncate(part, 0);
        before = 0;
      }
      reached = before;
      reached = await append(hub, snapshot, file, part, before, (done) => {
        reached = done;
        onBytes(done);
      });
    },
    () => reached > before,
  );
}

async function append(
  hub: Hub,
  snapshot: Pick<HubSnapshot, "repo" | "commit">,
  file: HubFile,
  part: string,
  from: number,
  onBytes: (done: number) => void,
): Promise<number> {
  onBytes(from);
  const handle = await open(part, "a");
  try {
    if (from === file.sizeBytes) return from;
    const answer = await hub.open(snapshot, file, from);
    let done = answer.status === 206 ? startOf(answer, from, file) : 0;
    // A server that sends everything has to be heard from the beginning.
    if (done !== from) await handle.truncate(done);
    for await (const chunk of answer.body ?? []) {
      await handle.appendFile(chunk);
      done += chunk.byteLength;
      onBytes(done);
    }
    if (done === file.sizeBytes) return done;
    throw new Passing(new Problem("HUB_UNAVAILABLE", `${file.path}: ${done} of ${file.sizeBytes} bytes arrived`));
  } catch (error) {
    throw passing(error, file.path);
  } finally {
    await handle.close();
  }
}

/** Where a partial answer begins; it must be where the part ends. */
function startOf(answer: Response, from: number, file: HubFile): number {
  const range = answer.headers.get("content-range");
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range ?? "") ?? [];
  if (Number(start) === from && (total === "*" || Number(total) === file.sizeBytes)) return from;
  throw new Problem("HUB_UNAVAILABLE", `${file.path}: asked for bytes from ${from}, the server sends ${range}`);
}

async function digestOf(path: string, { digest, sizeBytes }: HubFile): Promise<string> {
  const hash = createHash(digest.kind === "sha256" ? "sha256" : "sha1");
  if (digest.kind === "git") hash.update(`blob ${sizeBytes}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function sizeOf(path: string): Promise<number | null> {
  return (await stat(path).catch(() => null))?.size ?? null;
}
