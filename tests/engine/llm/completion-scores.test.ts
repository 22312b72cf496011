import { afterAll, expect, test } from "vitest";
import { readTexts } from "../../../engine/llm/completion-scores.ts";
import { crossEntropyNats } from "../../../engine/llm/cross-entropy.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { openModel } from "../../../engine/llm/model.ts";

const model = await openModel("tests/fixtures/models/qwen3-tied-f32", { threads: 1 });
afterAll(() => model.close());

const ids = (length: number, step: number) =>
  Int32Array.from({ length }, (_, i) => (7 + i * step) % model.config.vocabulary);
const texts = [
  { ids: ids(9, 3), from: 1 },
  { ids: ids(40, 5), from: 12 },
  { ids: ids(6, 11), from: 5 },
];

async function read(some: typeof texts, taps: number[] = []) {
  const readings = [];
  for await (const one of readTexts(model, some, taps)) readings.push(one);
  return readings;
}

test("the surprise of all tokens after the first is the cross-entropy, which is checked against transformers", async () => {
  const [first] = await read(texts);
  const mean = await crossEntropyNats(model, [texts[0]!.ids]);
  expect(first!.nats / 8).toBeCloseTo(mean, 10);
});

test("the surprise of a text's end is that of the whole without that of its beginning", async () => {
  const { ids: whole } = texts[1]!;
  const [end, all, beginning] = await read([
    { ids: whole, from: 12 },
    { ids: whole, from: 1 },
    { ids: whole.slice(0, 12), from: 1 },
  ]);
  expect(end!.nats).toBeCloseTo(all!.nats - beginning!.nats, 4);
});

test("a text reads the same to the last bit alone and among others", async () => {
  const together = await read(texts, [1]);
  for (const [i, text] of texts.entries()) {
    const [alone] = await read([text], [1]);
    expect(together[i]).toEqual(alone);
  }
});

test("the residuals are those of the text's own tokens", async () => {
  const [, second] = await read(texts, [1]);
  for await (const batch of harvest(model, [texts[1]!.ids], { layers: [1] })) {
    expect(second!.taps[0]).toEqual(batch.activations[0]!.subarray(12 * model.config.dModel));
  }
});

test("a text without a prompt is refused: its first token is nothing that a model predicts", async () => {
  await expect(read([{ ids: ids(4, 1), from: 0 }])).rejects.toThrow(RangeError);
});
