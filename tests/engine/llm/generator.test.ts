import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CacheTooLargeError, ContextLengthError } from "../../../engine/llm/generation.ts";
import {
  createGenerator,
  type GenerationEvent,
  type GenerationRequest,
  type Generator,
} from "../../../engine/llm/generator.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import type { SteeringEdit } from "../../../engine/llm/steering.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { fixtureFolder, fixtureNames, type Reference, readJson } from "./fixtures.ts";

const greedy = {
  maxTokens: 12,
  temperature: 0,
  topP: 1,
  topK: 0,
  repetitionPenalty: 1,
  seed: 0,
  stop: [],
  logprobs: null,
  edits: [],
};

interface Answer {
  text: string;
  ids: number[];
  logprobs: number[];
  end: Extract<GenerationEvent, { type: "end" }> | null;
}

async function answer(
  generator: Generator,
  request: Partial<GenerationRequest> & { promptIds: ArrayLike<number> },
): Promise<Answer> {
  const result: Answer = { text: "", ids: [], logprobs: [], end: null };
  for await (const event of generator.add({ ...greedy, ...request })) {
    if (event.type === "end") result.end = event;
    else {
      result.text += event.text;
      result.ids.push(...event.tokens.map(({ id }) => id));
      result.logprobs.push(...event.tokens.map(({ logprob }) => logprob));
    }
  }
  return result;
}

describe.each(fixtureNames)("greedy generation with %s", (name) => {
  it("continues the reference prompts as transformers does", async () => {
    const reference = readJson<Reference>(name, "reference.json");
    const model = await openModel(fixtureFolder(name), { threads: 2 });
    const generator = createGenerator(model);
    const answers = await Promise.all(reference.prompts.map((promptIds) => answer(generator, { promptIds })));
    answers.forEach(({ ids, end }, i) => {
      const expected = reference.greedy[i]!;
      const stop = expected.findIndex((id) => model.stopTokenIds.has(id));
      expect(ids).toEqual(stop < 0 ? expected : expected.slice(0, stop));
      expect(end).toMatchObject({
        finishReason: stop < 0 ? "length" : "stop",
        completionTokens: stop < 0 ? 12 : stop + 1,
      });
    });
    await model.close();
  });
});

describe("the generator", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await openModel(fixtureFolder("qwen3-gqa-f16"), { threads: 2 });
  });
  afterAll(() => model.close());

  const someEdit = (layer: number, seed: number, length: number): SteeringEdit => {
    const random = createRandom(seed);
    const vector = () => Float32Array.from({ length: model.config.dModel }, () => random.normal());
    return {
      layer,
      direction: vector(),
      encoder: { weight: vector(), bias: 0.1, threshold: 0 },
      c0: 0.5,
      c1: -0.5,
      c2: 0.01,
      selection: { prompt: new Uint8Array(length).fill(1), generation: { from: 1, to: 6 }, excludeSpecial: true },
    };
  };

  it("text and log probabilities of a request are the same bits alone and in any company", async () => {
    const requestOf = (seed: number): GenerationRequest => {
      const random = createRandom(seed);
      const promptIds = Int32Array.from({ length: 1 + random.int(90) }, () => 3 + random.int(300));
      const edits =
        random.int(2) === 0
          ? []
          : Array.from({ length: 1 + random.int(20) }, (_, e) => someEdit(random.int(3), seed + e, promptIds.length));
      return {
        ...greedy,
        promptIds,
        edits,
        temperature: 0.7,
        seed,
        maxTokens: 1 + random.int(20),
        logprobs: 2,
        topP: 0.95,
      };
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 2, maxLength: 7 }), async (seeds) => {
        const own = requestOf(seeds[0]!);
        const alone = await answer(createGenerator(model, { chunkTokens: 32 }), own);
        const crowd = createGenerator(model, { chunkTokens: 32, maxBatch: 4 });
        const [together] = await Promise.all(seeds.map((seed) => answer(crowd, requestOf(seed))));
        expect(together).toEqual(alone);
      }),
      { numRuns: 15, seed: 11 },
    );
  });

  it("every selected token is reported as touched: the prompt's, and the fed-back ones in the range", async () => {
    const promptIds = [5, 6, 7, 8, 9, 10, 11];
    const edit = someEdit(1, 3, promptIds.length);
    const base = { ...edit, selection: { ...edit.selection, excludeSpecial: false } };
    const generator = createGenerator(model, { chunkTokens: 3 });
    const report = async (selection: SteeringEdit["selection"]) =>
      (await answer(generator, { promptIds, edits: [{ ...base, selection }], maxTokens: 9, stop: [] })).end!;
    const ended = await report({
      prompt: Uint8Array.of(0, 1, 1, 0, 0, 0, 1),
      generation: { from: 2, to: 5 },
      excludeSpecial: false,
    });
    const fedBack = ended.completionTokens - 1;
    expect(ended.edits[0]).toMatchObject({
      promptTokens: 3,
      generatedTokens: Math.max(0, Math.min(fedBack, 5) - 2),
      gateOpenTokens: null,
    });
    expect(ended.edits[0]!.meanRelativeChange).toBeGreaterThan(0);
    const open = await report({ prompt: new Uint8Array(7), generation: { from: 0, to: 100 }, excludeSpecial: false });
    // The last sampled token is never fed back, so never touched.
    expect(open.edits[0]).toMatchObject({ promptTokens: 0, generatedTokens: open.completionTokens - 1 });
  });

  it("an edit of generation index 0 leaves the first sampled token alone and may change the second", async () => {
    const promptIds = [20, 21, 22, 23];
    const generator = createGenerator(model);
    const plain = await answer(generator, { promptIds, logprobs: 0 });
    const edit = {
      ...someEdit(0, 9, 4),
      c0: 50,
      selection: { prompt: new Uint8Array(4), generation: { from: 0, to: 1 }, excludeSpecial: false },
    };
    const steered = await answer(generator, { promptIds, edits: [edit], logprobs: 0 });
    expect(steered.ids[0]).toBe(plain.ids[0]);
    expect(steered.logprobs[0]).toBe(plain.logprobs[0]);
    expect(steered.logprobs[1]).not.toBe(plain.logprobs[1]);
  });

  it("a gate reports on how many selected tokens it opened", async () => {
    const promptIds = [5, 6, 7, 8];
    const edit = someEdit(2, 4, 4);
    const gate = { ...edit.encoder!, layer: 1 };
    const never = await answer(createGenerator(model), {
      promptIds,
      edits: [{ ...edit, gate: { ...gate, above: 1e9 } }],
      logprobs: 0,
    });
    const plain = await answer(createGenerator(model), { promptIds, logprobs: 0 });
    expect(never.end!.edits[0]).toEqual({
      promptTokens: 0,
      generatedTokens: 0,
      meanRelativeChange: 0,
      gateOpenTokens: 0,
    });
    expect(never.logprobs).toEqual(plain.logprobs);
  });

  it("a canceled request leaves within a step, the others go on, and its cache is given back", async () => {
    const generator = createGenerator(model, { maxBatch: 2 });
    const abort = new AbortController();
    const stops = [...model.stopTokenIds];
    expect(stops).toHaveLength(1);
    const long = { ...greedy, promptIds: [7, 8, 9], maxTokens: 400 };
    const seen: GenerationEvent[] = [];
    const other = answer(generator, { promptIds: [30, 31, 32] });
    const waiting = answer(generator, { promptIds: [40, 41] });
    for await (const event of generator.add({ ...long, signal: abort.signal })) {
      seen.push(event);
      abort.abort();
    }
    expect(seen.every(({ type }) => type === "delta")).toBe(true);
    expect((await other).end).not.toBeNull();
    expect((await waiting).end).not.toBeNull();
    await generator.idle();
    expect(generator.load).toEqual({ active: 0, waiting: 0, cacheBytes: 0 });
  });

  it("a request whose edits leave float32 ends alone and names the layer, and its slot serves the next", async () => {
    const beyond = (layer: number, size: number): SteeringEdit => ({
      layer,
      direction: new Float32Array(model.config.dModel).fill(1e10),
      c0: size / 1e10,
      c1: 0,
      c2: 0,
      selection: { prompt: new Uint8Array(20), generation: { from: 3, to: 40 }, excludeSpecial: false },
    });
    const idsOf = (length: number) => Int32Array.from({ length }, (_, i) => 3 + ((7 * i + length) % 300));
    const others = [9, 11, 13].map((length) => ({
      ...{ promptIds: idsOf(length), maxTokens: 24, logprobs: 2, edits: [someEdit(1, length, length)] },
    }));
    const generator = createGenerator(model);
    const alone: Answer[] = [];
    for (const request of others) alone.push(await answer(generator, request));
    const together = others.map((request) => answer(generator, request));
    // Of 1e30 not even the square is left: a norm makes zeros of it, and finite logits that say nothing.
    const spoilt = [[beyond(2, 1e30)], [beyond(1, 1e40), beyond(0, 1e5)]].map((edits) =>
      answer(generator, { promptIds: idsOf(20), maxTokens: 40, edits }),
    );
    await expect(spoilt[0]).rejects.toMatchObject({ name: "SteeringOverflowError", layer: 2, edit: 0 });
    await expect(spoilt[1]).rejects.toMatchObject({ layer: 1, edit: 0, message: expect.stringContaining("layer 1") });
    expect(await answer(generator, others[0]!)).toEqual({ ...alone[0]!, end: expect.anything() });
    expect((await Promise.all(together)).map(({ ids, logprobs }) => [ids, logprobs])).toEqual(
      alone.map(({ ids, logprobs }) => [ids, logprobs]),
    );
  });

  it("a reader who leaves takes the request out of the batch", async () => {
    const generator = createGenerator(model);
    for await (const event of generator.add({ ...greedy, promptIds: [7, 8, 9], maxTokens: 400 })) {
      expect(event.type).toBe("delta");
      break;
    }
    await generator.idle();
    expect(generator.load.active).toBe(0);
  });

  it("requests wait until their whole cache fits, and one that never could is refused with both numbers", async () => {
    const perRequest = 64 * 2 * 3 * 2 * 16 * 4;
    const generator = createGenerator(model, { cacheBytes: perRequest * 2 });
    const answers = [1, 2, 3, 4].map((i) => answer(generator, { promptIds: [10 + i, 20, 30] }));
    expect(generator.load.waiting).toBe(4);
    await Promise.all(answers);
    expect(() => generator.add({ ...greedy, promptIds: [1], maxTokens: 200 })).toThrow(CacheTooLargeError);
    expect(() => generator.add({ ...greedy, promptIds: [1], maxTokens: 200 })).toThrow(
      /needs 196608 bytes.*98304 are granted|needs \d+ bytes/,
    );
  });

  it("a prompt that leaves no room is refused with both numbers, an unknown id by name", () => {
    const generator = createGenerator(model);
    expect(() => generator.add({ ...greedy, promptIds: new Int32Array(505).fill(5) })).toThrow(ContextLengthError);
    expect(() => generator.add({ ...greedy, promptIds: new Int32Array(505).fill(5) })).toThrow(
      /505 tokens and 12 more exceed the context of 512/,
    );
    expect(() => generator.add({ ...greedy, promptIds: [320] })).toThrow(/id 320/);
    expect(() => generator.add({ ...greedy, promptIds: [] })).toThrow(/empty/);
    expect(() => generator.add({ ...greedy, promptIds: [1], edits: [someEdit(3, 1, 1)] })).toThrow(/edit 0: layer 3/);
  });

  it("without maxTokens the answer may fill the context, or its share of a small cache", async () => {
    const promptIds = new Int32Array(500).fill(9);
    // Greedy on this prompt repeats one token, so nothing but the limit ends it.
    const filled = await answer(createGenerator(model), { promptIds, maxTokens: null });
    expect(filled.end).toMatchObject({ finishReason: "length", completionTokens: 12 });
    const bytesPerToken = 2 * 3 * 2 * 16 * 4;
    const shared = createGenerator(model, { maxBatch: 2, cacheBytes: 2 * 384 * bytesPerToken });
    const end = (await answer(shared, { promptIds: promptIds.subarray(0, 4), maxTokens: null })).end!;
    expect(end).toMatchObject({ finishReason: "length", completionTokens: 380 });
  });

  it("a stop string ends the answer before itself, wherever the tokens break", async () => {
    const generator = createGenerator(model);
    const full = await answer(generator, { promptIds: [5, 6, 7], maxTokens: 30, temperature: 1, seed: 4 });
    const at = Math.floor(full.text.length / 2);
    const stop = full.text.slice(at, at + 3);
    const cut = await answer(generator, {
      promptIds: [5, 6, 7],
      maxTokens: 30,
      temperature: 1,
      seed: 4,
      stop: ["\u0000never", stop],
    });
    expect(cut.text).toBe(full.text.slice(0, full.text.indexOf(stop)));
    expect(cut.end!.finishReason).toBe("stop");
  });
});
