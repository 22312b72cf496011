import { constants, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readAll, refusal } from "./read.ts";

describe("text that is not UTF-8", () => {
  it("is refused with the byte and the line, however the bytes arrive", async () => {
    const bytes = Buffer.concat([Buffer.from('{"text":"好"}\n{"text":"'), Buffer.from([0xe9]), Buffer.from('t"}\n')]);
    for (const chunk of [1, 2, 4, 1_000]) {
      const problem = await refusal(bytes, { fileName: "a.jsonl" }, chunk);
      expect(problem.code).toBe("DATASET_ENCODING_INVALID");
      expect(problem.detail).toMatch(/^byte 24 \(line 2\) is not UTF-8 text: 0xe9 /);
    }
  });

  it.each([
    ["an overlong form", [0xc0, 0xaf]],
    ["half a surrogate pair", [0xed, 0xa0, 0x80]],
    ["a character beyond U+10FFFF", [0xf5, 0x80, 0x80, 0x80]],
    ["a stray continuation byte", [0x80]],
    ["a character cut off by the end", [0xe4, 0xbd]],
  ])("is refused for %s", async (_, bytes) => {
    const problem = await refusal(Buffer.from([0x61, ...bytes]), { fileName: "a.txt" }, 1);
    expect(problem.detail).toMatch(/^byte 1 \(line 1\) is not UTF-8 text/);
  });

  it("is recognised as UTF-16", async () => {
    const bytes = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("text\na\n", "utf16le")]);
    expect((await refusal(bytes, { fileName: "a.csv" })).detail).toContain("UTF-16 byte order mark: save it as UTF-8");
    expect((await refusal(bytes.subarray(2), { fileName: "a.csv" })).detail).toContain("it is a NUL character");
  });

  it("never depends on where the chunks break for text that is UTF-8", async () => {
    const text = "aé好😀\u07ff\u0800\uffff\u{10000}\u{10ffff}";
    for (const chunk of [1, 2, 3, 4, 5]) expect(await readAll(text, { fileName: "a.txt" }, chunk)).toEqual([{ text }]);
  });
});

describe("gzip", () => {
  const content = '{"text":"a"}\n{"text":"b"}\n';

  it("is recognised by its first bytes, whatever the name says", async () => {
    for (const fileName of ["a.jsonl.gz", "a.jsonl"]) {
      expect(await readAll(gzipSync(content), { fileName }, 5)).toEqual([{ text: "a" }, { text: "b" }]);
    }
    expect(await readAll(content, { fileName: "a.jsonl.gz" })).toHaveLength(2);
  });

  it("may hold several members, as concatenated files do", async () => {
    const members = Buffer.concat([gzipSync(content), gzipSync(content)]);
    expect(await readAll(members, { fileName: "a.jsonl.gz" })).toHaveLength(4);
  });

  it("is refused when it is cut off, damaged, or gzipped twice", async () => {
    const bytes = gzipSync(content);
    expect((await refusal(bytes.subarray(0, -6), { fileName: "a.jsonl" })).detail).toContain("the file is cut off");
    const damaged = Buffer.from(bytes);
    damaged[bytes.length - 6]! ^= 0xff;
    expect((await refusal(damaged, { fileName: "a.jsonl" })).detail).toContain("the gzip data is damaged");
    expect((await refusal(gzipSync(bytes), { fileName: "a.jsonl" })).code).toBe("DATASET_FORMAT_UNKNOWN");
  });

  it("cannot be used as a bomb: growth is capped in size and in ratio", async () => {
    const bomb = gzipSync(Buffer.alloc(40 * 1024 ** 2, `${"x".repeat(999)}\n`), {
      level: constants.Z_BEST_COMPRESSION,
    });
    const byRatio = await refusal(bomb, { fileName: "a.txt" });
    expect(byRatio.code).toBe("DATASET_TOO_LARGE");
    expect(byRatio.detail).toContain("250 times larger");
    const bySize = await refusal(bomb, { fileName: "a.txt", limits: { expandedBytes: 1_000_000 } });
    expect(bySize.detail).toContain("larger than 1000000 bytes");
  });
});

describe("the caps", () => {
  it.each([
    ["bytes of the file", { fileBytes: 20 }, "the file is larger than 20 bytes"],
    ["rows", { rows: 1 }, "the file has more than 1 rows"],
    ["a row's length", { rowLength: 10 }, "row 1: longer than 10 characters"],
    ["a field's length", { fieldLength: 4 }, 'row 1: field "text" is longer than 4 characters'],
  ])("apply to %s", async (_, limits, detail) => {
    const problem = await refusal('{"text":"first"}\n{"text":"second"}\n', { fileName: "a.jsonl", limits });
    expect(problem.code).toBe("DATASET_TOO_LARGE");
    expect(problem.detail).toBe(detail);
  });

  it("apply to a CSV record and a JSON element before they end", async () => {
    const endless = `text\n"${"x".repeat(5_000)}`;
    expect((await refusal(endless, { fileName: "a.csv", limits: { rowLength: 1_000 } }, 100)).detail).toBe(
      "row 1: longer than 1000 characters",
    );
    const element = `[{"text":"a"},"${"x".repeat(5_000)}`;
    expect((await refusal(element, { fileName: "a.json", limits: { rowLength: 1_000 } }, 100)).detail).toBe(
      "row 2: longer than 1000 characters",
    );
  });

  it("apply to nesting and to the number of columns", async () => {
    const deep = `{"text":"a","deep":${"[".repeat(40)}${"]".repeat(40)}}`;
    expect((await refusal(deep, { fileName: "a.jsonl" })).detail).toContain("nested more than 32 deep");
    const wide = `${Array.from({ length: 6 }, (_, i) => `c${i}`).join(",")}\n`;
    expect((await refusal(wide, { fileName: "a.csv", limits: { columns: 5 } })).detail).toContain(
      "more than 5 columns",
    );
  });
});
