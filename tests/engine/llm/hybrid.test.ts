import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyValueCache } from "../../../engine/llm/cache.ts";
import { createGenerator } from "../../../engine/llm/generator.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSafetensors, readTensorFloat32 } from "../../../formats/safetensors.ts";
import { collect, fixtureFolder, readJson, relativeError } from "./fixtures.ts";
import { answer, editOf, promptOf } from "./serving.ts";

interface More {
  long: number[];
  long_rows: number[];
  left_padded: { ids: number[][]; mask: number[][] };
}

/** Runs ids in chunks of the given sizes through a cache of one slot; rows of logits for all tokens. */
async function inChunks(model: LanguageModel, ids: Int32Array, sizes: (left: number) => number) {
  const cache = new KeyValueCache(model.config, 1, 0);
  const logits: Float32Array[] = [];
  for (let start = 0; start < ids.length; ) {
    const tokens = Math.min(sizes(ids.length - start), ids.length - start);
    const result = await model.forward({
      sequences: 1,
      tokens,
      ids: ids.subarray(start, start + tokens),
      pastLengths: [start],
      past: cache.view,
      logitRows: [...Array(tokens).keys()],
      cache: true,
    });
    cache.append(0, result, 0, tokens, tokens);
    logits.push(result.logits);
    start += tokens;
  }
  return logits.flatMap((rows) => [...rows]);
}

const hybrids = ["qwen3-5-text-tied-f32", "qwen3-5-multimodal-bf16", "qwen3-5-moe-f16"] as const;
const others = ["qwen3-moe-bf16", "qwen3-moe-raw-f16", "mistral-window-f16", "qwen2-yarn-window-bf16"] as const;

describe.each([...hybrids, ...others])("%s", (name) => {
  const more = readJson<More>(name, "more.json");
  let model: LanguageModel;
  let V: number;
  beforeAll(async () => {
    model = await openModel(fixtureFolder(name), { threads: 2 });
    V = model.config.vocabulary;
  });
  afterAll(() => model.close());

  const expectedOf = async (key: string) =>
    readTensorFloat32(await openSafetensors(`${fixtureFolder(name)}/more.safetensors`), key);

  it.each([
    ["at once", (left: number) => left],
    ["in chunks of 64", () => 64],
    ["in uneven chunks", (left: number) => 1 + (left % 37)],
    ["token by token", () => 1],
  ])("150 tokens read %s have the logits of transformers", async (_how, sizes) => {
    const logits = await inChunks(model, Int32Array.from(more.long), sizes);
    const rows = more.long_rows.flatMap((row) => logits.slice(row * V, (row + 1) * V));
    const { error, worst } = relativeError(rows, await expectedOf("long.logits"));
    expect(error, worst).toBeLessThan(2e-5);
  });

  it("rows of a batch padded at the left, cut to their real tokens, have the logits that transformers gives the padded batch", async () => {
    const { ids, mask } = more.left_padded;
    const sequences = ids.map((row, s) => Int32Array.from(row.filter((_, t) => mask[s]![t] === 1)));
    expect(new Set(sequences.map(({ length }) => length)).size).toBe(3);
    const last: number[] = [];
    for (const own of sequences) last.push(...(await inChunks(model, own, (left) => left)).slice(-V));
    const { error, worst } = relativeError(last, await expectedOf("left_padded.logits"));
    expect(error, worst).toBeLessThan(2e-5);
  });

  it("sequences padded at the end of one batch go on, each from its own end, as each alone to the last bit", async () => {
    const lengths = [3, 11, 7, 1];
    const T = Math.max(...lengths);
    const texts = lengths.map((length, s) => promptOf(s, length + 1));
    const ids = new Int32Array(lengths.length * T).fill(9);
    for (const [s, text] of texts.entries()) ids.set(text.subarray(0, lengths[s]!), s * T);
    const last = lengths.map((length, s) => s * T + length - 1);
    const together = await model.forward({
      sequences: lengths.length,
      tokens: T,
      ids,
      newLengths: lengths,
      logitRows: last,
      cache: true,
    });
    const cache = new KeyValueCache(model.config, lengths.length, T);
    for (const [s, length] of lengths.entries()) cache.append(s, together, s, T, length);
    const next = (of: KeyValueCache, tokens: number[]) =>
      model.forward({
        sequences: tokens.length,
        tokens: 1,
        ids: Int32Array.from(tokens),
        pastLengths: of.lengths,
        past: of.view,
        logitRows: [...tokens.keys()],
      });
    const after = await next(
      cache,
      lengths.map((length, s) => texts[s]![length]!),
    );
    for (const [s, length] of lengths.entries()) {
      // At least two positions: a product of one row takes another path through the kernels.
      const tokens = Math.max(2, length);
      const padded = Int32Array.from({ length: tokens }, (_, t) => (t < length ? texts[s]![t]! : 0));
      const shape = { sequences: 1, tokens, ids: padded, newLengths: [length] };
      const alone = await model.forward({ ...shape, logitRows: [length - 1], cache: true });
      expect(together.logits.slice(s * V, (s + 1) * V)).toEqual(alone.logits);
      const own = new KeyValueCache(model.config, 1, tokens);
      own.append(0, alone, 0, tokens, length);
      const expected = await next(own, [texts[s]![length]!]);
      expect(after.logits.slice(s * V, (s + 1) * V)).toEqual(expected.logits);
    }
  });

  it("requests that are steered differently in one batch have the bits of each alone, also when beginnings are kept", async () => {
    const requestOf = (seed: number) => {
      const random = createRandom(seed);
      const length = 1 + random.int(80);
      const promptIds = Int32Array.from([...promptOf(random.int(2), 40), ...promptOf(seed, 50)]).subarray(0, length);
      const edits = Array.from({ length: random.int(4) }, (_, e) =>
        editOf(model, random.int(model.config.layers), seed + e, length, (position) => position % 3 > 0),
      );
      return { promptIds, edits, maxTokens: 1 + random.int(12), temperature: 0.8, seed, logprobs: 1 };
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 3, maxLength: 6 }), async (seeds) => {
        const crowd = createGenerator(model, { chunkTokens: 32, maxBatch: 3 });
        const together = await Promise.all(seeds.map((seed) => answer(crowd, requestOf(seed))));
        for (const [i, seed] of seeds.entries()) {
          const alone = createGenerator(model, { chunkTokens: 32 });
          const expected = await answer(alone, { ...requestOf(seed), prefixScope: null });
          expect({ ...together[i]!, cachedTokens: 0 }).toEqual(expected);
        }
      }),
      { numRuns: 8, seed: 3 },
    );
  });
});

describe("hybrid texts beyond one chunk of 512 tokens", () => {
  let folder: string;
  let model: LanguageModel;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "long-hybrid-"));
    await cp(fixtureFolder("qwen3-5-text-tied-f32"), folder, { recursive: true });
    const config = readJson<object>("qwen3-5-text-tied-f32", "config.json");
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 2048 }));
    model = await openModel(folder, { threads: 2 });
  });
  afterAll(async () => {
    await model.close();
    await rm(folder, { recursive: true });
  });

  it("rows are those of one whole pass, and ragged ones in a batch have the bits of each alone", async () => {
    const layers = [...Array(model.config.layers).keys()];
    const sequences = [513, 40, 700].map((length) => promptOf(length, length));
    const rowsOf = async (batchTokens: number) => {
      const batches = await collect(harvest(model, sequences, { layers, batchTokens }));
      return layers.map((_, i) => batches.flatMap((batch) => [...batch.activations[i]!]));
    };
    const together = await rowsOf(10_000);
    expect(await rowsOf(1)).toEqual(together);
    const { taps } = await model.forward({ sequences: 1, tokens: 513, ids: sequences[0]!, taps: layers });
    taps.forEach((tap, layer) => {
      const { error, worst } = relativeError(together[layer]!.slice(0, tap.length), tap);
      expect(error, `layer ${layer} ${worst}`).toBeLessThan(2e-5);
    });
  });
});

it.each(hybrids)("states of %s after padding are not taken for those after fewer tokens", async (name) => {
  const model = await openModel(fixtureFolder(name), { threads: 1 });
  const ids = promptOf(1, 5);
  const result = await model.forward({ sequences: 1, tokens: 5, ids, cache: true });
  const cache = new KeyValueCache(model.config, 1, 5);
  expect(() => cache.append(0, result, 0, 5, 4)).toThrow(/after 5 tokens, not after 4/);
  expect(() => cache.append(0, result, 0, 5, 5)).not.toThrow();
  await model.close();
});
