import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeScratch, shrinkCache, tidyCache, touch } from "../../workers/cache-folder.ts";

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "cache-"));
});
afterEach(() => rm(cache, { recursive: true }));

async function laidOut(name: string, bytes: number, hoursOld: number): Promise<string> {
  const folder = join(cache, "files", name);
  await mkdir(join(folder, "sub"), { recursive: true });
  await writeFile(join(folder, "sub", "data"), Buffer.alloc(bytes));
  const then = new Date(Date.now() - hoursOld * 3600 * 1000);
  await utimes(folder, then, then);
  return folder;
}

describe("the cache folder", () => {
  test("gives up what was used least recently, as much as is needed and no more", async () => {
    await laidOut("oldest", 100, 9);
    await laidOut("middle", 100, 5);
    await laidOut("newer", 100, 3);
    await shrinkCache(cache, 200);
    expect((await readdir(join(cache, "files"))).toSorted()).toEqual(["middle", "newer"]);
  });

  test("keeps what was just laid out or used, whatever its size", async () => {
    await laidOut("fresh", 500, 0);
    await touch(await laidOut("used", 500, 9));
    await shrinkCache(cache, 10);
    expect((await readdir(join(cache, "files"))).toSorted()).toEqual(["fresh", "used"]);
  });

  test("loses what dead processes left, and nothing of those that live", async () => {
    const living = join(cache, `job-${process.ppid}-abc`);
    // Beyond the largest process number that Linux gives.
    for (const folder of [living, join(cache, "job-99999999-abc")]) await mkdir(folder);
    await laidOut("half.Xy12", 1, 30);
    await laidOut("whole", 1, 30);
    await tidyCache(cache);
    expect((await readdir(cache)).toSorted()).toEqual(["files", `job-${process.ppid}-abc`]);
    expect(await readdir(join(cache, "files"))).toEqual(["whole"]);
  });

  test("has a scratch folder for each who asks", async () => {
    expect(await makeScratch(cache)).not.toBe(await makeScratch(cache));
  });
});
