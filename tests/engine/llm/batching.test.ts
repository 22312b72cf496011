import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createCacheMemory } from "../../../engine/llm/cache-memory.ts";
import { cacheBytesFor } from "../../../engine/llm/generation.ts";
import { createGenerator } from "../../../engine/llm/generator.ts";
import { answer, type CountedModel, countedModel, greedy, promptOf } from "./serving.ts";

const chunkTokens = 32;
const bytesPerToken = 2 * 3 * 2 * 16 * 4;
let model: CountedModel;
beforeAll(async () => {
  model = await countedModel("qwen3-gqa-f16");
});
beforeEach(() => {
  model.forwards.length = 0;
  model.before = () => {};
});
afterAll(() => model.close());

const isChunk = ({ tokens }: { tokens: number }) => tokens > 1;
const begun = async (generator: ReturnType<typeof createGenerator>, request: object) => {
  const stream = generator.add({ ...greedy, promptIds: [5, 6, 7], ...request })[Symbol.asyncIterator]();
  await stream.next();
  return stream;
};

it("between two tokens of a running stream no more than one chunk of all prompts is read", async () => {
  const generator = createGenerator(model, { chunkTokens });
  const running = await begun(generator, { maxTokens: 60 });
  const from = model.forwards.length;
  const long = [1, 2, 3].map((seed) => answer(generator, { promptIds: promptOf(seed, 400), maxTokens: 1 }));
  await Promise.all(long);
  const seen = model.forwards.slice(from);
  expect(seen.filter(isChunk)).toHaveLength(3 * 13);
  let chunksInARow = 0;
  for (const forward of seen) {
    chunksInARow = isChunk(forward) ? chunksInARow + 1 : 0;
    expect(chunksInARow).toBeLessThanOrEqual(1);
  }
  await running.return?.();
});

it("other passes take turns with the chunks of prompts, and their failures are their own", async () => {
  const generator = createGenerator(model, { chunkTokens });
  const running = await begun(generator, { maxTokens: 60 });
  const from = model.forwards.length;
  const pass = () => model.forward({ sequences: 1, tokens: 40, ids: promptOf(1, 40) });
  const prompt = answer(generator, { promptIds: promptOf(2, 160), maxTokens: 1 });
  const passes = [1, 2, 3, 4, 5, 6, 7].map(() => generator.inTurn(pass));
  const failing = generator.inTurn(() => Promise.reject(new Error("its own")));
  await expect(failing).rejects.toThrow("its own");
  await Promise.all([prompt, ...passes]);
  const seen = model.forwards.slice(from).map(({ tokens }) => tokens);
  const long = seen.filter((tokens) => tokens > 1);
  // Seven passes and five chunks, by turns: the last turn was a chunk's.
  expect(long).toEqual([40, 32, 40, 32, 40, 32, 40, 32, 40, 32, 40, 40]);
  for (const [i, tokens] of seen.entries()) if (tokens > 1 && i > 0) expect(seen[i - 1]).toBe(1);
  await running.return?.();
  await generator.idle();
  // With nothing else to do they are run at once.
  expect((await generator.inTurn(pass)).taps).toEqual([]);
});

it("a short prompt is read in its turn, not after the long ones that came before it", async () => {
  const generator = createGenerator(model, { chunkTokens });
  const ended: string[] = [];
  const ask = (name: string, length: number) =>
    answer(generator, { promptIds: promptOf(length, length), maxTokens: 1 }).then(() => {
      ended.push(`${name} after ${model.forwards.filter(isChunk).length} chunks`);
    });
  await Promise.all([ask("long", 400), ask("longer", 480), ask("short", 20), ask("medium", 64)]);
  // Turns: long, longer, short; medium, long, longer; medium, …
  expect(ended).toEqual([
    "short after 3 chunks",
    "medium after 7 chunks",
    "long after 28 chunks",
    "longer after 31 chunks",
  ]);
});

it("a request that is aborted has no part in the next step, read or running", async () => {
  const generator = createGenerator(model, { chunkTokens });
  const other = await begun(generator, { maxTokens: 200 });
  const abort = new AbortController();
  const running = await begun(generator, { maxTokens: 200, signal: abort.signal });
  expect(generator.load.active).toBe(2);
  abort.abort();
  // The step that is under way, if one is, may still have it.
  await other.next();
  await other.next();
  const before = model.forwards.length;
  await other.next();
  expect(model.forwards.slice(before).every(({ sequences }) => sequences === 1)).toBe(true);
  let last = await running.next();
  while (!last.done) {
    expect(last.value.type).toBe("delta");
    last = await running.next();
  }
  expect(generator.load.active).toBe(1);

  const reading = new AbortController();
  model.before = ({ tokens }) => {
    if (tokens > 1) reading.abort();
  };
  const from = model.forwards.length;
  const stream = generator.add({ ...greedy, promptIds: promptOf(9, 300), signal: reading.signal });
  for await (const _ of stream) throw new Error("it was aborted in its first chunk");
  expect(model.forwards.slice(from).filter(isChunk)).toHaveLength(1);
  await other.return?.();
  await generator.idle();
  expect([generator.load.active, generator.heldBytes]).toEqual([0, 0]);
});

const bytesStayWithin =
  "%s: whatever comes and goes, what is held is within what is reserved, that and the prefixes within the grant, and all end";
it.each(["qwen3-gqa-f16", "qwen3-5-text-tied-f32"] as const)(bytesStayWithin, async (name) => {
  const model = await countedModel(name);
  const request = fc.record({
    prompt: fc.integer({ min: 1, max: 200 }),
    tokens: fc.integer({ min: 1, max: 40 }),
    leaves: fc.option(fc.integer({ min: 0, max: 30 }), { freq: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 4, maxLength: 10 }), async (requests) => {
      const memory = createCacheMemory(cacheBytesFor(model.config, 1, 512));
      const generator = createGenerator(model, { chunkTokens, memory, maxBatch: 4 });
      model.before = () => {
        expect(generator.heldBytes).toBeLessThanOrEqual(memory.reservedBytes);
        expect(memory.reservedBytes + memory.prefixes.sizeBytes).toBeLessThanOrEqual(memory.limitBytes);
      };
      const answers = requests.map(async ({ prompt, tokens, leaves }, index) => {
        const abort = new AbortController();
        const settings = { ...greedy, promptIds: promptOf(index, prompt), maxTokens: tokens, signal: abort.signal };
        if (leaves === 0) abort.abort();
        let events = 0;
        for await (const event of generator.add(settings)) {
          events += 1;
          if (event.type === "end") expect(event.completionTokens).toBe(tokens);
          else if (events === leaves) abort.abort();
        }
        expect(events > 0 || leaves !== null).toBe(true);
      });
      await Promise.all(answers);
      await generator.idle();
      expect(generator.load).toEqual({ active: 0, waiting: 0, cacheBytes: 0 });
      expect([generator.heldBytes, memory.reservedBytes]).toEqual([0, 0]);
    }),
    { numRuns: 8, seed: 3, endOnFailure: true },
  );
  await model.close();
});

it("requests that wait for room start in their order, also a large one before later small ones", async () => {
  const generator = createGenerator(model, { chunkTokens, cacheBytes: 256 * bytesPerToken });
  const first = await begun(generator, { maxTokens: 120 });
  const order: string[] = [];
  const ask = (name: string, length: number) =>
    answer(generator, { promptIds: promptOf(length, length), maxTokens: 4 }).then(() => order.push(name));
  const all = [ask("large", 250 - 4), ask("small", 10), ask("smaller", 5)];
  await first.next();
  // The small ones would fit beside the first; they came after the large one.
  expect(generator.load).toMatchObject({ active: 1, waiting: 3 });
  await first.return?.();
  await Promise.all(all);
  expect(order[0]).toBe("large");
  expect(order).toHaveLength(3);
});

it("models share one memory in one order of arrival: a large request is not starved by the traffic of another model", async () => {
  const memory = createCacheMemory(256 * bytesPerToken);
  const [busy, quiet] = [1, 2].map(() => createGenerator(model, { chunkTokens, memory })) as [
    ReturnType<typeof createGenerator>,
    ReturnType<typeof createGenerator>,
  ];
  const running = await begun(busy, { maxTokens: 100 });
  const ended: string[] = [];
  const large = answer(quiet, { promptIds: promptOf(1, 240), maxTokens: 4 }).then(() => ended.push("large"));
  await running.next();
  const small = [1, 2, 3].map((seed) =>
    answer(busy, { promptIds: promptOf(seed, 9), maxTokens: 4 }).then(() => ended.push("small")),
  );
  for (let i = 0; i < 5; i++) await running.next();
  expect(ended).toEqual([]);
  await running.return?.();
  await Promise.all([large, ...small]);
  expect(ended[0]).toBe("large");

  // One that gives up waiting lets the others by at once.
  const still = await begun(busy, { maxTokens: 100 });
  const abort = new AbortController();
  const given = quiet.add({ ...greedy, promptIds: promptOf(1, 240), signal: abort.signal })[Symbol.asyncIterator]();
  const next = given.next();
  const behind = answer(busy, { promptIds: promptOf(3, 9), maxTokens: 2 });
  await still.next();
  expect(busy.load.waiting).toBe(1);
  abort.abort();
  expect((await behind).completionTokens).toBe(2);
  expect((await next).done).toBe(true);
  await still.return?.();
});
