import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSafeRelativePath, layOut, listDigest, realDirectory } from "../../workers/files.ts";

let base: string;
let root: string;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "files-"));
  root = join(base, "models");
  await mkdir(join(root, "plain"), { recursive: true });
  await writeFile(join(root, "plain", "config.json"), "{}");
  // The layout of a hub cache: a snapshot whose files are links into a folder of contents.
  await mkdir(join(root, "hub", "blobs"), { recursive: true });
  await mkdir(join(root, "hub", "snapshots", "abc"), { recursive: true });
  await writeFile(join(root, "hub", "blobs", "1234"), "{}");
  await symlink("../../blobs/1234", join(root, "hub", "snapshots", "abc", "config.json"));

  await mkdir(join(base, "private"));
  await writeFile(join(base, "private", "secret"), "s");
  await symlink(join(base, "private"), join(root, "way-out"));
  await mkdir(join(root, "leaking"));
  await symlink(join(base, "private", "secret"), join(root, "leaking", "config.json"));
  await mkdir(join(root, "broken"));
  await symlink("nowhere", join(root, "broken", "config.json"));
  await mkdir(join(base, "models-next-door"));
});
afterAll(() => rm(base, { recursive: true }));

const refused = (path: string, detail: RegExp) =>
  expect(realDirectory(path, [root])).rejects.toMatchObject({
    code: "PATH_OUTSIDE_ROOTS",
    message: expect.stringMatching(detail),
  });

describe("a directory that a client names", () => {
  test("is taken below a root, also through the links of a hub cache", async () => {
    expect(await realDirectory(join(root, "plain"), [root])).toBe(join(root, "plain"));
    const snapshot = join(root, "hub", "snapshots", "abc");
    expect(await realDirectory(snapshot, [root])).toBe(snapshot);
  });

  test("is refused outside the roots, however it is spelled", async () => {
    await refused(join(base, "private"), /not a directory below MODEL_ROOTS/);
    await refused(join(root, "plain", "..", "..", "private"), /not a directory below MODEL_ROOTS/);
    await refused(join(root, "way-out"), /not a directory below MODEL_ROOTS/);
    await refused(join(base, "models-next-door"), /not a directory below MODEL_ROOTS/);
  });

  test("is missed below a root", async () => {
    await expect(realDirectory(join(root, "no", "such"), [root])).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });

  test("gets the same answer when it does not exist as when it lies elsewhere", async () => {
    await refused(join(root, "way-out", "does-not-exist"), /not a directory below MODEL_ROOTS/);
    await refused(join(base, "does-not-exist"), /not a directory below MODEL_ROOTS/);
  });

  test("is refused when a file in it links to the outside or to nothing", async () => {
    await refused(join(root, "leaking"), /links to a place outside MODEL_ROOTS/);
    await refused(join(root, "broken"), /links to nothing/);
  });

  test("is refused when it is a file", async () => {
    await refused(join(root, "plain", "config.json"), /is not a directory/);
  });
});

describe("files from artifacts", () => {
  test("keep to relative paths below their folder", () => {
    for (const path of ["config.json", "onnx/model.bin", "..a/b"]) expect(isSafeRelativePath(path), path).toBe(true);
    for (const path of ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a\\b", "a\0b"]) {
      expect(isSafeRelativePath(path), path).toBe(false);
    }
  });

  test("are laid out once, in folders too, and a failure leaves nothing", async () => {
    const cache = join(base, "cache");
    let reads = 0;
    const blobs = {
      put: () => Promise.reject(new Error("not used")),
      get: async (digest: string) => {
        reads += 1;
        if (digest === "missing") throw new Error("no such blob");
        return (async function* () {
          yield Buffer.from(digest);
        })();
      },
    };
    const files = [
      { path: "a.json", digest: "aa", sizeBytes: 2 },
      { path: "sub/b.json", digest: "bb", sizeBytes: 2 },
    ];
    const folder = await layOut(files, blobs, cache);
    expect(await readFile(join(folder, "sub", "b.json"), "utf8")).toBe("bb");
    expect(await layOut(files.toReversed(), blobs, cache)).toBe(folder);
    expect(reads).toBe(2);
    await expect(layOut([{ path: "x", digest: "missing", sizeBytes: 0 }], blobs, cache)).rejects.toThrow(
      "no such blob",
    );
    expect(listDigest(files)).toBe(listDigest(files.toReversed()));
    expect(await readdir(join(cache, "files"))).toEqual([listDigest(files)]);
  });
});
