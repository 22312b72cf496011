/** Some files of a repository of the hub as a folder of this run's: downloaded once, checked, going on where an earlier run was cut. */
import { link, mkdir, readdir, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fieldProblem, isProblem, Problem } from "../domain/problem.ts";
import { parseReleaseName } from "../domain/qwen-scope-name.ts";
import { releasesOfBackbone } from "../domain/released-suite.ts";
import type { HubSource } from "../domain/source.ts";
import { downloadFile } from "../platform/hub/download.ts";
import { createHub, type HubFile } from "../platform/hub/hub.ts";
import { isSafeRelativePath } from "./files.ts";
import { type JobContext, stepOrStop } from "./jobs/handler.ts";
import { createProgressMeter, type ProgressMeter } from "./jobs/progress.ts";

/** A wait for the network leaves the process free, so that a timer may say that it lives. */
const BEAT_MS = 2_000;
/** What no import came back for. */
const KEPT_MS = 3 * 24 * 3600 * 1000;

export interface HubCheckout {
  /** Named after the repository. */
  readonly folder: string;
  readonly commit: string;
  /** Everything in the repository that could be a file of the folder. */
  readonly files: readonly HubFile[];
  /** Tells the progress what will be fetched. `onDisk`: those of them that lie here at a time must fit. */
  plan(files: readonly HubFile[], onDisk?: readonly HubFile[]): Promise<void>;
  fetch(files: readonly HubFile[]): Promise<void>;
  /** They are stored elsewhere now. */
  drop(files: readonly HubFile[]): Promise<void>;
}

export async function checkOut(source: HubSource, context: JobContext): Promise<HubCheckout> {
  const { repo, revision = "main", token_secret } = source;
  const cache = join(context.settings.cacheFolder, "hub");
  const folder = join(context.scratch, "hub", basename(repo));
  const wait = async (ms: number) => {
    for (let left = ms; left > 0; left -= BEAT_MS) {
      await pause(Math.min(left, BEAT_MS));
      await stepOrStop(context);
    }
  };
  const hub = createHub({ ...(await context.hubAccess(token_secret)), wait, signal: context.signal });
  await mkdir(folder, { recursive: true });
  await tidyDownloads(cache);
  const { commit, files } = await alive(context, () => hub.snapshot(repo, revision)).catch((error) => {
    throw withNearNames(error, repo);
  });
  let meter: ProgressMeter | null = null;
  let done = 0;
  return {
    folder,
    commit,
    files: files.filter(({ path }) => isSafeRelativePath(path)),
    async plan(wanted, onDisk = wanted) {
      meter = createProgressMeter(bytesOf(wanted), "bytes");
      done = 0;
      await expectRoom(cache, bytesOf(onDisk));
    },
    async fetch(wanted) {
      for (const file of wanted) {
        const onBytes = (bytes: number) => meter && context.progress(meter.at(done + bytes));
        const downloaded = await alive(context, () =>
          downloadFile(hub, { repo, commit }, file, { folder: cache, owner: context.jobId, onBytes }),
        );
        await mkdir(dirname(join(folder, file.path)), { recursive: true });
        // A hard link: whoever tidies the downloads meanwhile takes nothing from this run.
        await link(downloaded, join(folder, file.path));
        done += file.sizeBytes;
        await stepOrStop(context);
      }
    },
    async drop(stored) {
      for (const { path, digest } of stored) {
        await rm(join(folder, path), { force: true });
        await rm(join(cache, digest.hex), { force: true });
      }
    },
  };
}

const bytesOf = (files: readonly HubFile[]) => files.reduce((sum, file) => sum + file.sizeBytes, 0);

/** Says while the network is waited for that the process lives, and ends as the job's signal wants it. */
async function alive<T>(context: JobContext, work: () => Promise<T>): Promise<T> {
  const beat = setInterval(() => void context.step(), BEAT_MS);
  try {
    return await work();
  } catch (error) {
    await stepOrStop(context);
    throw error;
  } finally {
    clearInterval(beat);
  }
}

async function expectRoom(cache: string, neededBytes: number): Promise<void> {
  await mkdir(cache, { recursive: true });
  const { bavail, bsize } = await statfs(cache);
  if (bavail * bsize >= neededBytes) return;
  const detail = `${neededBytes} bytes are to be downloaded, the disk has room for ${bavail * bsize}`;
  throw new Problem("DISK_SPACE_INSUFFICIENT", detail);
}

async function tidyDownloads(cache: string): Promise<void> {
  for (const name of await readdir(cache).catch(() => [])) {
    const found = await stat(join(cache, name)).catch(() => null);
    if (found && Date.now() - found.mtimeMs > KEPT_MS) await rm(join(cache, name), { force: true });
  }
}

/** A name of the suite with a width or k that it does not have: which there are. */
function withNearNames(error: unknown, repo: string): unknown {
  const named = parseReleaseName(repo);
  if (!isProblem(error) || !error.code.startsWith("HUB_") || error.retryable || !named) return error;
  const near = releasesOfBackbone(named.backbone).map((release) => release.repo);
  if (near.length === 0 || near.includes(repo)) return error;
  return fieldProblem(error.code, "/source/repo", `${error.detail}; released are ${near.join(" and ")}`);
}
