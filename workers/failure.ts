/**
 * Errors on their way from the device to the database. A Problem keeps its whole body; anything else is a bug,
 * whose message goes to the log and never to a client.
 */
import { fromProblemDetails, isProblem, Problem, type ProblemDetails, toProblemDetails } from "../domain/problem.ts";
import type { Failure } from "./protocol.ts";

export function describeFailure(error: unknown): Failure {
  if (isProblem(error)) return { kind: "problem", problem: toProblemDetails(error) };
  if (error instanceof Error) {
    return { kind: "bug", name: error.name, message: error.message, stack: error.stack ?? "" };
  }
  return { kind: "bug", name: "Error", message: String(error), stack: "" };
}

/** The error again, for the side that asked: problems stay problems. */
export function reviveFailure(failure: Failure): Error {
  if (failure.kind === "problem") return fromProblemDetails(failure.problem);
  const error = new Error(failure.message);
  error.name = failure.name;
  error.stack = failure.stack;
  return error;
}

/** What a client may read about a failure. */
export function problemOf(failure: Failure): ProblemDetails {
  return failure.kind === "problem" ? failure.problem : toProblemDetails(new Problem("INTERNAL_ERROR"));
}
