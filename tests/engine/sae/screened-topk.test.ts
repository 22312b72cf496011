import { describe, expect, it } from "vitest";
import { openDenseTopK } from "../../../engine/sae/architectures/topk.ts";
import { zeroTensors } from "../../../engine/sae/kernels/memory.ts";
import { canBeScreened, openScreenedTopK, type Screening } from "../../../engine/sae/screened-topk.ts";
import type { BatchShape, SaeTensors, Selection } from "../../../engine/sae/workspace.ts";
import { normals } from "./support.ts";

const shape: BatchShape = { dModel: 128, width: 2048, k: 10, batchRows: 64, microBatchRows: 32, auxK: 1 };
const { dModel: D, width: F, k, batchRows: B } = shape;

function randomWeights(): SaeTensors {
  const weights = zeroTensors(D, F, "weights");
  weights.W_enc_FD.set(normals(F * D, 1, 0.1));
  weights.b_enc_F.set(normals(F, 2, 0.3));
  return weights;
}

const offset_D = normals(D, 3, 4);
const centred_BD = normals(B * D, 4);
const data: Readonly<Record<string, Float32Array>> = {
  "around an offset": centred_BD.map((x, i) => x + offset_D[i % D]!),
  "with a few dimensions far larger than the rest": centred_BD.map((x, i) => (i % D < 3 ? 300 * x : x)),
  "with long tails": centred_BD.map((x) => x ** 5),
};

const open = async (threads: number) =>
  openScreenedTopK(shape, { threads }, await openDenseTopK({ ...shape, batchRows: 32 }, { threads }));

/** The k largest positive pre-activations of a row in float64, and how far the last of them is above the next. */
function largest(weights: SaeTensors, x_BD: Float32Array, b: number, count: number) {
  const pre = Array.from({ length: F }, (_, f) => {
    let sum = weights.b_enc_F[f]!;
    for (let d = 0; d < D; d++) sum += weights.W_enc_FD[f * D + d]! * x_BD[b * D + d]!;
    return { f, value: sum };
  });
  const ranked = pre.filter(({ value }) => value > 0).sort((p, q) => q.value - p.value);
  const gap = ranked.length <= count ? Infinity : ranked[count - 1]!.value - ranked[count]!.value;
  return { chosen: ranked.slice(0, count).sort((p, q) => p.f - q.f), gap };
}

const rowOf = ({ offsets_B, features, z }: Selection, b: number) =>
  Array.from(features.subarray(offsets_B[b]!, offsets_B[b + 1]!), (f, i) => ({ f, value: z[offsets_B[b]! + i]! }));

async function expectLargest(screening: Screening, weights: SaeTensors, x_BD: Float32Array, count: number) {
  const selection = await screening.select(weights, x_BD, count);
  let clear = 0;
  for (let b = 0; b < B; b++) {
    const { chosen, gap } = largest(weights, x_BD, b, count);
    const found = rowOf(selection, b).sort((p, q) => p.f - q.f);
    expect(found).toHaveLength(chosen.length);
    // Nearer than float32 can tell, either feature is right.
    const size = Math.abs(chosen[0]?.value ?? 1);
    if (gap < 1e-5 * size) continue;
    clear++;
    expect(found.map(({ f }) => f)).toEqual(chosen.map(({ f }) => f));
    for (const [i, { value }] of found.entries()) expect(Math.abs(value - chosen[i]!.value)).toBeLessThan(1e-4 * size);
  }
  expect(clear).toBeGreaterThan(B / 2);
}

describe("screening by 8-bit products selects exactly the largest pre-activations", () => {
  for (const [title, x_BD] of Object.entries(data)) {
    it(`of rows ${title}`, async () => {
      const screening = await open(2);
      const weights = randomWeights();
      await expectLargest(screening, weights, x_BD, k);
      await expectLargest(screening, weights, x_BD, 3);
      const { rows, candidates, overflows } = screening.counts;
      expect(rows).toBe(2 * B);
      // Bounds that let everything through would be of no use.
      if (overflows === 0) expect(candidates / rows).toBeLessThan(F / 8);
      await screening.close();
    });
  }

  it("also of features that read what rounding takes from a row whole", async () => {
    // One dimension sets the scale of the integers, so all others round to 0. Odd features are rows of the data in these others: their
    // pre-activations are the largest, and the integers say 0 of them. Of the even ones some read the large dimension.
    const [dModel, width, rows] = [1024, 1024, 32];
    const wide = { ...shape, dModel, width, batchRows: rows, microBatchRows: 32 };
    const dense = await openDenseTopK(wide, { threads: 2 });
    const screening = await openScreenedTopK(wide, { threads: 2 }, dense);
    const x_BD = normals(rows * dModel, 6).map((x, i) => (i % dModel === 0 ? 1000 + 30 * x : x));
    for (let b = 0; b < rows; b += 2) x_BD[b * dModel] = -1000;
    const weights = zeroTensors(dModel, width, "weights");
    const noise = normals(width * dModel, 7, 0.005);
    for (let i = 0; i < width * dModel; i++) {
      const [f, d] = [Math.floor(i / dModel), i % dModel];
      const large = f % 16 === 0 ? 0.012 : f % 16 === 8 ? -0.012 : 0;
      const small = f % 2 === 1 ? x_BD[(f % rows) * dModel + d]! / 32 : 0;
      weights.W_enc_FD[i] = d === 0 ? large : small + noise[i]!;
    }
    const expected = await dense.select(weights, x_BD, k);
    const [features, z] = [expected.features.slice(), expected.z.slice()];
    const found = await screening.select(weights, x_BD, k);
    for (let b = 0; b < rows; b++) {
      const ascending = (all: Int32Array) => Array.from(all.subarray(b * k, (b + 1) * k)).sort((p, q) => p - q);
      expect(ascending(found.features), `row ${b}`).toEqual(ascending(features));
    }
    expect(Math.max(...z)).toBeGreaterThan(25);
    await screening.close();
  });

  it("also where fewer than k are positive", async () => {
    const screening = await open(2);
    const weights = randomWeights();
    weights.b_enc_F.fill(-4);
    await expectLargest(
      screening,
      weights,
      data["around an offset"]!.map((x) => x / 4),
      k,
    );
    await screening.close();
  });

  it("also where the bounds leave too many candidates, which a dense product then ranks", async () => {
    const screening = await open(2);
    const weights = randomWeights();
    // One weight of each feature dwarfs the others, and no row uses that dimension: integers say nothing of the rest.
    const x_BD = centred_BD.slice();
    for (let f = 0; f < F; f++) weights.W_enc_FD[f * D] = 1e4;
    for (let b = 0; b < B; b++) x_BD[b * D] = 0;
    await expectLargest(screening, weights, x_BD, k);
    expect(screening.counts.overflows).toBe(2);
    await screening.close();
  });
});

it("screening gives the same bits with 1, 2 and 3 threads", async () => {
  const weights = randomWeights();
  const selections = [];
  for (const threads of [1, 2, 3]) {
    const screening = await open(threads);
    const { offsets_B, features, z } = await screening.select(weights, data["with long tails"]!, k);
    selections.push({ offsets_B: offsets_B.slice(), features: features.slice(), z: z.slice() });
    await screening.close();
  }
  expect(selections[1]).toEqual(selections[0]);
  expect(selections[2]).toEqual(selections[0]);
});

it("screening refuses a row that makes a pre-activation infinite, by its number", async () => {
  const screening = await open(1);
  const x_BD = centred_BD.slice();
  x_BD.fill(3e38, 40 * D, 41 * D);
  await expect(screening.select(randomWeights(), x_BD, k)).rejects.toThrow(/pre-activations of row \d+ are not finite/);
  await screening.close();
});

it("a width of few groups, or rows of odd size, are not screened", () => {
  expect(canBeScreened(shape)).toBe(true);
  expect(canBeScreened({ ...shape, width: 64 })).toBe(false);
  expect(canBeScreened({ ...shape, dModel: 100 })).toBe(false);
});
