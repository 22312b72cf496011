// What went wrong, as a class and in two shapes on the wire; the codes are in problem-table.ts.
//
// `null` means absent, `Problem` means refused, any other throw is a bug. A failed job stores the same object that a
// route answers with.
import { type Static, Type } from "typebox";
import type { ProblemEntry } from "./problem-entry.ts";
import { type ProblemCode, problemTable } from "./problem-table.ts";

export type { ProblemCode };

export const FieldError = Type.Object({
  pointer: Type.String({ description: "JSON pointer to the field in the request" }),
  detail: Type.String(),
});
export type FieldError = Static<typeof FieldError>;

export const ProblemDetails = Type.Object(
  {
    type: Type.String({ description: "a link that explains the code" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: "stable, UPPER_SNAKE" }),
    errors: Type.Optional(Type.Array(FieldError)),
    request_id: Type.Optional(Type.String()),
    retryable: Type.Boolean(),
  },
  { title: "Problem", description: "RFC 9457 problem details" },
);
export type ProblemDetails = Static<typeof ProblemDetails>;

export const OpenAIError = Type.Object(
  {
    error: Type.Object({
      message: Type.String(),
      type: Type.String(),
      param: Type.Union([Type.String(), Type.Null()]),
      code: Type.Union([Type.String(), Type.Null()]),
    }),
  },
  { title: "OpenAIError" },
);
export type OpenAIError = Static<typeof OpenAIError>;

export interface ProblemOptions {
  readonly errors?: readonly FieldError[];
  readonly retryAfterS?: number;
  readonly cause?: unknown;
}

export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: ProblemCode;
  readonly status: number;
  readonly title: string;
  readonly retryable: boolean;
  readonly errors: readonly FieldError[];
  readonly retryAfterS: number | null;

  constructor(code: ProblemCode, detail?: string, options: ProblemOptions = {}) {
    const entry: ProblemEntry = problemTable[code];
    super(detail ?? entry.fix, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = entry.status;
    this.title = entry.title;
    this.retryable = entry.retryable ?? false;
    this.errors = options.errors ?? [];
    this.retryAfterS = options.retryAfterS ?? null;
  }

  get detail(): string {
    return this.message;
  }
}

/** A problem about one field. */
export function fieldProblem(code: ProblemCode, pointer: string, detail: string): Problem {
  return new Problem(code, detail, { errors: [{ pointer, detail }] });
}

export function isProblem(value: unknown): value is Problem {
  return value instanceof Problem;
}

export function toProblemDetails(problem: Problem, requestId?: string): ProblemDetails {
  return {
    type: `/problems#${problem.code.toLowerCase().replaceAll("_", "-")}`,
    title: problem.title,
    status: problem.status,
    detail: problem.detail,
    code: problem.code,
    ...(problem.errors.length > 0 ? { errors: problem.errors.map((error) => ({ ...error })) } : {}),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    retryable: problem.retryable,
  };
}

/** Back from a stored or transported body. An unknown code (an older worker, a newer one) becomes INTERNAL_ERROR. */
export function fromProblemDetails(details: Partial<ProblemDetails>): Problem {
  const code = details.code !== undefined && details.code in problemTable ? (details.code as ProblemCode) : null;
  if (code === null) return new Problem("INTERNAL_ERROR");
  // A message of ours about a bug never leaves through an answer.
  const detail = code === "INTERNAL_ERROR" ? undefined : details.detail;
  return new Problem(code, detail, details.errors ? { errors: details.errors } : {});
}

const openAITypes: Record<number, string> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  429: "rate_limit_error",
};

export function toOpenAIError(problem: Problem): OpenAIError {
  const pointer = problem.errors[0]?.pointer;
  return {
    error: {
      message: problem.detail,
      type: openAITypes[problem.status] ?? (problem.status >= 500 ? "server_error" : "invalid_request_error"),
      param: pointer === undefined || pointer === "" ? null : pointerToParam(pointer),
      code: problem.code,
    },
  };
}

/** "/steering/edits/0/unit" → "steering.edits[0].unit", the way OpenAI names a parameter. */
function pointerToParam(pointer: string): string {
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : path === "" ? part : `${path}.${part}`), "");
}
