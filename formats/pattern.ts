// Regular expressions of strangers: RE2's syntax and its promise, time linear in the text.

import { RE2JS, RE2JSException } from "re2js";

/** Not a pattern of RE2; the message says where and why. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

export interface Pattern {
  /** Whether it matches anywhere in the text. */
  isIn(text: string): boolean;
}

/** @throws PatternError, also for what RE2 leaves out: look-around and back-references */
export function compilePattern(source: string, { ignoreCase = false } = {}): Pattern {
  try {
    const compiled = RE2JS.compile(source, ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
    return { isIn: (text) => compiled.matcher(text).find() };
  } catch (error) {
    if (error instanceof RE2JSException) throw new PatternError(error.message);
    throw error;
  }
}
