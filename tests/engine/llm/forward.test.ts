import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyValueCache } from "../../../engine/llm/cache.ts";
import { initialParameters, writeCheckpoint } from "../../../engine/llm/checkpoint.ts";
import { crossEntropyNats } from "../../../engine/llm/cross-entropy.ts";
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
      const zeroed = await crossEntropyNats(model, sequences, {
        layer,
        splice: async (rows) => new Float32Array(rows.length),
      });
      expect(Math.abs(zeroed - clean)).toBeGreaterThan(0.01);
    }
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
