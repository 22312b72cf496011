import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
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

  test("loses what dead processes left, and nothing of those that live, here or on another host", async () => {
    const living = `job-${hostname()}-${process.ppid}-abc`;
    // Beyond the largest process number that Linux gives.
    const dead = `job-${hostname()}-99999999-abc`;
    const elsewhere = `job-another-${hostname()}-99999999-abc`;
    for (const name of [living, dead, elsewhere]) await mkdir(join(cache, name));
    const abandoned = `job-another-${hostname()}-99999999-old`;
    await mkdir(join(cache, abandoned));
    const threeDaysAgo = new Date(Date.now() - 72 * 3600 * 1000);
    await utimes(join(cache, abandoned), threeDaysAgo, threeDaysAgo);
    await laidOut("half.Xy12", 1, 30);
    await laidOut("whole", 1, 30);
    await tidyCache(cache);
    expect((await readdir(cache)).toSorted()).toEqual(["files", living, elsewhere].toSorted());
    expect(await readdir(join(cache, "files"))).toEqual(["whole"]);
  });

  test("has a scratch folder for each who asks", async () => {
    const [first, second] = [await makeScratch(cache), await makeScratch(cache)];
    expect(first).not.toBe(second);
    // They are this process's own, which has none when it starts.
    await tidyCache(cache);
    expect(await readdir(cache)).toEqual(["files"]);
  });
});
