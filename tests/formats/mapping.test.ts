import { describe, expect, it } from "vitest";
import { mapSamples } from "../../formats/dataset.ts";
import { readAll, refusal } from "./read.ts";

describe("the mapping of columns", () => {
  it("fills the well-known names from the names that benchmarks use", () => {
    const [sample] = mapSamples([{ Problem: "1 + 1?", canonical_solution: "2", lan: "en", label_gold: "easy" }]);
    expect(sample).toMatchObject({ text: "1 + 1?", question: "1 + 1?", answer: "2", language: "en", label: "easy" });
  });

  it("keeps the row's own columns beside the well-known ones", () => {
    expect(mapSamples([{ content: "a", topic: "x" }])).toEqual([{ content: "a", topic: "x", text: "a" }]);
  });

  it("gathers lettered and numbered choices into a list", () => {
    const [numbered] = mapSamples([{ question: "q", choice0: "a", choice1: "b", answer: 1 }]);
    expect(numbered).toMatchObject({ choices: ["a", "b"], answer: 1 });
    const [lettered] = mapSamples([{ question: "q", A: "a", B: "b", C: "c" }]);
    expect(lettered?.choices).toEqual(["a", "b", "c"]);
  });

  it("lets an explicit mapping win, and reach into nested fields and lists", () => {
    const row = { text: "not this", data: { turns: [{ body: "this" }], lang: "de" } };
    const [sample] = mapSamples([row], { text: "data.turns.0.body", language: "data.lang" });
    expect(sample).toMatchObject({ text: "this", language: "de" });
  });

  it("finds a column whose own name holds dots before it reads a path", () => {
    expect(mapSamples([{ "a.b": "own", a: { b: "nested" } }], { text: "a.b" })[0]?.text).toBe("own");
  });

  it("takes the text from prompt, question, chat turns or the only column, in that order", () => {
    expect(mapSamples([{ question: "q", prompt: "p" }])[0]?.text).toBe("p");
    expect(
      mapSamples([
        {
          conversations: [
            { from: "human", value: "hi" },
            { from: "gpt", value: "hello" },
          ],
        },
      ])[0]?.text,
    ).toBe("hi\nhello");
    expect(mapSamples([{ headline: "h" }])[0]?.text).toBe("h");
  });

  it("refuses a mapping to a column that is not there, with the columns that are", async () => {
    const problem = await refusal("title,content\na,b\n", { fileName: "a.csv", mapping: { text: "body" } });
    expect(problem.errors[0]?.pointer).toBe("/mapping/text");
    expect(problem.detail).toBe(
      'row 1: the mapping takes "text" from "body", which is not there; the columns are "title", "content"',
    );
  });

  it("refuses a column name that no database takes, with its row", async () => {
    const problem = await refusal('{"text":"a"}\n{"text":"b","c\\u0000d":1}', { fileName: "a.jsonl" });
    expect(problem).toMatchObject({
      code: "DATASET_INVALID",
      message: 'row 2: the column name "c\\u0000d" holds U+0000',
      errors: [{ pointer: "/rows/2" }],
    });
  });

  it("refuses a row without anything that can serve as text, and one whose text is empty or no text", async () => {
    expect((await refusal('{"a":"x","b":"y"}', { fileName: "a.jsonl" })).detail).toMatch(
      /^row 1: no column can serve as text; the columns are "a", "b": give a mapping such as/,
    );
    const empty = await refusal('{"text":"a"}\n{"text":"  "}', { fileName: "a.jsonl" });
    expect(empty.detail).toBe("row 2: the text is empty");
    expect(empty.errors[0]?.pointer).toBe("/rows/2/text");
    expect((await refusal('{"text":{"x":1}}', { fileName: "a.jsonl" })).detail).toBe("row 1: the text is not a string");
    expect((await refusal('{"text":null,"b":1}', { fileName: "a.jsonl" })).detail).toBe("row 1: the text is null");
  });

  it("does not let a row reach an object's prototype", async () => {
    const [sample] = await readAll('{"text":"a","__proto__":{"polluted":true}}', { fileName: "a.jsonl" });
    expect(sample).toEqual({ text: "a" });
    expect(Object.getPrototypeOf(sample)).toBe(Object.prototype);
    expect((await refusal('{"text":"a"}', { fileName: "a.jsonl", mapping: { label: "constructor.name" } })).code).toBe(
      "DATASET_INVALID",
    );
  });
});
