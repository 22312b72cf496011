// The typed client. `answered(client.GET(…))` gives the body or throws RequestFailed with the API's problem.
import createClient from "openapi-fetch";
import type { components, paths } from "../openapi.d.ts";
import { authorization, keyRefused } from "./credentials.ts";
import { problemFromBody, RequestFailed, unreachable } from "./problem.ts";

export type Schemas = components["schemas"];

/** fetch with the key; a refused key opens the key entry. Throws RequestFailed when the server cannot be reached. */
export async function fetchWithKey(input: Request | string, init: RequestInit = {}): Promise<Response> {
  const request = new Request(input, init);
  for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
  const response = await fetch(request).catch((error: unknown) => {
    if (request.signal.aborted) throw error;
    throw new RequestFailed(unreachable());
  });
  if (response.status === 401) keyRefused();
  return response;
}

export const client = createClient<paths>({ baseUrl: location.origin, fetch: fetchWithKey });

interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

export async function answered<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw new RequestFailed(problemFromBody(error, response));
  return data as T;
}

/** The body of a plain fetch, or RequestFailed. */
export async function expectOk(response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new RequestFailed(problemFromBody(await response.json().catch(() => null), response));
}

/** One key for one intent: pressing a button twice starts one job. */
export function idempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
