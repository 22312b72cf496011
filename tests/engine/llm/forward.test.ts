import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyValueCache } from "../../../engine/llm/cache.ts";
import { initialParameters, writeCheckpoint } from "../../../engine/llm/checkpoint.ts";
import { crossEntropyNats, logProbability } from "../../../engine/llm/cross-entropy.ts";
import type { ForwardInput } from "../../../engine/llm/forward.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import { checkLogits } from "../../../engine/llm/self-check.ts";
import { readTensorFloat32 } from "../../../formats/safetensors.ts";
import {
  collect,
  fixtureFolder,
  fixtureNames,
  type Reference,
  readJson,
  referenceNumbers,
  relativeError,
} from "./fixtures.ts";

describe.each(fixtureNames)("%s", (name) => {
  const reference = readJson<Reference>(name, "reference.json");
  let model: LanguageModel;
  beforeAll(async () => {
    model = await openModel(fixtureFolder(name), { threads: 2 });
  });
  afterAll(() => model.close());

  const whole = (ids: readonly number[]) =>
    model.forward({
      sequences: 1,
      tokens: ids.length,
      ids: Int32Array.from(ids),
      logitRows: ids.map((_, row) => row),
      taps: [...Array(model.config.layers).keys()],
      cache: true,
    });

  it("logits and the residual stream after every block agree with transformers to 1e-4", async () => {
    const numbers = await referenceNumbers(name);
    for (const [i, ids] of reference.prompts.entries()) {
      const result = await whole(ids);
      const logits = relativeError(result.logits, await readTensorFloat32(numbers, `logits.${i}`));
      expect(logits.error, logits.worst).toBeLessThan(1e-5);
      const residuals = await readTensorFloat32(numbers, `residuals.${i}`);
      const size = ids.length * model.config.dModel;
      result.taps.forEach((tap, layer) => {
        const { error, worst } = relativeError(tap, residuals.subarray(layer * size, (layer + 1) * size));
        expect(error, `layer ${layer} ${worst}`).toBeLessThan(1e-5);
      });
    }
  });

  it("reading a prompt in chunks or token by token gives the logits of reading it whole", async () => {
    const ids = reference.prompts[0]!;
    const expected = (await whole(ids)).logits;
    for (const chunk of [1, 2, 5]) {
      const cache = new KeyValueCache(model.config, 1, 0);
      const logits: number[] = [];
      for (let start = 0; start < ids.length; start += chunk) {
        const piece = Int32Array.from(ids.slice(start, start + chunk));
        const result = await model.forward({
          sequences: 1,
          tokens: piece.length,
          ids: piece,
          pastLengths: cache.lengths,
          past: cache.view,
          logitRows: [...piece.keys()],
          cache: true,
        });
        cache.append(0, result, 0, piece.length, piece.length);
        logits.push(...result.logits);
      }
      const { error, worst } = relativeError(logits, expected);
      expect(error, `chunks of ${chunk}: ${worst}`).toBeLessThan(1e-5);
    }
  });

  it("rows of ragged sequences in one batch are those of each sequence alone, to the last bit", async () => {
    const sequences = [
      ...reference.prompts.map((ids) => Int32Array.from(ids)),
      Int32Array.of(5),
      Int32Array.from({ length: 300 }, (_, i) => (i * 7) % 320),
    ];
    const layers = [0, model.config.layers - 1];
    const rowsOf = async (list: Int32Array[], batchTokens: number) => {
      const activations: number[][] = layers.map(() => []);
      for await (const batch of harvest(model, list, { layers, batchTokens })) {
        batch.activations.forEach((rows, i) => {
          activations[i]!.push(...rows);
        });
      }
      return activations;
    };
    expect(await rowsOf(sequences, 1)).toEqual(await rowsOf(sequences, 10_000));
  });

  it("harvest stops after its highest layer with the same rows, and says where each row comes from", async () => {
    const [first, second] = [Int32Array.from(reference.prompts[0]!), Int32Array.from(reference.prompts[1]!)];
    const all = await collect(harvest(model, [first, second], { layers: [0, model.config.layers - 1] }));
    const low = await collect(harvest(model, [first, second], { layers: [0] }));
    expect(low[0]!.activations[0]).toEqual(all[0]!.activations[0]);
    expect(low[0]!.rows).toBe(first.length + second.length);
    expect([...low[0]!.tokenId]).toEqual([...first, ...second]);
    expect([...low[0]!.position.slice(first.length)]).toEqual([...second.keys()]);
    expect(low[0]!.sequence.at(-1)).toBe(1);
  });

  it("the self-check passes: plain float64 loops over the files give the same logits, with cache and without", async () => {
    const check = await checkLogits(model, fixtureFolder(name), Int32Array.from(reference.prompts[0]!.slice(0, 5)));
    expect(check).toMatchObject({ tokens: 5, passed: true });
    expect(check.relativeError).toBeLessThan(1e-5);
  });

  it("cross-entropy is the mean of −log p of the next tokens, and a spliced layer changes it only when the rows change", async () => {
    const sequences = reference.prompts.map((ids) => Int32Array.from(ids));
    const numbers = await referenceNumbers(name);
    let [total, count] = [0, 0];
    for (const [i, ids] of sequences.entries()) {
      const logits = await readTensorFloat32(numbers, `logits.${i}`);
      const V = model.config.vocabulary;
      for (let t = 0; t + 1 < ids.length; t++) {
        const row = logits.subarray(t * V, (t + 1) * V);
        const highest = Math.max(...row);
        total += highest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - highest), 0)) - row[ids[t + 1]!]!;
        count++;
      }
    }
    const clean = await crossEntropyNats(model, sequences);
    expect(clean).toBeCloseTo(total / count, 4);
    for (let layer = 0; layer < model.config.layers; layer++) {
      expect(await crossEntropyNats(model, sequences, { layer, splice: async (rows) => rows })).toBeCloseTo(clean, 5);
      const positions: number[] = [];
      const noted = async (rows: Float32Array, position: Int32Array) => {
        positions.push(...position);
        return rows;
      };
      await crossEntropyNats(model, sequences, { layer, splice: noted });
      expect(positions).toEqual(sequences.flatMap((ids) => [...ids.keys()]));
      const zeroed = await crossEntropyNats(model, sequences, {
        layer,
        splice: async (rows) => new Float32Array(rows.length),
      });
      expect(Math.abs(zeroed - clean)).toBeGreaterThan(0.01);
    }
  });
});

describe("texts beyond one chunk of 512 tokens", () => {
  let folder: string;
  let model: LanguageModel;
  let forwards: ForwardInput[] = [];
  const ids = (length: number) => Int32Array.from({ length }, (_, i) => (i * i * 7 + 3) % 320);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "long-"));
    await cp(fixtureFolder("qwen3-tied-f32"), folder, { recursive: true });
    const config = readJson<object>("qwen3-tied-f32", "config.json");
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 2048 }));
    const opened = await openModel(folder, { threads: 2 });
    const forward = (input: ForwardInput) => {
      forwards.push(input);
      return opened.forward(input);
    };
    model = { ...opened, forward };
  });
  afterAll(async () => {
    await model.close();
    await rm(folder, { recursive: true });
  });

  const rowsOf = async (sequences: Int32Array[], layers: number[], batchTokens = 2048) => {
    forwards = [];
    const batches = await collect(harvest(model, sequences, { layers, batchTokens }));
    return layers.map((_, i) => batches.flatMap((batch) => [...batch.activations[i]!]));
  };

  it.each([513, 1025, 1300])(
    "%i tokens have the rows of one whole pass, and no forward takes more than 512",
    async (T) => {
      const layers = [...Array(model.config.layers).keys()];
      const { taps } = await model.forward({ sequences: 1, tokens: T, ids: ids(T), taps: layers });
      const rows = await rowsOf([ids(T)], layers);
      taps.forEach((tap, layer) => {
        const { error, worst } = relativeError(rows[layer]!, tap);
        expect(error, `layer ${layer} ${worst}`).toBeLessThan(1e-5);
      });
      expect(forwards.length).toBe(Math.ceil(T / 512));
      for (const { tokens } of forwards) expect(tokens).toSatisfy((n: number) => n >= 2 && n <= 512);
    },
  );

  it("positions and tokens are counted over the whole text", async () => {
    const [batch] = await collect(harvest(model, [ids(600)], { layers: [0] }));
    expect([...batch!.position]).toEqual([...Array(600).keys()]);
    expect([...batch!.tokenId]).toEqual([...ids(600)]);
  });

  it("blocks above the highest layer are not run, and the rows are the same to the last bit", async () => {
    const [all] = await rowsOf([ids(700)], [0, model.config.layers - 1]);
    const [low] = await rowsOf([ids(700)], [0]);
    expect(forwards.map(({ lastLayer }) => lastLayer)).toEqual([0, 0]);
    expect(low).toEqual(all);
  });

  it("rows of ragged long sequences in one batch are those of each sequence alone, to the last bit", async () => {
    const sequences = [ids(513), ids(40), ids(1100), ids(600)];
    const layers = [0, model.config.layers - 1];
    const together = await rowsOf(sequences, layers, 10_000);
    expect(forwards.map((input) => input.sequences)).toEqual([4, 4, 4]);
    expect(together).toEqual(await rowsOf(sequences, layers, 1));
  });

  it("an edit acts on its own position of the whole text", async () => {
    const direction = new Float32Array(model.config.dModel).fill(1);
    const prompt = Uint8Array.from({ length: 700 }, (_, t) => (t === 650 ? 1 : 0));
    const selection = { prompt, generation: { from: 0, to: 0 }, excludeSpecial: false };
    const edits = [[{ layer: 0, direction, c0: 0.5, c1: 0, c2: 0, selection }]];
    const [plain] = await collect(harvest(model, [ids(700)], { layers: [0] }));
    const [edited] = await collect(harvest(model, [ids(700)], { layers: [0], edits }));
    const D = model.config.dModel;
    edited!.activations[0]!.forEach((x, i) => {
      const expected = plain!.activations[0]![i]! + (Math.floor(i / D) === 650 ? 0.5 : 0);
      if (Math.abs(x - expected) > 1e-5) throw new Error(`token ${Math.floor(i / D)}: ${x} instead of ${expected}`);
    });
    expect(edited!.activations[0]).not.toEqual(plain!.activations[0]);
  });

  it("cross-entropy of a long text is that of one whole pass, with a layer spliced in too, in forwards of at most 512 tokens", async () => {
    const text = ids(1300);
    const V = model.config.vocabulary;
    const { logits } = await model.forward({ sequences: 1, tokens: 1300, ids: text, logitRows: [...text.keys()] });
    let total = 0;
    for (let t = 0; t + 1 < 1300; t++) total -= logProbability(logits, t * V, V, text[t + 1]!);
    forwards = [];
    expect(await crossEntropyNats(model, [text])).toBeCloseTo(total / 1299, 5);
    expect(await crossEntropyNats(model, [text], { layer: 0, splice: async (rows) => rows })).toBeCloseTo(
      total / 1299,
      5,
    );
    for (const { tokens } of forwards) expect(tokens).toBeLessThanOrEqual(512);
  });

  it("an abort is noticed between the chunks of one text", async () => {
    const controller = new AbortController();
    forwards = [];
    const stopping: LanguageModel = {
      ...model,
      forward(input) {
        controller.abort();
        return model.forward(input);
      },
    };
    const rows = collect(harvest(stopping, [ids(1300)], { layers: [0], signal: controller.signal }));
    await expect(rows).rejects.toThrow(/aborted/);
    expect(forwards.length).toBe(1);
  });
});

describe("opening a model", () => {
  it("the self-check fails for a model whose files are another's", async () => {
    const model = await openModel(fixtureFolder("qwen3-tied-f32"), { threads: 1 });
    const other = await mkdtemp(join(tmpdir(), "other-"));
    await writeCheckpoint(other, model.config, initialParameters(model.config, 1), "float32");
    const check = await checkLogits(model, other, Int32Array.of(5, 6, 7));
    expect(check.passed).toBe(false);
    expect(check.relativeError).toBeGreaterThan(0.1);
    await model.close();
    await rm(other, { recursive: true });
  });

  it("a model larger than the memory granted is refused with both numbers", async () => {
    await expect(openModel(fixtureFolder("qwen3-tied-f32"), { maxBytes: 1000 })).rejects.toThrow(
      /needs \d+ bytes.*1000 are granted/,
    );
  });

  it("a sequence beyond the context, an unknown id and an unknown layer are refused", async () => {
    const model = await openModel(fixtureFolder("qwen3-tied-f32"), { threads: 1 });
    const rows = (ids: Int32Array, layers: number[]) => collect(harvest(model, [ids], { layers }));
    await expect(rows(new Int32Array(513), [0])).rejects.toThrow(/513 tokens, the model's context 512/);
    await expect(rows(Int32Array.of(320), [0])).rejects.toThrow(/id 320; the vocabulary has 320/);
    await expect(rows(Int32Array.of(1), [3])).rejects.toThrow(/layer 3/);
    await expect(rows(new Int32Array(), [0])).rejects.toThrow(/empty/);
    await model.close();
  });
});
