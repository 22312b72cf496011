import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createFeatureIndex, type FeatureIndex } from "../../../engine/features/feature-index.ts";
import { nearestDirections } from "../../../engine/features/nearest-directions.ts";
import { binEdge, binOfBits } from "../../../engine/features/value-bins.ts";
import { harvest } from "../../../engine/llm/harvest.ts";
import { logitLens } from "../../../engine/llm/logit-lens.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import { readSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { type OpenedSae, openSae } from "../../../engine/sae/open-sae.ts";

/** By transformers, SAELens and numpy: tests/fixtures/feature-index/make.py. */
interface Expected {
  readonly layer: number;
  readonly top: number;
  readonly tokens: number;
  readonly sequences: readonly number[][];
  readonly features: readonly {
    readonly firing_count: number;
    readonly firing_rate: number;
    readonly mean: number;
    readonly mean_when_active: number | null;
    readonly max_activation: number;
    readonly first_position_rate: number;
    readonly first_position_max: number;
    readonly dense: boolean;
    readonly register: boolean;
    readonly lowest_bin: number;
    readonly counts: readonly number[];
    readonly top: readonly { value: number; sample: number; position: number; values: number[]; ids: number[] }[];
    readonly peaks: number;
    readonly octaves: readonly number[];
    readonly promoted: readonly [number, number][];
    readonly suppressed: readonly [number, number][];
    readonly neighbours: readonly [number, number][];
  }[];
}
const folder = "tests/fixtures/feature-index";
const expected: Expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8"));
const width = expected.features.length;
const sizes = { width, top: expected.top, perBand: 3, before: 3, after: 2, seed: 0 };
const sequences = expected.sequences.map((ids) => Int32Array.from(ids));

let model: LanguageModel;
let sae: OpenedSae;
beforeAll(async () => {
  model = await openModel("tests/fixtures/models/qwen3-tied-f32", { threads: 1 });
  sae = await openSae((await readSaelens(`${folder}/sae`)).sae, { threads: 1 });
});
afterAll(async () => {
  await model.close();
  await sae.close();
});

/** The sequences numbered `from` … `to` − 1, batch by batch. */
async function read(index: FeatureIndex, from: number, to: number, batchTokens: number): Promise<void> {
  const part = sequences.slice(from, to);
  for await (const batch of harvest(model, part, { layers: [expected.layer], batchTokens }))
    index.add(batch, await sae.encode(batch.activations[0]!), (sequence) => ({ sample: from + sequence, start: 0 }));
}

async function indexed(changes: Partial<typeof sizes> = {}): Promise<FeatureIndex> {
  const index = createFeatureIndex({ ...sizes, ...changes });
  await read(index, 0, sequences.length, 200);
  return index;
}

const close = (a: number, b: number) => Math.abs(a - b) <= 1e-5 + 1e-4 * Math.abs(b);

describe("what an index counts", () => {
  test("rates, means, maxima and flags are those of a dense computation elsewhere", async () => {
    const { tallies } = await indexed();
    expect(tallies.arrays.seen).toEqual(Float64Array.of(expected.tokens, sequences.length));
    for (const [feature, wanted] of expected.features.entries()) {
      const got = tallies.numbersOf(feature);
      expect(got, `${feature}`).toMatchObject({
        firingCount: wanted.firing_count,
        dense: wanted.dense,
        register: wanted.register,
      });
      for (const [a, b] of [
        [got.firingRate, wanted.firing_rate],
        [got.mean, wanted.mean],
        [got.meanWhenActive ?? -1, wanted.mean_when_active ?? -1],
        [got.maxActivation, wanted.max_activation],
        [got.firstPositionRate, wanted.first_position_rate],
        [got.firstPositionMax, wanted.first_position_max],
      ] as const)
        expect(close(a, b), `feature ${feature}: ${a} instead of ${b}`).toBe(true);
    }
    expect(expected.features.filter((one) => one.register).length).toBeGreaterThan(0);
    expect(expected.features.filter((one) => one.firing_count === 0).length).toBeGreaterThan(0);
  });

  test("the histogram has four bins to the octave, and every active token in one", async () => {
    const { tallies } = await indexed();
    let moved = 0;
    for (const [feature, { lowest_bin, counts }] of expected.features.entries()) {
      const got = tallies.histogramOf(feature);
      expect(got.counts.reduce((sum, count) => sum + count, 0)).toBe(tallies.numbersOf(feature).firingCount);
      if (counts.length === 0) {
        expect(got).toEqual({ edges: [], counts: [] });
        continue;
      }
      expect(got.edges).toHaveLength(got.counts.length + 1);
      const first = Math.round(4 * Math.log2(got.edges[0]!)) - lowest_bin;
      // A value within rounding of an edge may fall to either side of it.
      counts.forEach((count, bin) => {
        moved += Math.abs(count - (got.counts[bin - first] ?? 0));
      });
    }
    expect(moved).toBeLessThanOrEqual(4);
  });

  test("a quantile is the share of active tokens up to the value's bin", async () => {
    const { tallies } = await indexed();
    expect(tallies.quantileOf(0, tallies.numbersOf(0).maxActivation)).toBe(1);
    expect(tallies.quantileOf(0, 1e-9)).toBe(0);
    expect(tallies.quantileOf(2, 1)).toBe(0);
  });
});

test("a bin holds what lies between its edges", () => {
  const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
  for (const value of [2 ** -11.9, 0.3, 0.999, 1, 1.18, 1.19, 1.42, 1.69, 3, 1000, 2 ** 19.9]) {
    const bin = binOfBits(bitsOf(value));
    expect(binEdge(bin)).toBeLessThanOrEqual(value);
    expect(binEdge(bin + 1)).toBeGreaterThan(value);
  }
  expect([binOfBits(bitsOf(1e-30)), binOfBits(bitsOf(1e30))]).toEqual([0, 127]);
});

describe("the examples of a feature", () => {
  test("are the strongest sequences, at their strongest token, with the feature's values around it", async () => {
    const { examples } = await indexed();
    for (const [feature, { top }] of expected.features.entries()) {
      const got = examples.of(feature).filter((one) => one.band === 0);
      expect(got.map(({ sample, position }) => [sample, position])).toEqual(
        top.map((one) => [one.sample, one.position]),
      );
      for (const [i, one] of got.entries()) {
        const wanted = top[i]!;
        expect([...one.tokens]).toEqual(wanted.ids);
        expect(one.tokens[one.at]).toBe(sequences[one.sample]![one.position]);
        wanted.values.forEach((value, t) => {
          expect(close(one.values[t]!, value)).toBe(true);
        });
      }
    }
  });

  test("and some from each octave below, drawn by the seed", async () => {
    const { examples } = await indexed({ top: 0 });
    let drawn = 0;
    for (const [feature, { octaves, peaks }] of expected.features.entries()) {
      const got = examples.of(feature);
      drawn += got.length;
      if (peaks === 0) continue;
      const highest = octaves[0]!;
      for (const one of got) expect(Math.floor(Math.log2(one.value))).toBe(highest - one.band + 1);
      const wanted = octaves.filter((octave) => octave > highest - 4).map((octave) => highest - octave + 1);
      expect([...new Set(got.map((one) => one.band))]).toEqual(wanted);
    }
    expect(drawn).toBeGreaterThan(width);
    const other = (await indexed({ top: 0, seed: 1 })).examples;
    const places = (from: typeof examples) =>
      expected.features.map((_, f) => from.of(f).map(({ sample, position }) => `${sample}:${position}`));
    expect(places(other)).not.toEqual(places(examples));
  });

  test("show text that repeats itself once", async () => {
    const index = createFeatureIndex(sizes);
    const again = Array.from({ length: 12 }, () => sequences[3]!);
    for await (const batch of harvest(model, again, { layers: [expected.layer] }))
      index.add(batch, await sae.encode(batch.activations[0]!), (sample) => ({ sample, start: 100 }));
    const shown = index.examples.of(0);
    expect(shown.filter((one) => one.band === 0)).toHaveLength(1);
    expect(shown[0]).toMatchObject({ sample: 0 });
    expect(shown[0]!.position).toBeGreaterThan(100);
  });
});

test("an index does not depend on how its sequences are batched, nor on a stop between two of them", async () => {
  const whole = await indexed();
  const parts = createFeatureIndex(sizes);
  await read(parts, 0, 11, 40);
  const copy = Object.fromEntries(Object.entries(parts.arrays()).map(([name, array]) => [name, array.slice()]));
  await read(parts, 11, sequences.length, 40);
  const resumed = createFeatureIndex(sizes);
  resumed.restore(copy);
  await read(resumed, 11, sequences.length, 60);
  expect(parts.arrays()).toEqual(whole.arrays());
  expect(resumed.arrays()).toEqual(whole.arrays());
  const { fired_F: _, ...missing } = copy;
  expect(() => createFeatureIndex(sizes).restore(missing as typeof copy)).toThrow(
    /fired_F: expected 40 numbers, got none/,
  );
});

test("the logit lens finds the tokens that the model's own norm and head find", async () => {
  const { W_dec_FD } = sae.sae;
  const lens = await logitLens(model, W_dec_FD, { count: 5 });
  for (const [end, key] of [
    [lens.promoted, "promoted"],
    [lens.suppressed, "suppressed"],
  ] as const) {
    for (const [feature, wanted] of expected.features.entries()) {
      const at = (i: number) => feature * 5 + i;
      if (wanted[key].length === 0) expect(end.id_FK[at(0)]).toBe(-1);
      for (const [i, [id, logit]] of wanted[key].entries()) {
        expect([feature, end.id_FK[at(i)]]).toEqual([feature, id]);
        expect(close(end.logit_FK[at(i)]!, logit)).toBe(true);
      }
    }
  }
});

test("the nearest directions are those of largest cosine, in blocks as at once", async () => {
  const { W_dec_FD, dModel } = sae.sae;
  const nearest = await nearestDirections(W_dec_FD, dModel, { count: 3 });
  for (const [feature, { neighbours }] of expected.features.entries()) {
    const at = (i: number) => feature * 3 + i;
    if (neighbours.length === 0) expect(nearest.index_FK[at(0)]).toBe(-1);
    for (const [i, [index, cosine]] of neighbours.entries()) {
      expect(nearest.index_FK[at(i)]).toBe(index);
      expect(nearest.cosine_FK[at(i)]).toBeCloseTo(cosine, 5);
    }
  }
  const alone = await nearestDirections(W_dec_FD.subarray(0, dModel), dModel, { count: 3 });
  expect(alone).toMatchObject({ count: 0 });
});
