import { expect, test } from "vitest";
import { parseRange } from "../../domain/byte-range.ts";

test("a range of bytes is half-open and cut at the end", () => {
  expect(parseRange("bytes=0-3", 10)).toEqual({ start: 0, end: 4 });
  expect(parseRange("bytes=4-", 10)).toEqual({ start: 4, end: 10 });
  expect(parseRange("bytes=8-99", 10)).toEqual({ start: 8, end: 10 });
  expect(parseRange("bytes=-3", 10)).toEqual({ start: 7, end: 10 });
  expect(parseRange("bytes=-30", 10)).toEqual({ start: 0, end: 10 });
});

test("a range outside of the content is unsatisfiable", () => {
  expect(parseRange("bytes=10-", 10)).toBe("unsatisfiable");
  expect(parseRange("bytes=-0", 10)).toBe("unsatisfiable");
  expect(parseRange("bytes=0-0", 0)).toBe("unsatisfiable");
});

test("what is not one range of bytes is ignored", () => {
  for (const header of [undefined, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b"]) {
    expect(parseRange(header, 10)).toBeNull();
  }
});
