import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { downloadFile } from "../../platform/hub/download.ts";
import { createHub, type HubFile } from "../../platform/hub/hub.ts";
import { createOutbound } from "../../platform/outbound.ts";
import { cut, type HubRepo, type HubServer, startHub } from "../support/hub-server.ts";

const repo = "org/name.v1";
const large = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const files = { "config.json": Buffer.from("{}"), "deep/er/weights.safetensors": large, "README.md": Buffer.from("é") };

let server: HubServer;
let folder: string;
let waits: number[];
let abort: AbortController;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "qwen-scope-hub-"));
  waits = [];
  abort = new AbortController();
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

async function serve(changes: Partial<HubRepo> = {}) {
  server = await startHub({ repo, files, ...changes });
}

function connect(token?: string) {
  const wait = async (ms: number) => void waits.push(ms);
  const outbound = createOutbound(["127.0.0.1"]);
  return createHub({ endpoint: server.endpoint, token, outbound, wait, signal: abort.signal });
}

async function listed(path: string): Promise<HubFile> {
  const { files: found } = await connect().snapshot(repo, "main");
  return found.find((file) => file.path === path)!;
}

const weights = "deep/er/weights.safetensors";
const seen: number[] = [];
function download(file: HubFile, owner = "job_a", token?: string) {
  seen.length = 0;
  const options = { folder, owner, onBytes: (done: number) => void seen.push(done) };
  return downloadFile(connect(token), { repo, commit: server.commit }, file, options);
}

const ranges = () => server.requests.filter(({ host }) => host === "storage").map(({ range }) => range);
const problem = (code: string, detail: RegExp) => ({ code, detail: expect.stringMatching(detail) });

describe("a snapshot", () => {
  test("is the revision's commit and every file of every page, with size and digest", async () => {
    await serve({ pageSize: 1 });
    const snapshot = await connect().snapshot(repo, "main");
    expect(snapshot.commit).toBe(server.commit);
    expect(snapshot.files.map(({ path, sizeBytes, digest }) => [path, sizeBytes, digest.kind])).toEqual([
      ["config.json", 2, "git"],
      [weights, large.length, "sha256"],
      ["README.md", 2, "git"],
    ]);
    expect(server.requests.every(({ host }) => host === "hub")).toBe(true);
  });

  test("tells which is missing: the revision, or the repository", async () => {
    await serve();
    await expect(connect().snapshot(repo, "v9")).rejects.toMatchObject(problem("HUB_NOT_FOUND", /revision v9 of org/));
    const private_ = connect().snapshot("org/other", "main");
    await expect(private_).rejects.toMatchObject(
      problem("HUB_ACCESS_REFUSED", /not exist or is private.*token_secret/),
    );
    const known = connect("t").snapshot("org/other", "main");
    await expect(known).rejects.toMatchObject(problem("HUB_ACCESS_REFUSED", /does not accept the token/));
    expect(waits).toEqual([]);
  });

  test("of something that is no hub is refused", async () => {
    await serve();
    server.intercept = (_, response) => Boolean(response.writeHead(200).end("<html>"));
    await expect(connect().snapshot(repo, "main")).rejects.toMatchObject(problem("HUB_UNAVAILABLE", /is it a hub/));
  });
});

describe("a download", () => {
  test("follows to the storage without the token, and checks large files and small ones by their digests", async () => {
    await serve({ token: "secret" });
    const { files: found } = await connect("secret").snapshot(repo, "main");
    for (const file of found) {
      const path = await download(file, "job_a", "secret");
      expect(readFileSync(path).equals(files[file.path as keyof typeof files])).toBe(true);
      expect(seen.at(-1)).toBe(file.sizeBytes);
    }
    const authorized = (host: string) =>
      server.requests.filter((request) => request.host === host).map(({ authorization }) => authorization);
    expect(new Set(authorized("hub"))).toEqual(new Set(["Bearer secret"]));
    expect(authorized("storage")).toEqual([undefined]);
    const before = server.requests.length;
    await download(found[1]!, "job_b");
    expect(server.requests).toHaveLength(before);
  });

  test("that is cut goes on from where it was, as often as it gets further", async () => {
    await serve();
    const file = await listed(weights);
    let cuts = 0;
    server.intercept = (request, response, host) => {
      if (host === "hub" || ++cuts > 12) return false;
      cut(response, large, Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0));
      return true;
    };
    expect(readFileSync(await download(file)).equals(large)).toBe(true);
    const starts = ranges().map((range) => Number(/\d+/.exec(range ?? "0")));
    expect(starts).toEqual(starts.toSorted((x, y) => x - y));
    expect(starts.at(-1)).toBeGreaterThan(large.length / 2);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    // More cuts than tries that get nothing: those that got further do not count.
    expect(waits).toHaveLength(12);
  });

  test("that gets no further ends, keeps what it has, and the next one goes on there, whoever asks", async () => {
    await serve();
    const file = await listed(weights);
    let first = true;
    server.intercept = (_, response, host) => {
      if (host === "hub") return false;
      if (first) response.writeHead(200, { "content-length": 150_000 }).end(large.subarray(0, 150_000));
      else response.destroy();
      first = false;
      return true;
    };
    await expect(download(file)).rejects.toMatchObject(problem("HUB_UNAVAILABLE", /weights\.safetensors.*connection/));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
    expect(readdirSync(folder)).toEqual([`${file.digest.hex}.part`]);
    server.intercept = null;
    expect(readFileSync(await download(file, "job_b")).equals(large)).toBe(true);
    expect(ranges().at(-1)).toBe("bytes=150000-");
    expect(readdirSync(folder)).toEqual([file.digest.hex]);
  });

  test("after a kill goes on for the same job; another job that writes now is left alone", async () => {
    await serve();
    const file = await listed(weights);
    writeFileSync(join(folder, `${file.digest.hex}.job_a.part`), large.subarray(0, 200_000));
    await download(file, "job_b");
    await download({ ...file }, "job_c");
    expect(ranges()).toEqual([undefined]);
    rmSync(join(folder, file.digest.hex));
    await download(file, "job_a");
    expect(ranges()).toEqual([undefined, "bytes=200000-"]);
  });

  test("begins anew where what was kept is damaged or too long, or where the server knows no ranges", async () => {
    await serve();
    const file = await listed(weights);
    const part = join(folder, `${file.digest.hex}.part`);
    const path = join(folder, file.digest.hex);
    for (const kept of [
      large.map((byte) => byte ^ 1).subarray(0, 1000),
      new Uint8Array(large.length),
      new Uint8Array(large.length + 1),
    ]) {
      writeFileSync(part, kept);
      await download(file);
      expect(readFileSync(path).equals(large)).toBe(true);
      rmSync(path);
    }
    writeFileSync(part, large.subarray(0, 1000));
    server.intercept = (_, response, host) => host === "storage" && Boolean(response.writeHead(200).end(large));
    await download(file);
    expect(readFileSync(path).equals(large)).toBe(true);
  });

  test("of other content than the list says is refused and not kept", async () => {
    await serve();
    const file = await listed(weights);
    server.intercept = (_, response, host) =>
      host === "storage" && Boolean(response.writeHead(200).end(new Uint8Array(large.length)));
    await expect(download(file)).rejects.toMatchObject(problem("DIGEST_MISMATCH", /weights\.safetensors of org/));
    expect(readdirSync(folder)).toEqual([]);
  });

  test("stops with the signal's reason and keeps what has arrived", async () => {
    await serve();
    const file = await listed(weights);
    server.intercept = (_, response, host) => {
      if (host === "hub") return false;
      response.writeHead(200, { "content-length": large.length }).write(large.subarray(0, 100_000));
      return true;
    };
    const options = { folder, owner: "job_a", onBytes: (done: number) => void (done > 0 && abort.abort("cancel")) };
    await expect(downloadFile(connect(), { repo, commit: server.commit }, file, options)).rejects.toBe("cancel");
    expect(readdirSync(folder)).toEqual([`${file.digest.hex}.part`]);
    expect(readFileSync(join(folder, `${file.digest.hex}.part`)).length).toBeGreaterThan(0);
  });
});

describe("a busy hub", () => {
  test.each([
    ["Retry-After in seconds", { "retry-after": "7" }, 7000],
    ["its own RateLimit header", { ratelimit: '"api";r=0;t=55' }, 55_000],
    ["nothing", {}, 500],
  ])("is asked again after what it says in %s", async (_, headers, expected) => {
    await serve();
    let refusals = 0;
    server.intercept = (_request, response) => refusals++ < 1 && Boolean(response.writeHead(429, headers).end());
    await connect().snapshot(repo, "main");
    expect(waits).toEqual([expected]);
  });

  test("that stays busy, or wants an hour, is told to the client", async () => {
    await serve();
    server.intercept = (_, response) => Boolean(response.writeHead(429, { "retry-after": "3600" }).end());
    const refused = connect().snapshot(repo, "main");
    await expect(refused).rejects.toMatchObject({ code: "HUB_RATE_LIMITED", retryable: true, retryAfterS: 3600 });
    server.intercept = (_, response) => Boolean(response.writeHead(503).end());
    await expect(connect().snapshot(repo, "main")).rejects.toMatchObject(problem("HUB_UNAVAILABLE", /503/));
    expect(waits).toHaveLength(7);
  });

  test.each([
    [403, "GatedRepo", /gated.*token_secret/],
    [403, "", /does not give/],
    [404, "RepoNotFound", /has no revision main/],
  ])("a refusal %s %s is not asked again", async (status, code, detail) => {
    await serve();
    server.intercept = (_, response) => Boolean(response.writeHead(status, { "x-error-code": code }).end());
    await expect(connect().snapshot(repo, "main")).rejects.toMatchObject({ detail: expect.stringMatching(detail) });
    expect(server.requests).toHaveLength(1);
  });
});
