/**
 * The Hugging Face hub as far as imports need it: a revision as a commit, its files with sizes and digests, and one file's bytes,
 * whole or from a place on. The official client for JavaScript hands a file over as a Blob, neither resumed nor checked against
 * its digest, and fetches by itself from where its storage lies; hence these few requests of our own.
 */
import { Problem } from "../../domain/problem.ts";
import type { Outbound, OutboundRequest } from "../outbound.ts";
import { Passing, refusalOf } from "./hub-problems.ts";

export interface HubFile {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Of the content, by what the hub stores it with: large files have sha256, small ones git's own. */
  readonly digest: { readonly kind: "sha256" | "git"; readonly hex: string };
}

export interface HubSnapshot {
  readonly repo: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
}

export interface Hub {
  snapshot(repo: string, revision: string): Promise<HubSnapshot>;
  /** The answer with the file's bytes from `from` on (206), or all of them (200) from a server that knows no ranges. */
  open(snapshot: Pick<HubSnapshot, "repo" | "commit">, file: HubFile, from: number): Promise<Response>;
  /** Again while what fails may pass, with pauses; work that got something for its try starts counting anew. */
  retrying<T>(work: () => Promise<T>, progressed?: () => boolean): Promise<T>;
}

export interface HubOptions {
  /** https://huggingface.co or a mirror, without a slash at the end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly outbound: Outbound;
  /** Passed in so that whoever waits can show that it lives, and tests own the time. */
  readonly wait: (ms: number) => Promise<void>;
  /** Ends everything, with its own reason. */
  readonly signal: AbortSignal;
}

/** Tries in a row that got nothing: pauses of 0.5, 1, 2 … s, together about a minute. */
const TRIES = 8;
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 30_000;
/** A hub that wants a longer wait is told to the client. */
const LONGEST_WANTED_MS = 300_000;
const MAX_JSON_BYTES = 32 * 2 ** 20;
/** Of a thousand files each. */
const MAX_PAGES = 100;

export function createHub({ endpoint, token, outbound, wait, signal }: HubOptions): Hub {
  const origin = new URL(endpoint).origin;

  async function ask(path: string, what: string, request: OutboundRequest): Promise<Response> {
    const headers = {
      // A compressed answer would have another length than the file.
      "accept-encoding": "identity",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...request.headers,
    };
    const answer = await outbound(`${endpoint}${path}`, { ...request, headers, signal }).catch((error) => {
      throw passing(error, what);
    });
    if (answer.ok) return answer;
    await answer.body?.cancel();
    throw refusalOf(answer, what, token !== undefined);
  }

  async function askJson(path: string, what: string): Promise<{ body: unknown; headers: Headers }> {
    return await retrying(async () => {
      const answer = await ask(path, what, { maxBytes: MAX_JSON_BYTES, headers: { accept: "application/json" } });
      const text = await answer.text().catch((error) => {
        throw passing(error, what);
      });
      try {
        return { body: JSON.parse(text), headers: answer.headers };
      } catch {
        throw new Problem("HUB_UNAVAILABLE", `${origin} answers with no JSON for ${what}: is it a hub?`);
      }
    });
  }

  async function retrying<T>(work: () => Promise<T>, progressed: () => boolean = () => false): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted || !(error instanceof Passing)) throw error;
        if (progressed()) tries = 1;
        if (tries === TRIES || (error.waitMs ?? 0) > LONGEST_WANTED_MS) throw error.problem;
        await wait(error.waitMs ?? Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tries - 1)));
      }
    }
  }

  return {
    retrying,
    async snapshot(repo, revision) {
      const asked = `revision ${revision} of ${repo}`;
      const { body } = await askJson(`/api/models/${repo}/revision/${encodeURIComponent(revision)}`, asked);
      const commit = (body as { sha?: unknown } | null)?.sha;
      if (typeof commit !== "string" || !/^[0-9a-f]{40}$/.test(commit))
        throw new Problem("HUB_UNAVAILABLE", `${origin} names no commit for ${asked}: is it a hub?`);
      const files: HubFile[] = [];
      let query = "?recursive=true";
      for (let pages = 0; query !== ""; pages++) {
        if (pages === MAX_PAGES) throw new Problem("HUB_UNAVAILABLE", `${repo} has more files than an import lists`);
        const page = await askJson(`/api/models/${repo}/tree/${commit}${query}`, `list of files of ${repo}`);
        files.push(...filesOf(page.body));
        query = nextQuery(page.headers.get("link"));
      }
      return { repo, commit, files };
    },
    open: ({ repo, commit }, file, from) =>
      ask(
        `/${repo}/resolve/${commit}/${file.path.split("/").map(encodeURIComponent).join("/")}`,
        `${file.path} of ${repo}`,
        {
          headers: from > 0 ? { range: `bytes=${from}-` } : {},
          // However long a file takes: only silence ends it.
          timeoutMs: Number.POSITIVE_INFINITY,
          maxBytes: file.sizeBytes,
        },
      ),
  };
}

/** The guard's failures that may pass; everything else as it is. */
export function passing(error: unknown, what: string): unknown {
  if (!(error instanceof Problem) || !error.retryable) return error;
  return new Passing(new Problem("HUB_UNAVAILABLE", `${what}: ${error.detail}`, { cause: error }));
}

function filesOf(body: unknown): HubFile[] {
  if (!Array.isArray(body)) throw new Problem("HUB_UNAVAILABLE", "the hub's list of files is no list");
  return body.flatMap(
    (entry: { type?: unknown; path?: unknown; size?: unknown; oid?: unknown; lfs?: { oid?: unknown } }) => {
      const { type, path, size, oid, lfs } = entry;
      if (type !== "file" || typeof path !== "string" || typeof size !== "number") return [];
      const hex = lfs ? lfs.oid : oid;
      if (typeof hex !== "string" || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hex)) return [];
      return [{ path, sizeBytes: size, digest: { kind: lfs ? "sha256" : "git", hex } } as const];
    },
  );
}

/** Only the query: a mirror may pass on links of the hub that it mirrors, and the token is not for that one. */
function nextQuery(link: string | null): string {
  const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  return next === undefined ? "" : new URL(next, "http://relative").search;
}
