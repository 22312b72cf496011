import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { crossEntropyNats } from "../../../engine/llm/cross-entropy.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import { spliceScores } from "../../../engine/llm/splice-scores.ts";
import { fixtureFolder } from "./fixtures.ts";

interface Reference {
  readonly sequences: readonly number[][];
  readonly clean: number;
  readonly layers: readonly Record<"zero" | "half", { crossEntropyNats: number; divergenceNats: number }>[];
}

const path = fileURLToPath(new URL("../../fixtures/models/splice.json", import.meta.url));
const reference = JSON.parse(readFileSync(path, "utf8")) as Reference;
const sequences = reference.sequences.map((ids) => Int32Array.from(ids));
const zero = async (rows: Float32Array) => new Float32Array(rows.length);
const half = async (rows: Float32Array) => rows.map((x) => 0.5 * x + 0.01);

let model: LanguageModel;
beforeAll(async () => {
  model = await openModel(fixtureFolder("qwen3-tied-f32"), { threads: 1 });
});
afterAll(() => model.close());

it("cross-entropies and divergences with a layer replaced are those that transformers gives, at every layer", async () => {
  for (const [layer, wanted] of reference.layers.entries()) {
    const { clean, spliced } = await spliceScores(model, sequences, layer, [zero, half]);
    expect(clean).toBeCloseTo(reference.clean, 4);
    for (const [i, score] of [wanted.zero, wanted.half].entries()) {
      expect(spliced[i]!.crossEntropyNats).toBeCloseTo(score.crossEntropyNats, 4);
      expect(spliced[i]!.divergenceNats).toBeCloseTo(score.divergenceNats, 5);
    }
  }
});

it("a splice that changes nothing costs nothing, and gets the rows of real tokens with their positions", async () => {
  const positions: number[] = [];
  const same = async (rows: Float32Array, position: Int32Array) => {
    positions.push(...position);
    return rows;
  };
  let steps = 0;
  const { clean, spliced } = await spliceScores(model, sequences, 1, [same], {
    step: async () => {
      steps++;
    },
  });
  expect(positions).toEqual(sequences.flatMap((ids) => [...ids.keys()]));
  expect(spliced[0]!.crossEntropyNats).toBeCloseTo(clean, 6);
  expect(spliced[0]!.divergenceNats).toBeCloseTo(0, 6);
  expect(clean).toBeCloseTo(await crossEntropyNats(model, sequences), 5);
  expect(steps).toBeGreaterThan(0);
});

it("a layer that is not there and texts without a next token are refused", async () => {
  await expect(spliceScores(model, sequences, 3, [zero])).rejects.toThrow(/layer 3 is not among the model's 3/);
  await expect(spliceScores(model, [Int32Array.of(1)], 0, [zero])).rejects.toThrow(/at least two tokens/);
});
