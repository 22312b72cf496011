import { describe, expect, it } from "vitest";
import { toCsv } from "../../formats/csv-writer.ts";

describe("the CSV writer", () => {
  it("quotes what needs quotes and leaves absent values empty", () => {
    expect(
      toCsv(
        ["a", "b"],
        [
          ['x, "y"', 1.5],
          ["line\nbreak", null],
          ["", Number.NaN],
        ],
      ),
    ).toBe('a,b\r\n"x, ""y""",1.5\r\n"line\nbreak",\r\n,\r\n');
  });

  it("does not let text become a spreadsheet formula, and leaves numbers alone", () => {
    expect(toCsv(["name", "value"], [["=HYPERLINK(1)", -2]])).toBe("name,value\r\n'=HYPERLINK(1),-2\r\n");
  });

  it("refuses a row of another length than the header", () => {
    expect(() => toCsv(["a", "b"], [["1"]])).toThrow("row 1: expected 2 cells, got 1");
  });
});
