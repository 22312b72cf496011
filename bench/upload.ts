/**
 * A large JSON Lines file becomes a dataset: as one multipart request, and as presigned parts on an S3 server followed by the dataset
 * of the artifact. What counts is how far the API's memory grows, and the time.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { startS3 } from "../tests/support/s3-server.ts";

const ROWS_PER_CHUNK = 1_000;

interface Measured {
  readonly upload_seconds: number;
  readonly dataset_seconds: number;
  readonly samples: number;
  /** Of the API's process: before the first byte, and the highest during the upload. */
  readonly resident_before_bytes: number;
  readonly resident_peak_bytes: number;
}

/** Arguments: megabytes (200). */
export async function benchUpload(args: readonly string[]) {
  const megabytes = Number(args[0] ?? 200);
  const file = describeFile(megabytes * 1e6);
  const s3 = await startS3();
  try {
    const direct = await withApi({}, (api) => multipart(api, file));
    const { bucket, endpoint, credentials } = s3.settings;
    const presigned = await withApi(
      {
        S3_BUCKET: bucket,
        S3_ENDPOINT: endpoint ?? "",
        AWS_ACCESS_KEY_ID: credentials?.accessKeyId ?? "",
        AWS_SECRET_ACCESS_KEY: credentials?.secretAccessKey ?? "",
      },
      (api) => parts(api, file),
    );
    return {
      name: "upload",
      machine: { cpu: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), node: process.version },
      settings: { bytes: file.size, rows: file.rows },
      ours: { multipart: direct, presigned_parts: presigned },
      peer: null,
      floor: null,
      ratios: {},
    };
  } finally {
    await s3.stop();
  }
}

interface GrownFile {
  readonly size: number;
  readonly rows: number;
  readonly digest: string;
  chunks(): Generator<Buffer>;
}

/** The same bytes at every reading, without the file. */
function describeFile(bytes: number): GrownFile {
  const chunkOf = (start: number) => {
    const lines = Array.from({ length: ROWS_PER_CHUNK }, (_, i) =>
      JSON.stringify({
        question: `Box ${start + i} holds ${i} marbles, ${"each of a colour of its own, ".repeat(4)}and two are lost. How many are left?`,
        answer: `${i} - 2 = <<${i}-2=${i - 2}>>${i - 2}\n#### ${i - 2}`,
      }),
    );
    return Buffer.from(`${lines.join("\n")}\n`);
  };
  function* chunks(): Generator<Buffer> {
    for (let sent = 0, row = 0; sent < bytes; row += ROWS_PER_CHUNK) {
      const chunk = chunkOf(row);
      sent += chunk.length;
      yield chunk;
    }
  }
  const hash = createHash("sha256");
  let size = 0;
  let rows = 0;
  for (const chunk of chunks()) {
    hash.update(chunk);
    size += chunk.length;
    rows += ROWS_PER_CHUNK;
  }
  return { size, rows, digest: hash.digest("hex"), chunks };
}

interface Api {
  readonly url: string;
  readonly pid: number;
}

async function withApi<T>(environment: Record<string, string>, use: (api: Api) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "bench-upload-"));
  const port = await freePort();
  const child = spawn(process.execPath, ["--import", "tsx", "api/main.ts"], {
    env: { ...process.env, DATA_DIR: folder, PORT: String(port), LOG_LEVEL: "warn", ...environment },
    stdio: ["ignore", "ignore", "inherit"],
  });
  try {
    const url = `http://127.0.0.1:${port}`;
    await ready(url, child);
    return await use({ url, pid: child.pid! });
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
    await rm(folder, { recursive: true, force: true });
  }
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the API ended with code ${child.exitCode}`);
    const response = await fetch(`${url}/readyz`).catch(() => null);
    if (response?.ok) return;
    await sleep(100);
  }
}

async function multipart(api: Api, file: GrownFile): Promise<Measured> {
  const before = residentBytes(api.pid, "VmRSS");
  const start = performance.now();
  const boundary = "bench-upload";
  async function* body(): AsyncGenerator<Uint8Array> {
    const part = (name: string, rest = "") =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${rest}\r\n\r\n`;
    yield Buffer.from(`${part("name")}grown\r\n${part("file", '; filename="grown.jsonl"')}`);
    yield* file.chunks();
    yield Buffer.from(`\r\n--${boundary}--\r\n`);
  }
  let sentAt = 0;
  async function* watched(): AsyncGenerator<Uint8Array> {
    yield* body();
    sentAt = performance.now();
  }
  const dataset = await created(
    await fetch(`${api.url}/v1/datasets`, {
      method: "POST",
      headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` },
      body: Readable.from(watched()),
      duplex: "half",
    } as unknown as RequestInit),
  );
  return measured(api, before, sentAt - start, performance.now() - sentAt, dataset);
}

async function parts(api: Api, file: GrownFile): Promise<Measured> {
  const before = residentBytes(api.pid, "VmRSS");
  const start = performance.now();
  const announced = await created(
    await send(`${api.url}/v1/artifacts`, { name: "grown.jsonl", size_bytes: file.size, digest: file.digest }),
  );
  const { upload, id } = announced as { id: string; upload: { complete_url: string; parts: Part[] } };
  const chunks = file.chunks();
  let pending = Buffer.alloc(0);
  const sent = [];
  for (const { number, url, size_bytes: size } of upload.parts) {
    while (pending.length < size) {
      const next = chunks.next();
      if (next.done) break;
      pending = Buffer.concat([pending, next.value]);
    }
    const response = await fetch(url, { method: "PUT", body: pending.subarray(0, size) });
    if (!response.ok) throw new Error(`part ${number}: ${response.status} ${await response.text()}`);
    pending = Buffer.from(pending.subarray(size));
    sent.push({ number, etag: response.headers.get("etag") ?? "" });
  }
  await created(await send(`${api.url}${upload.complete_url}`, { parts: sent }));
  const uploaded = performance.now();
  const dataset = await created(await send(`${api.url}/v1/datasets`, { name: "grown", artifact_id: id }));
  return measured(api, before, uploaded - start, performance.now() - uploaded, dataset);
}

interface Part {
  readonly number: number;
  readonly url: string;
  readonly size_bytes: number;
}

function send(url: string, body: object): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function created(response: Response): Promise<Record<string, unknown>> {
  const body = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(JSON.stringify(body));
  return body;
}

function measured(
  { pid }: Api,
  before: number,
  uploadMs: number,
  datasetMs: number,
  dataset: Record<string, unknown>,
): Measured {
  return {
    upload_seconds: uploadMs / 1000,
    dataset_seconds: datasetMs / 1000,
    samples: Number(dataset.samples),
    resident_before_bytes: before,
    resident_peak_bytes: residentBytes(pid, "VmHWM"),
  };
}

/** Linux. The highest so far (VmHWM) is a figure of the kernel, so nothing is missed between samples. */
function residentBytes(pid: number, field: "VmRSS" | "VmHWM"): number {
  const line = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1]) * 1024;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
