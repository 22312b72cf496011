import { expect, test } from "vitest";
import {
  fieldProblem,
  fromProblemDetails,
  OpenAIError,
  Problem,
  ProblemDetails,
  toOpenAIError,
  toProblemDetails,
} from "../../domain/problem.ts";
import { problemCodes, problemTable } from "../../domain/problem-table.ts";
import { checkSchema } from "../../domain/schema.ts";

test("every code of the table has an error status, a title, a remedy and an UPPER_SNAKE name", () => {
  for (const code of problemCodes) {
    const entry = problemTable[code];
    expect(entry.status, code).toBeGreaterThanOrEqual(400);
    expect(entry.status, code).toBeLessThan(600);
    expect(entry.title.length, code).toBeGreaterThan(5);
    expect(entry.fix, code).toMatch(/\.$/);
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)+$/);
  }
});

test("every code has both shapes, each fitting its schema", () => {
  for (const code of problemCodes) {
    const problem = fieldProblem(code, "/a/0/b", "is wrong");
    expect(checkSchema(ProblemDetails, toProblemDetails(problem, "req_1"))).toEqual([]);
    expect(checkSchema(OpenAIError, toOpenAIError(problem))).toEqual([]);
    expect(toProblemDetails(problem).status).toBe(problemTable[code].status);
  }
});

test("a problem survives the way through its body", () => {
  const problem = fieldProblem("SELECTION_EMPTY", "/steering/edits/0/apply", "selects nothing");
  const back = fromProblemDetails(JSON.parse(JSON.stringify(toProblemDetails(problem))));
  expect(back.code).toBe("SELECTION_EMPTY");
  expect(back.errors).toEqual(problem.errors);
  expect(back.detail).toBe("selects nothing");
});

test("a body with an unknown code, or of a bug, says nothing of what it held", () => {
  expect(fromProblemDetails({ code: "FROM_THE_FUTURE", detail: "secret path" }).detail).not.toContain("secret");
  expect(fromProblemDetails({ code: "INTERNAL_ERROR", detail: "secret path" }).detail).not.toContain("secret");
});

test("OpenAI's shape names the parameter the way OpenAI does", () => {
  const problem = fieldProblem("STEERING_INVALID", "/steering/edits/0/unit", "is refused");
  expect(toOpenAIError(problem).error.param).toBe("steering.edits[0].unit");
  expect(toOpenAIError(new Problem("RATE_LIMITED")).error).toMatchObject({ type: "rate_limit_error", param: null });
});
