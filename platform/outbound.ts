/**
 * Everything that this service asks of others on a client's word passes here: label and judge endpoints, the hub, webhooks. The
 * address is checked at connect time, on what the socket will really connect to, so that a name that answers differently the
 * second time (DNS rebinding) gains nothing; every redirect is a new request and passes again.
 */
import { type LookupAddress, type LookupAllOptions, lookup } from "node:dns";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { isProblem, Problem } from "../domain/problem.ts";
import { type AllowedPlaces, isPublicAddress, parseAllowedPlaces } from "./outbound-addresses.ts";

export interface OutboundRequest {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
  /** The whole exchange, the body included. Default one minute; Infinity: only `idleMs` counts. */
  readonly timeoutMs?: number;
  /** Without a byte in either direction. Default one minute. */
  readonly idleMs?: number;
  /** Of the answer's body. Default 16 MiB. */
  readonly maxBytes?: number;
  /** Redirects that are followed; 0 hands the redirect to the caller. Default 5. */
  readonly redirects?: number;
}

/**
 * Like fetch: resolves with the answer's head, whatever its status; the body streams. Rejects with a problem
 * (OUTBOUND_REFUSED, OUTBOUND_FAILED, OUTBOUND_TIMEOUT, OUTBOUND_TOO_LARGE) or the reason of the signal, as does reading the body.
 */
export type Outbound = (url: string | URL, request?: OutboundRequest) => Promise<Response>;

const MINUTE_MS = 60_000;
const MAX_BYTES = 16 * 2 ** 20;
const REDIRECTS = 5;
/** The only headers that another origin than the one asked gets to see: keys come under many names. */
const harmless = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "content-type",
  "if-range",
  "range",
  "user-agent",
]);
/** Answers to these have no body, and Response refuses one. */
const bodiless = new Set([204, 205, 304]);

/** Passed in so that tests own the names. */
type Resolve = (
  name: string,
  options: LookupAllOptions,
  done: (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void,
) => void;

/** `allow`: what may be reached though it is not public (outbound-addresses.ts says how entries are written). */
export function createOutbound(allow: readonly string[], resolve: Resolve = lookup): Outbound {
  const allowed = parseAllowedPlaces(allow);
  return async (url, request = {}) => {
    const limit = request.timeoutMs ?? MINUTE_MS;
    const clock = Number.isFinite(limit) ? [AbortSignal.timeout(limit)] : [];
    const signal = AbortSignal.any([...clock, ...(request.signal ? [request.signal] : [])]);
    try {
      signal.throwIfAborted();
      return await follow(checkedUrl(url), request, (to, sent) => exchange(to, sent, signal, allowed, resolve));
    } catch (error) {
      throw asProblem(error, request.signal);
    }
  };
}

async function follow(
  start: URL,
  request: OutboundRequest,
  ask: (url: URL, request: OutboundRequest) => Promise<IncomingMessage>,
): Promise<Response> {
  let url = start;
  let sent = request;
  for (let left = request.redirects ?? REDIRECTS; ; left--) {
    const answer = await ask(url, sent);
    const { location } = answer.headers;
    const redirected = [301, 302, 303, 307, 308].includes(answer.statusCode ?? 0) && location !== undefined;
    if (!redirected || request.redirects === 0) return responseOf(answer, request);
    answer.destroy();
    if (left === 0) throw new Problem("OUTBOUND_REFUSED", `${start.host} redirects too often`);
    const next = checkedUrl(location, url);
    if (url.protocol === "https:" && next.protocol === "http:") {
      throw new Problem("OUTBOUND_REFUSED", `${url.host} redirects to ${next.host} without encryption`);
    }
    sent = redirectedRequest(sent, answer.statusCode ?? 0, next.origin === url.origin);
    url = next;
  }
}

/** A redirect may change the method as fetch does, and tells another origin nothing that was meant for the first. */
function redirectedRequest(request: OutboundRequest, status: number, sameOrigin: boolean): OutboundRequest {
  const { body, method = "GET", headers = {}, ...rest } = request;
  const keepsBody = status === 307 || status === 308 || method === "GET" || method === "HEAD";
  const kept = Object.entries(headers).filter(([name]) => sameOrigin || harmless.has(name.toLowerCase()));
  return {
    ...rest,
    method: keepsBody ? method : "GET",
    headers: Object.fromEntries(kept),
    ...(keepsBody && body !== undefined ? { body } : {}),
  };
}

function checkedUrl(text: string | URL, base?: URL): URL {
  const url = URL.canParse(String(text), base?.href) ? new URL(text, base) : null;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new Problem("OUTBOUND_REFUSED", "only http and https addresses are asked");
  if (url.username !== "" || url.password !== "")
    throw new Problem(
      "OUTBOUND_REFUSED",
      `the address at ${url.host} holds a user name or password; name a secret instead`,
    );
  return url;
}

function exchange(
  url: URL,
  { method = "GET", headers = {}, body, idleMs = MINUTE_MS }: OutboundRequest,
  signal: AbortSignal,
  allowed: AllowedPlaces,
  resolveName: Resolve,
): Promise<IncomingMessage> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const mayReach = (address: string) =>
    isPublicAddress(address) || allowed.names(host, port) || allowed.addresses(address, port);
  // A socket asks no lookup about an address that is written out.
  if (isIP(host) && !mayReach(host)) return Promise.reject(refusal(host));

  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    let answer: IncomingMessage | null = null;
    const stop = (reason: Error) => (answer ?? outgoing).destroy(reason);
    const aborted = () => stop(signal.reason);
    const outgoing = send(url, {
      method,
      headers: { "user-agent": "qwen-scope", ...headers },
      timeout: idleMs,
      // One connection per request: a kept one would have been checked for an earlier request, and may be closed by now.
      agent: false,
      lookup(name, options, done) {
        resolveName(name, { ...options, all: true }, (error, found) => {
          if (error) return done(error, []);
          const reachable = found.filter(({ address }) => mayReach(address));
          if (reachable.length === 0) return done(refusal(name), []);
          if (options.all) return done(null, reachable);
          const [{ address, family }] = reachable as [LookupAddress];
          done(null, address, family);
        });
      },
    });
    signal.addEventListener("abort", aborted);
    outgoing.on("close", () => signal.removeEventListener("abort", aborted));
    outgoing.on("timeout", () => stop(idleProblem(url, idleMs)));
    outgoing.on("error", reject);
    outgoing.on("response", (head: IncomingMessage) => {
      answer = head;
      // Whoever reads the body hears of it there; a body that nobody reads may end as it likes.
      head.on("error", () => {});
      resolve(head);
    });
    outgoing.end(body);
  });
}

/** Says neither which address it is nor what else is there: the names of a network inside are not a client's to learn. */
function refusal(host: string): Problem {
  return new Problem(
    "OUTBOUND_REFUSED",
    `${host} is not on the public internet; the operator can allow it in OUTBOUND_ALLOW`,
  );
}

const idleProblem = (url: URL, idleMs: number) =>
  new Problem("OUTBOUND_TIMEOUT", `${url.host} was silent for ${idleMs / 1000} s`);

function responseOf(answer: IncomingMessage, request: OutboundRequest): Response {
  const { method = "GET", maxBytes = MAX_BYTES, signal } = request;
  const status = answer.statusCode ?? 0;
  const headers = new Headers();
  for (let at = 0; at < answer.rawHeaders.length; at += 2)
    headers.append(answer.rawHeaders[at] ?? "", answer.rawHeaders[at + 1] ?? "");
  const hasBody = method !== "HEAD" && !bodiless.has(status);
  if (!hasBody) answer.resume();
  else if (Number(headers.get("content-length") ?? 0) > maxBytes) {
    answer.destroy();
    throw tooLarge(maxBytes);
  }
  const body = hasBody ? ReadableStream.from(bounded(answer, maxBytes, signal)) : null;
  return new Response(body, { status, statusText: answer.statusMessage ?? "", headers });
}

async function* bounded(answer: IncomingMessage, maxBytes: number, signal: AbortSignal | undefined) {
  let bytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      yield chunk as Uint8Array<ArrayBuffer>;
    }
  } catch (error) {
    throw asProblem(error, signal);
  }
}

const tooLarge = (maxBytes: number) => new Problem("OUTBOUND_TOO_LARGE", `the answer is above ${maxBytes} bytes`);

/** What the caller's own signal says goes through as it is: stopping is no failure of the other side. */
function asProblem(error: unknown, signal: AbortSignal | undefined): unknown {
  if (isProblem(error)) return error;
  if (signal?.aborted) return signal.reason;
  const { name, code, cause, message } = error as NodeJS.ErrnoException;
  if (isProblem(cause)) return cause;
  if (name === "AbortError" || name === "TimeoutError")
    return new Problem("OUTBOUND_TIMEOUT", "the exchange took longer than its time limit", { cause: error });
  return new Problem("OUTBOUND_FAILED", `the connection failed (${code ?? message})`, { cause: error });
}
