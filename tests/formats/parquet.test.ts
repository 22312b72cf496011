import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { readDataset } from "../../formats/dataset.ts";
import { readAll, refusal } from "./read.ts";

const file = new Uint8Array(
  parquetWriteBuffer({
    columnData: [
      { name: "question", data: ["What is 1 + 1?", "日本の首都は？", "third"], type: "STRING" },
      { name: "choices", data: [["2", "3"], ["東京"], ["a", "b"]], type: "JSON" },
      { name: "level", data: [1n, 2n ** 60n, 3n], type: "INT64" },
      { name: "score", data: [0.5, Number.NaN, 2], type: "DOUBLE" },
      { name: "at", data: [new Date(0), new Date(1), new Date(2)], type: "TIMESTAMP" },
      { name: "image", data: [0, 1, 2].map((i) => Uint8Array.of(0xff, 0xd8, i)), type: "BYTE_ARRAY" },
    ],
    rowGroupSize: 2,
  }),
);

describe("Parquet", () => {
  it("gives the rows of all row groups with JSON's types; binary columns are left out", async () => {
    const samples = await readAll(file, { fileName: "a.parquet" }, 50);
    expect(samples).toHaveLength(3);
    expect(samples[0]).toEqual({
      question: "What is 1 + 1?",
      text: "What is 1 + 1?",
      choices: ["2", "3"],
      level: 1,
      score: 0.5,
      at: "1970-01-01T00:00:00.000Z",
    });
    expect(samples[1]).toMatchObject({ text: "日本の首都は？", level: String(2n ** 60n), score: null });
  });

  it.each(["snappy", "gzip", "zstd", "brotli", "lz4"])("is read as Arrow writes it with %s", async (codec) => {
    // Recipe: tests/fixtures/datasets/make.py
    const path = join(import.meta.dirname, `../fixtures/datasets/arrow-${codec}.parquet`);
    const samples = await readAll(new Uint8Array(readFileSync(path)), { fileName: "a.parquet" });
    expect(samples).toHaveLength(12);
    expect(samples.slice(6, 9)).toEqual([
      {
        question: "What is 1 + 1?",
        text: "What is 1 + 1?",
        choices: ["2", "3"],
        meta: { topic: "a", n: 1 },
        when: "2020-01-01T00:00:00.000Z",
        level: String(2n ** 60n),
        score: 1.5,
        kind: "x",
        flag: true,
      },
      expect.objectContaining({
        text: "日本の首都は？",
        meta: { topic: "b", n: null },
        level: 1,
        score: null,
        flag: false,
      }),
      expect.objectContaining({ text: "third", choices: null, meta: null, flag: null }),
    ]);
  });

  it("may be gzipped, and is known by its first bytes", async () => {
    expect(await readAll(gzipSync(file), { fileName: "upload" })).toHaveLength(3);
    expect(await readAll(file, { fileName: "a.csv" })).toHaveLength(3);
    expect((await refusal(file, { fileName: "a.csv", format: "csv" })).detail).toBe(
      '"a.csv" is a Parquet file, not csv',
    );
    expect((await refusal("text\n", { fileName: "a.parquet" })).code).toBe("DATASET_FORMAT_UNKNOWN");
  });

  it("is refused when it is cut off or damaged anywhere, never with an error of another kind", async () => {
    expect((await refusal(file.subarray(0, -20), { fileName: "a.parquet" })).detail).toContain("cannot be read");
    for (let at = 4; at < file.length; at += Math.ceil(file.length / 12)) {
      const damaged = file.slice();
      damaged[at]! ^= 0xff;
      // Some bytes are data or padding: such a file still reads. What must not happen is an error that is no problem.
      await refusal(damaged, { fileName: "a.parquet", limits: { parquetStepMs: 3_000 } }).catch((error) =>
        expect(String(error)).toContain("was not refused"),
      );
    }
  });

  it("cannot hang or fill the process: decoding has a deadline and a heap of its own", async () => {
    const endless = new Uint8Array(readFileSync(join(import.meta.dirname, "../fixtures/datasets/arrow-zstd.parquet")));
    // A bit-packed run of a negative number of values: the decoder would count down from it for hours.
    endless[292]! ^= 0xff;
    const problem = await refusal(endless, { fileName: "a.parquet", limits: { parquetStepMs: 2_000 } });
    expect(problem.detail).toBe("decoding it takes longer than 2 s a row group");
  });

  it("is refused by the rows it claims, before they are decoded", async () => {
    const problem = await refusal(file, { fileName: "a.parquet", limits: { rows: 2 } });
    expect(problem.code).toBe("DATASET_TOO_LARGE");
    expect(problem.detail).toBe("the file has 3 rows, the limit is 2");
  });

  it("leaves no temporary file behind, also when the reader stops early", async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("dataset-")).length;
    const before = folders();
    for await (const sample of readDataset([file], { fileName: "a.parquet" })) {
      expect(sample.text).toBe("What is 1 + 1?");
      break;
    }
    expect(folders()).toBe(before);
  });
});
