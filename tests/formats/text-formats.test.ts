import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toCsv } from "../../formats/csv-writer.ts";
import { readDataset } from "../../formats/dataset.ts";
import { readAll, refusal } from "./read.ts";

describe("JSON Lines", () => {
  it("give one sample per line, whatever the line ends and blank lines", async () => {
    const samples = await readAll('{"text":"one","n":1}\r\n\n  \n{"text":"två"}', { fileName: "a.jsonl" });
    expect(samples).toEqual([{ text: "one", n: 1 }, { text: "två" }]);
  });

  it("may hold bare strings", async () => {
    expect(await readAll('"a"\n"b"\n', { fileName: "a.ndjson" })).toEqual([{ text: "a" }, { text: "b" }]);
  });

  it("are read the same however the bytes arrive", async () => {
    const content = '{"text":"日本語 😀"}\n{"text":"ünï\\n"}\n';
    const whole = await readAll(content, { fileName: "a.jsonl" });
    for (const chunk of [1, 2, 3, 5]) expect(await readAll(content, { fileName: "a.jsonl" }, chunk)).toEqual(whole);
  });

  it("are refused with the row that is not JSON, or not an object", async () => {
    const broken = await refusal('{"text":"a"}\n{"text":\n', { fileName: "a.jsonl" });
    expect(broken.code).toBe("DATASET_INVALID");
    expect(broken.detail).toMatch(/^row 2: not valid JSON/);
    expect(broken.errors[0]?.pointer).toBe("/rows/2");
    expect((await refusal("[1]\n", { fileName: "a.jsonl" })).detail).toBe(
      "row 1: expected an object with named fields, got a list",
    );
  });
});

describe("a JSON array", () => {
  it("is read element by element, with every kind of whitespace and nesting", async () => {
    const rows = [{ text: 'quote " bracket ] comma , \\' }, { text: "b", deep: [{ x: [1, "}"] }] }, "bare"];
    for (const content of [JSON.stringify(rows), JSON.stringify(rows, null, 2)]) {
      for (const chunk of [1, 7, 1_000]) {
        const samples = await readAll(content, { fileName: "a.json" }, chunk);
        expect(samples).toEqual([rows[0], rows[1], { text: "bare" }]);
      }
    }
  });

  it("round-trips any rows", async () => {
    const row = fc.record({
      text: fc.string({ minLength: 1 }).filter((text) => text.trim() !== ""),
      // Keys of that one name are left out on purpose: the test below.
      more: fc.jsonValue({ maxDepth: 3 }).filter((value) => !JSON.stringify(value).includes("__proto__")),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        async (rows, chunk) => {
          const content = JSON.stringify(rows);
          const samples = await readAll(content, { fileName: "a.json" }, chunk);
          expect(JSON.stringify(samples)).toBe(content);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("leaves out keys named __proto__, at every depth, and gives no object another prototype", async () => {
    const content = '[{"text":"a","__proto__":{"x":1},"more":{"__proto__":[],"y":[{"__proto__":{"z":2}}]}}]';
    const [sample] = await readAll(content, { fileName: "a.json" });
    expect(JSON.stringify(sample)).toBe('{"text":"a","more":{"y":[{}]}}');
    expect(Object.getPrototypeOf(sample?.more)).toBe(Object.prototype);
  });

  it.each([
    ["cut off", '[{"text":"a"},{"text":', "row 2: the JSON array does not end: the file is cut off"],
    ["a missing element", '[{"text":"a"},,{"text":"b"}]', "row 2: a value is missing before or after a comma"],
    ["a trailing comma", '[{"text":"a"},]', "row 2: a value is missing before or after a comma"],
    ["something after the end", '[{"text":"a"}] x', "row 1: something follows the end of the JSON array"],
    ["no array", '"text"', "row 1: expected a JSON array of objects"],
    ["no elements", "[ ]", "the file has no rows"],
  ])("is refused with %s", async (_, content, detail) => {
    expect((await refusal(content, { fileName: "a.json" })).detail).toBe(detail);
  });
});

describe("CSV", () => {
  it("follows RFC 4180: delimiters, quotes and line breaks inside quoted fields", async () => {
    const content = 'text,label\r\n"a, ""b""\nc",x\r\nplain,y\r\n';
    expect(await readAll(content, { fileName: "a.csv" })).toEqual([
      { text: 'a, "b"\nc', label: "x" },
      { text: "plain", label: "y" },
    ]);
  });

  it("round-trips whatever our own writer writes", async () => {
    const cell = fc.string().filter((text) => text.trim() !== "" && !/^[=+\-@\t\r]/.test(text) && !text.includes("\0"));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }), async (rows) => {
        const samples = await readAll(toCsv(["text", "other"], rows), { fileName: "a.csv" }, 3);
        expect(samples.map(({ text, other }) => [text, other])).toEqual(rows);
      }),
      { numRuns: 50 },
    );
  });

  it("is refused with the number of the row that has too few or too many columns", async () => {
    const few = await refusal('text,label,topic\na,b,c\n"d\ne",f\n', { fileName: "a.csv" });
    expect(few.code).toBe("DATASET_INVALID");
    expect(few.detail).toBe("row 2: too few columns: 2 columns, but the header has 3 (the row ends on line 4)");
    expect(few.errors).toEqual([{ pointer: "/rows/2", detail: few.detail }]);
    expect((await refusal("text,label\na,b,c\n", { fileName: "a.csv" })).detail).toContain(
      "row 1: too many columns: 3",
    );
  });

  it("is refused with the row of a quote that does not close or is not doubled", async () => {
    expect((await refusal('text\na\n"b\nc\n', { fileName: "a.csv" })).detail).toMatch(
      /^row 2: a quoted field is never closed/,
    );
    expect((await refusal('text\n"a"b"\n', { fileName: "a.csv" })).detail).toMatch(/^row 1: .*not doubled/);
    expect((await refusal('text\nab"c\n', { fileName: "a.csv" })).detail).toMatch(/^row 1: .*inside an unquoted field/);
  });

  it("is refused when its header names a column twice", async () => {
    expect((await refusal("text,text\na,b\n", { fileName: "a.csv" })).detail).toBe(
      'the header names the column "text" twice',
    );
  });

  it("may come without a header: the columns are then numbered", async () => {
    const content = "What is 2 + 2?,3,4,B\nWhat is 1 + 1?,2,3,A\n";
    expect((await refusal(content, { fileName: "a.csv" })).detail).toContain('"column_1", "column_2"');
    const mapping = { question: "column_1", answer: "column_4" };
    const samples = await readAll(content, { fileName: "a.csv", mapping });
    expect(samples[0]).toMatchObject({ text: "What is 2 + 2?", question: "What is 2 + 2?", answer: "B" });
    expect(await readAll("only\nwords\n", { fileName: "a.csv", header: false })).toHaveLength(2);
  });

  it("knows its header by the columns that the mapping asks for", async () => {
    const samples = await readAll("the story!,kind?\nonce,x\n", { fileName: "a.csv", mapping: { text: "the story!" } });
    expect(samples).toEqual([{ "the story!": "once", "kind?": "x", text: "once" }]);
  });

  it("may end without a line break, and may use any of the three", async () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      for (const chunk of [1, 2, 100]) {
        expect(await readAll(`text${end}a${end}b`, { fileName: "a.csv" }, chunk)).toEqual([
          { text: "a" },
          { text: "b" },
        ]);
      }
    }
  });

  it("gives every row before a broken one, however the bytes arrive", async () => {
    for (const chunk of [1, 5, 1_000]) {
      const samples: string[] = [];
      const bytes = new TextEncoder().encode('text\na\nb\n"c"d\ne\n');
      const chunks = Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, i) =>
        bytes.subarray(i * chunk, (i + 1) * chunk),
      );
      await expect(async () => {
        for await (const sample of readDataset(chunks, { fileName: "a.csv" })) samples.push(sample.text);
      }).rejects.toThrow("row 3: a quotation mark inside a quoted field is not doubled");
      expect(samples).toEqual(["a", "b"]);
    }
  });

  it("drops a byte order mark", async () => {
    expect(await readAll("\ufefftext\na\n", { fileName: "a.csv" })).toEqual([{ text: "a" }]);
  });
});

describe("TSV and plain text", () => {
  it("TSV keeps commas and bare quotes", async () => {
    expect(await readAll('text\tlabel\na, "b" c\tx\n', { fileName: "a.tsv" })).toEqual([
      { text: 'a, "b" c', label: "x" },
    ]);
  });

  it("plain text gives a sample per line that is not blank", async () => {
    expect(await readAll("one\n\n two \n", { fileName: "a.txt" })).toEqual([{ text: "one" }, { text: " two " }]);
  });
});

describe("the format", () => {
  it("is told by the content when the name does not say it", async () => {
    expect(await readAll('{"text":"a"}', { fileName: "upload" })).toEqual([{ text: "a" }]);
    expect(await readAll(' [{"text":"a"}]', { fileName: "upload.bin" })).toEqual([{ text: "a" }]);
    expect(await readAll('{"text":"a"}\n{"text":"b"}', { fileName: "lines.json" })).toHaveLength(2);
  });

  it("is refused when neither name nor content tell it", async () => {
    const problem = await refusal("hello", { fileName: "notes.xyz" });
    expect(problem.code).toBe("DATASET_FORMAT_UNKNOWN");
    expect(problem.detail).toContain('"notes.xyz" does not tell its format');
  });

  it("is refused with advice for containers that we do not read", async () => {
    const zip = await refusal(Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), { fileName: "a.csv" });
    expect(zip.code).toBe("DATASET_FORMAT_UNKNOWN");
    expect(zip.detail).toContain("ZIP archive (or an Excel file)");
  });
});
