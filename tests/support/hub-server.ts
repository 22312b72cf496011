// A server that speaks the hub's endpoints as huggingface_hub's Python client expects them: a revision, the tree in pages, and
// files, of which the large ones redirect to another host. Checked against huggingface_hub 2.4 (hf_hub_download, list_repo_tree).
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubServer {
  readonly endpoint: string;
  /** Path of every request, with what it said that tests look at. */
  readonly requests: { host: "hub" | "storage"; url: string; range?: string; authorization?: string }[];
  readonly commit: string;
  /** Handles a request before the server does; true: it is answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse, host: "hub" | "storage") => boolean) | null;
  close(): Promise<void>;
}

export interface HubRepo {
  readonly repo: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Without it everybody may read. */
  readonly token?: string;
  /** Files of a page of the tree; 1000 on the real one. */
  readonly pageSize?: number;
}

const isLarge = (path: string) => /\.(pt|safetensors)$/.test(path);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const gitSha = (bytes: Uint8Array) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

export async function startHub(...repos: readonly HubRepo[]): Promise<HubServer> {
  const commit = gitSha(Buffer.from("the only commit"));
  const stored = new Map(repos.flatMap(({ files }) => Object.values(files)).map((bytes) => [sha256(bytes), bytes]));
  const requests: HubServer["requests"] = [];

  const refuse = (response: ServerResponse, status: number, code: string, message: string) =>
    response.writeHead(status, { "x-error-code": code, "x-error-message": message }).end();

  const [storage, storageUrl] = await listen((request, response) => {
    if (seen("storage", request, response)) return;
    const bytes = stored.get((request.url ?? "").slice(1));
    if (!bytes) response.writeHead(404).end();
    else sendBytes(request, response, bytes, {});
  });

  const [hub, endpoint] = await listen((request, response) => {
    if (seen("hub", request, response)) return;
    const url = new URL(request.url ?? "", "http://hub");
    const path = decodeURIComponent(url.pathname);
    const named = repos.find(({ repo }) => path.startsWith(`/api/models/${repo}/`) || path.startsWith(`/${repo}/`));
    const token = named?.token;
    // The real one does not tell strangers which repositories are private.
    const mayRead = token === undefined || request.headers.authorization === `Bearer ${token}`;
    if (!named || !mayRead) return refuse(response, 401, "RepoNotFound", "Repository not found");
    const { repo, files, pageSize = 1000 } = named;
    const tree = treeOf(files);
    const json = (body: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
    const [, revision] = /^\/api\/models\/.+\/revision\/(.+)$/.exec(path) ?? [];
    if (revision !== undefined) {
      if (revision !== "main" && revision !== commit)
        return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
      return json({ id: repo, sha: commit, siblings: tree.map((file) => ({ rfilename: file.path })) });
    }
    if (path === `/api/models/${repo}/tree/${commit}`) {
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const next = from + pageSize;
      // A mirror hands on the links of the hub behind it.
      const link = `<https://huggingface.co${url.pathname}?recursive=true&cursor=${next}>; rel="next"`;
      return json(tree.slice(from, next), next < tree.length ? { link } : {});
    }
    const resolved = [commit, "main"].map((one) => `/${repo}/resolve/${one}/`).find((start) => path.startsWith(start));
    const name = path.slice(resolved?.length ?? 0);
    const bytes = resolved === undefined ? undefined : files[name];
    if (!bytes) return refuse(response, 404, "EntryNotFound", "Entry not found");
    const headers = { "x-repo-commit": commit, "accept-ranges": "bytes" };
    if (!isLarge(name)) return sendBytes(request, response, bytes, { ...headers, etag: `"${gitSha(bytes)}"` });
    const linked = { "x-linked-etag": `"${sha256(bytes)}"`, "x-linked-size": String(bytes.length) };
    return response.writeHead(302, { ...headers, ...linked, location: `${storageUrl}/${sha256(bytes)}` }).end();
  });

  function seen(host: "hub" | "storage", request: IncomingMessage, response: ServerResponse): boolean {
    const { range, authorization } = request.headers;
    requests.push({
      ...{ host, url: request.url ?? "" },
      ...(range === undefined ? {} : { range }),
      ...(authorization === undefined ? {} : { authorization }),
    });
    return server.intercept?.(request, response, host) ?? false;
  }

  const server: HubServer = {
    ...{ endpoint, requests, commit, intercept: null },
    async close() {
      for (const one of [hub, storage]) {
        one.close();
        one.closeAllConnections();
      }
    },
  };
  return server;
}

function treeOf(files: HubRepo["files"]) {
  return Object.entries(files).map(([path, bytes]) => ({
    type: "file",
    path,
    size: bytes.length,
    oid: gitSha(isLarge(path) ? Buffer.from(`pointer to ${sha256(bytes)}`) : bytes),
    ...(isLarge(path) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : {}),
  }));
}

function sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, headers: object): void {
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (from >= bytes.length && from > 0) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const part = bytes.subarray(from);
  const range = from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, { ...headers, ...range, "content-length": part.length });
  response.end(request.method === "HEAD" ? undefined : part);
}

async function listen(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return [server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`] as const;
}

/** Answers with the file's head and half of what it says, then cuts the connection. */
export function cut(response: ServerResponse, bytes: Uint8Array, from: number): void {
  const part = bytes.subarray(from);
  const range = from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
  response.writeHead(from > 0 ? 206 : 200, { ...range, "content-length": part.length });
  response.write(part.subarray(0, Math.ceil(part.length / 2)), () => response.destroy());
}
