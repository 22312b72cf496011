// What can go wrong between the console and the API, in one shape: the API's own problem, or that it was not reached.
import { problemTable } from "../../domain/problem-table.ts";
import type { components } from "../openapi.d.ts";

export type ProblemDetails = components["schemas"]["Problem"];

/** A request that the API refused, or that never got there. */
export class RequestFailed extends Error {
  override readonly name = "RequestFailed";
  readonly problem: ProblemDetails;

  constructor(problem: ProblemDetails) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** What a reader should do next, from the same table that the API prints at /problems. */
export function whatToDo(problem: ProblemDetails): string | null {
  if (problem.code === "UNREACHABLE") return "Check that the server is running, then try again.";
  const table: Readonly<Record<string, { readonly fix: string }>> = problemTable;
  const fix = table[problem.code]?.fix ?? null;
  return fix === problem.detail ? null : fix;
}

export function problemOf(error: unknown): ProblemDetails {
  if (error instanceof RequestFailed) return error.problem;
  return {
    type: "about:blank",
    title: "The console made a mistake",
    status: 0,
    detail: error instanceof Error ? error.message : String(error),
    code: "CONSOLE_ERROR",
    retryable: false,
  };
}

export const unreachable = (): ProblemDetails => ({
  type: "about:blank",
  title: "The server did not answer",
  status: 0,
  detail: "The request did not reach the server, or its answer did not come back.",
  code: "UNREACHABLE",
  retryable: true,
});

/** The body of a refused request: problem+json, OpenAI's shape on its routes, or something a proxy wrote. */
export function problemFromBody(body: unknown, response: Response): ProblemDetails {
  const requestId = response.headers.get("x-request-id");
  const id = requestId === null ? {} : { request_id: requestId };
  if (isProblem(body)) return { ...id, ...body };
  const openAI = (body as { error?: { message?: string; param?: string | null; code?: string | null } } | null)?.error;
  const code = openAI?.code ?? `HTTP_${response.status}`;
  const table: Readonly<Record<string, { readonly title: string }>> = problemTable;
  return {
    type: `/problems#${code.toLowerCase().replaceAll("_", "-")}`,
    title: table[code]?.title ?? `The server answered ${response.status}`,
    status: response.status,
    detail: openAI?.message ?? response.statusText,
    code,
    ...(openAI?.param ? { errors: [{ pointer: openAI.param, detail: openAI.message ?? "" }] } : {}),
    ...id,
    retryable: response.status >= 500 || response.status === 429,
  };
}

function isProblem(body: unknown): body is ProblemDetails {
  return typeof body === "object" && body !== null && "code" in body && "title" in body && "detail" in body;
}
