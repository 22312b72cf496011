// One owner per data folder: two servers over the same files would destroy them. The lock is a file that names the
// process, so that a second start can say who holds it, and a start after a kill can tell that nobody does.
import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface DataLock {
  /** Tells other processes of the machine how to reach the owner's database. */
  publish(databaseUrl: string): void;
  release(): void;
}

export class DataFolderLocked extends Error {
  override readonly name = "DataFolderLocked";
}

interface Owner {
  readonly pid: number;
  /** When that process started, since numbers are used again; null where the system does not tell. */
  readonly born: string | null;
  readonly since: string;
  readonly databaseUrl?: string;
}

export function lockDataFolder(folder: string): DataLock {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "owner.json");
  const owner: Owner = { pid: process.pid, born: processBorn(process.pid), since: new Date().toISOString() };
  for (let attempt = 0; !create(path, owner); attempt++) {
    const holder = readOwner(path);
    if (holder !== null && isAlive(holder))
      throw new DataFolderLocked(
        `The data folder ${folder} is in use by process ${holder.pid} (since ${holder.since}). Stop that one, or set DATA_DIR to another folder.`,
      );
    if (attempt === 5)
      throw new DataFolderLocked(`The lock ${path} cannot be taken; remove the file if no server runs.`);
    removeStale(path, holder);
  }
  return {
    publish: (databaseUrl) => replace(path, { ...owner, databaseUrl }),
    release() {
      if (readOwner(path)?.pid === process.pid) rmSync(path, { force: true });
    },
  };
}

/** The database of the live owner of the folder, for workers started apart from it; null when there is none. */
export function ownersDatabaseUrl(folder: string): string | null {
  const holder = readOwner(join(folder, "owner.json"));
  return holder !== null && isAlive(holder) ? (holder.databaseUrl ?? null) : null;
}

/** Creates the whole file or nothing: linking fails when the name is taken, and nobody sees a half-written lock. */
function create(path: string, owner: Owner): boolean {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

function replace(path: string, owner: Owner): void {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 });
  renameSync(draft, path);
}

/** Moves the dead owner's file away; when another start was faster and the file is already its own, puts it back. */
function removeStale(path: string, expected: Owner | null): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const taken = readOwner(aside);
  if (taken !== null && (taken.pid !== expected?.pid || taken.since !== expected.since)) renameSync(aside, path);
  else rmSync(aside, { force: true });
}

function readOwner(path: string): Owner | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Owner;
  } catch {
    return null;
  }
}

function isAlive(owner: Owner): boolean {
  return isRunning(owner.pid) && (owner.born === null || processBorn(owner.pid) === owner.born);
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Field 22 of /proc/pid/stat: ticks since boot at which the process started. */
function processBorn(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
