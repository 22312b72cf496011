import { expect, test } from "vitest";
import { compilePattern, PatternError } from "../../formats/pattern.ts";

test("a pattern is found anywhere in a text, in any script", () => {
  expect(compilePattern("b+").isIn("abbc")).toBe(true);
  expect(compilePattern("^b").isIn("abbc")).toBe(false);
  expect(compilePattern("straße").isIn("STRASSE")).toBe(false);
  expect(compilePattern("ПРИВЕТ", { ignoreCase: true }).isIn("… привет …")).toBe(true);
  expect(compilePattern("\\p{Han}{2}").isIn("天气 is weather")).toBe(true);
});

test("what RE2 does not have is refused with what is wrong", () => {
  for (const pattern of ["(?=a)", "(?<!a)b", "(.)\\1", "(a", "a{1,100000}", "[z-a]"]) {
    expect(() => compilePattern(pattern), pattern).toThrow(PatternError);
  }
});

test("a pattern that brings backtracking engines to a halt takes no time", () => {
  // 2^40 steps for an engine that tries every way to cut the letters.
  expect(compilePattern("(a+)+$").isIn(`${"a".repeat(40)}!`)).toBe(false);
});
