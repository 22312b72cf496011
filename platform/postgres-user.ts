// PostgreSQL refuses to run as root. A root process hands it to another user, who must be able to reach the program
// and the data: below a private home folder (/root) he cannot, and then both live under /var/lib.
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";

export interface ServerUser {
  /** Empty unless this process is root. */
  readonly ids: { readonly uid?: number; readonly gid?: number };
  /** Where the cluster of this data folder lies. */
  clusterFolder(dataDir: string): string;
  /** The folder with bin/ and lib/, readable by the user. */
  programFolder(packaged: string, version: string): string;
}

const shelter = "/var/lib/qwen-scope-postgres";

export function serverUser(): ServerUser {
  if (process.getuid?.() !== 0)
    return {
      ids: {},
      clusterFolder: (dataDir) => join(resolve(dataDir), "postgres"),
      programFolder: (packaged) => packaged,
    };
  const ids = unprivilegedUser();
  return {
    ids,
    clusterFolder(dataDir) {
      const pointer = join(resolve(dataDir), "postgres.cluster");
      if (existsSync(pointer)) return readFileSync(pointer, "utf8");
      if (canReach(resolve(dataDir), ids)) return join(resolve(dataDir), "postgres");
      openShelter();
      // A name of its own, not one made from the path: who deletes the data folder and starts again wants an empty one.
      const cluster = join(shelter, randomUUID());
      writeFileSync(pointer, cluster);
      writeFileSync(`${cluster}.home`, pointer);
      return cluster;
    },
    programFolder(packaged, version) {
      if (canReach(join(packaged, "bin"), ids)) return packaged;
      openShelter();
      const copy = join(shelter, `program-${version}`);
      if (!existsSync(copy)) {
        const draft = `${copy}.${randomUUID()}`;
        cpSync(packaged, draft, { recursive: true, verbatimSymlinks: true });
        renameSync(draft, copy);
      }
      return copy;
    },
  };
}

/** Also removes what belongs to data folders that were deleted. */
function openShelter(): void {
  mkdirSync(shelter, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(shelter).filter((file) => file.endsWith(".home"))) {
    const cluster = join(shelter, name.slice(0, -".home".length));
    const pointer = readFileSync(join(shelter, name), "utf8");
    if (existsSync(pointer) && readFileSync(pointer, "utf8") === cluster) continue;
    // A server that still runs on it notices within a minute that its files are gone, and stops.
    rmSync(cluster, { recursive: true, force: true });
    rmSync(join(shelter, name), { force: true });
  }
}

/** The user `postgres` when there is one, else one made for it, else `nobody`. */
function unprivilegedUser(): { uid: number; gid: number } {
  const known = lookUp("postgres");
  if (known !== null) return known;
  try {
    execFileSync("useradd", ["--system", "--user-group", "--no-create-home", "postgres"], { stdio: "ignore" });
  } catch {
    // A machine without useradd, or a read-only /etc.
  }
  const user = lookUp("postgres") ?? lookUp("nobody");
  if (user === null)
    throw new Error(
      "PostgreSQL does not run as root and no other user was found. Run as another user, or set DATABASE_URL.",
    );
  return user;
}

function lookUp(name: string): { uid: number; gid: number } | null {
  const id = (flag: string) =>
    Number(execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "ignore"] }).toString());
  try {
    return { uid: id("-u"), gid: id("-g") };
  } catch {
    return null;
  }
}

/** Whether every folder on the way lets that user pass. */
function canReach(folder: string, ids: { uid: number; gid: number }): boolean {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const bit = uid === ids.uid ? 0o100 : gid === ids.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

/** Gives a folder to the server's user; nothing to do when we are that user. */
export function handOver(folder: string, { uid, gid }: ServerUser["ids"]): void {
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
}
