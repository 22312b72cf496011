import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createCacheMemory } from "../../../engine/llm/cache-memory.ts";
import { createGenerator, type GenerationRequest, type Generator } from "../../../engine/llm/generator.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { answer, type CountedModel, countedModel, editOf, promptOf } from "./serving.ts";

const chunkTokens = 32;
let model: CountedModel;
beforeAll(async () => {
  model = await countedModel("qwen3-gqa-f16");
});
beforeEach(() => {
  model.forwards.length = 0;
});
afterAll(() => model.close());

const promptForwards = () => model.forwards.filter(({ tokens }) => tokens > 1).length;
const bytesPerToken = 2 * 3 * 2 * 16 * 4;

const answersAreEqual =
  "%s: answers, log probabilities and steering reports have the same bits whatever was kept of earlier prompts";
it.each(["qwen3-gqa-f16", "qwen3-5-text-tied-f32", "qwen3-5-moe-f16", "mistral-window-f16"] as const)(
  answersAreEqual,
  async (name) => {
    const model = await countedModel(name);
    const requestOf = (seed: number) => {
      const random = createRandom(seed);
      // Few beginnings, lengths and edits, so that prompts share parts of them in all ways.
      const promptIds = Int32Array.from([...promptOf(random.int(2), 96), ...promptOf(10 + random.int(2), 70)]);
      const length = [32, 64, 95, 96, 97, 130, 166][random.int(7)]!;
      const from = [0, 40, 90, 1000][random.int(4)]!;
      const edits = Array.from({ length: random.int(3) }, (_, e) =>
        editOf(model, e, random.int(2), length, (position) => position >= from),
      );
      const gate = { ...edits[0]?.encoder, layer: 0, above: 0.05 } as NonNullable<(typeof edits)[0]["gate"]>;
      const gated = edits.map((edit, e) => (e === 1 ? { ...edit, gate } : edit));
      return { promptIds: promptIds.subarray(0, length), edits: gated, maxTokens: 3, temperature: 1, seed };
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 3, maxLength: 9 }), async (seeds) => {
        const generator = createGenerator(model, { chunkTokens, maxBatch: 3 });
        const told = await Promise.all(seeds.map((seed) => answer(generator, requestOf(seed))));
        const again = await Promise.all(seeds.map((seed) => answer(generator, requestOf(seed))));
        for (const [i, seed] of seeds.entries()) {
          const cold = await answer(createGenerator(model, { chunkTokens }), { ...requestOf(seed), prefixScope: null });
          expect(cold.cachedTokens).toBe(0);
          expect({ ...told[i]!, cachedTokens: 0 }).toEqual(cold);
          expect(again[i]!.cachedTokens).toBe(requestOf(seed).promptIds.length);
          expect({ ...again[i]!, cachedTokens: 0 }).toEqual(cold);
        }
      }),
      { numRuns: 6, seed: 5 },
    );
    await model.close();
  },
);

it("a conversation that goes on reads anew only what follows the last whole chunk that it shares", async () => {
  const generator = createGenerator(model, { chunkTokens });
  const turn = async (length: number) => (await answer(generator, { promptIds: promptOf(1, length) })).cachedTokens;
  expect(await turn(70)).toBe(0);
  expect(promptForwards()).toBe(3);
  expect(await turn(150)).toBe(64);
  expect(promptForwards()).toBe(6);
  expect(await turn(150)).toBe(150);
  expect(promptForwards()).toBe(6);
  // 128 tokens are four whole chunks, but of the fourth only keys and values are known, not what follows it.
  expect(await turn(128)).toBe(96);
  expect(promptForwards()).toBe(7);
  expect(await turn(128)).toBe(128);
});

it("prompts are shared within a scope, and only as far as the same edits touch the same positions", async () => {
  const length = 96;
  const promptIds = promptOf(2, length);
  const generator = createGenerator(model, { chunkTokens });
  const cached = async (request: Partial<GenerationRequest>) =>
    (await answer(generator, { promptIds, maxTokens: 2, ...request })).cachedTokens;
  const late = editOf(model, 1, 1, length, (position) => position >= 40);
  await cached({});
  expect(await cached({ prefixScope: "another" })).toBe(0);
  expect(await cached({ prefixScope: null })).toBe(0);
  expect(await cached({ edits: [editOf(model, 1, 1, length)] })).toBe(0);
  expect(await cached({ edits: [late] })).toBe(32);
  expect(await cached({ edits: [late] })).toBe(96);
  expect(await cached({ edits: [{ ...late, c0: late.c0 + 1e-9 }] })).toBe(32);
  expect(await cached({ edits: [{ ...late, encoder: { ...late.encoder!, bias: 0.2 } }] })).toBe(32);
  const gate = { ...late.encoder!, layer: 0, above: 0 };
  expect(await cached({ edits: [{ ...late, gate }] })).toBe(32);
  expect(await cached({ edits: [{ ...late, gate: { ...gate, above: 1 } }] })).toBe(32);
  const one = { ...late, selection: { ...late.selection, prompt: late.selection.prompt.with(64, 0) } };
  expect(await cached({ edits: [one] })).toBe(64);
  // An edit of the answer alone leaves the prompt as it is.
  expect(await cached({ edits: [editOf(model, 1, 1, length, () => false)] })).toBe(96);
});

it("requests that come together read what they share once, and none of it counts as known before", async () => {
  const promptIds = promptOf(3, 150);
  const edits = [editOf(model, 1, 1, 150, (position) => position > 100)];
  const requests: Partial<GenerationRequest>[] = [{ seed: 1 }, { seed: 2 }, { seed: 3 }, { edits }];
  const generator = createGenerator(model, { chunkTokens });
  const answers = await Promise.all(
    requests.map((request) => answer(generator, { promptIds, temperature: 1, maxTokens: 4, ...request })),
  );
  // Five chunks, and the last two again for the one whose edit acts there.
  expect(promptForwards()).toBe(7);
  expect(answers.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0, 0, 0]);
  expect(new Set(answers.map(({ sampledIds }) => sampledIds.join())).size).toBe(4);
});

it("kept prefixes take what running requests leave, and the least recently used go first, from their ends", async () => {
  const memory = createCacheMemory(320 * bytesPerToken);
  const generator = createGenerator(model, { chunkTokens, memory });
  const cached = async (seed: number, length: number) =>
    (await answer(generator, { promptIds: promptOf(seed, length), maxTokens: 2 })).cachedTokens;
  model.before = () => {
    expect(memory.reservedBytes + memory.prefixes.sizeBytes).toBeLessThanOrEqual(memory.limitBytes);
    expect(generator.heldBytes).toBeLessThanOrEqual(memory.reservedBytes);
  };
  await cached(1, 96);
  expect(memory.prefixes.entries).toBe(3);
  await cached(2, 32);
  expect(await cached(1, 40)).toBe(32);
  // 256 of 320 columns: of five entries two can stay, the prompt that was used last.
  await answer(generator, { promptIds: promptOf(3, 200), maxTokens: 50, prefixScope: null });
  expect(memory.prefixes.entries).toBe(2);
  expect(await cached(1, 40)).toBe(40);
  expect(await cached(2, 32)).toBe(0);
  // Its own chunks are not pushed out by those that follow them.
  expect(await cached(4, 190)).toBe(0);
  expect(await cached(4, 40)).toBe(32);
  model.before = () => {};
});

it("a closed generator leaves nothing behind, and another one's prefixes stay", async () => {
  const memory = createCacheMemory(2 ** 24);
  const [first, second] = [createGenerator(model, { memory }), createGenerator(model, { memory })] as [
    Generator,
    Generator,
  ];
  const promptIds = promptOf(1, 300);
  await answer(first, { promptIds, maxTokens: 2 });
  expect((await answer(second, { promptIds, maxTokens: 2 })).cachedTokens).toBe(0);
  await Promise.all([first.idle(), second.idle()]);
  const before = memory.prefixes.sizeBytes;
  first.close();
  expect(memory.prefixes.sizeBytes).toBe(before / 2);
  expect((await answer(second, { promptIds, maxTokens: 2 })).cachedTokens).toBe(300);
  await second.idle();
  second.close();
  expect([memory.prefixes.sizeBytes, memory.prefixes.entries, memory.reservedBytes]).toEqual([0, 0, 0]);
});

it("a prompt that an edit takes beyond float32 is not kept for others, and says so", async () => {
  const memory = createCacheMemory(2 ** 24);
  const generator = createGenerator(model, { chunkTokens, memory });
  const edit = { ...editOf(model, 0, 1, 70, (position) => position === 40), c0: 1e38 };
  const beyond = { ...edit, direction: edit.direction.map((x) => x * 1e30) };
  await expect(answer(generator, { promptIds: promptOf(1, 70), edits: [beyond] })).rejects.toThrow(
    /tokens 32 to 63 .* not a number/,
  );
  expect(memory.prefixes.entries).toBe(1);
  expect((await answer(generator, { promptIds: promptOf(1, 70) })).cachedTokens).toBe(32);
});
