import { expect, it } from "vitest";
import { createRandom } from "../../../engine/runtime/random.ts";
import { createEvaluation } from "../../../engine/sae/metrics.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { createTrainer } from "../../../engine/sae/trainer.ts";
import { activationBatches, createSparseWorld, drawRows, type SparseWorld } from "./synthetic.ts";

/** For each true direction the best cosine with a decoder row, averaged. Both are of unit length. */
function meanMaxCosine({ directions_GD, dModel }: SparseWorld, W_dec_FD: Float32Array): number {
  const features = directions_GD.length / dModel;
  let sum = 0;
  for (let g = 0; g < features; g++) {
    let best = -1;
    for (let f = 0; f < W_dec_FD.length; f += dModel) {
      let cosine = 0;
      for (let d = 0; d < dModel; d++) cosine += directions_GD[g * dModel + d]! * W_dec_FD[f + d]!;
      best = Math.max(best, cosine);
    }
    sum += best;
  }
  return sum / features;
}

it("training recovers the directions that made the data, where untrained weights do not", async () => {
  const world = createSparseWorld({ dModel: 24, features: 48, active: 3 });
  const rows = 300_000;
  const sizes = { layer: 0, dModel: 24, width: 96, k: 3, rows, batchRows: 512, bufferRows: 2048 };
  const trainer = await createTrainer({ saes: [{ ...sizes, learningRate: 3e-3, deadAfterRows: 20_000 }] });
  let untrained = Number.NaN;
  for (const batch of activationBatches(world, { rows: rows * 1.08, batch: 1024 })) {
    const [first] = await trainer.add(batch);
    if (first?.step === 1) untrained = meanMaxCosine(world, trainer.sae(0).W_dec_FD);
  }
  const sae = trainer.sae(0);
  expect(untrained).toBeLessThan(0.7);
  expect(meanMaxCosine(world, sae.W_dec_FD)).toBeGreaterThan(0.95);

  // The same sae on rows that it has not seen.
  const opened = await openSae(sae);
  const evaluation = createEvaluation(opened, { medianNorm: trainer.medianNorm(0) });
  await evaluation.add(drawRows(world, 2000, createRandom("held out")), new Int32Array(2000).fill(1));
  const { all } = evaluation.result();
  expect(all.fractionVarianceUnexplained).toBeLessThan(0.1);
  expect(all.meanCosine).toBeGreaterThan(0.95);
  await opened.close();
  await trainer.close();
});

// BatchTopK needs longer: where the largest activations of a batch are, there its gradients are, and rows that are
// explained badly get none at first.
for (const [architecture, rows, more] of [
  ["batch_topk", 400_000, {}],
  ["matryoshka_topk", 300_000, {}],
  // Wider than the default: 585 steps of 512 rows would hardly move a threshold by a band of 0.001.
  ["jumprelu", 300_000, { bandwidth: 0.05, startThreshold: 0.01 }],
] as const) {
  it(`${architecture} recovers them too, with about k features active in rows that it has not seen`, async () => {
    const world = createSparseWorld({ dModel: 24, features: 48, active: 3 });
    const sizes = { layer: 0, dModel: 24, width: 96, k: 3, rows, batchRows: 512, bufferRows: 2048 };
    const options = { ...sizes, ...more, architecture, learningRate: 2e-2, deadAfterRows: 20_000 };
    const trainer = await createTrainer({ saes: [options] });
    for (const batch of activationBatches(world, { rows: rows * 1.08, batch: 1024 })) await trainer.add(batch);
    const sae = trainer.sae(0);
    expect(meanMaxCosine(world, sae.W_dec_FD)).toBeGreaterThan(0.95);

    const opened = await openSae(sae);
    const evaluation = createEvaluation(opened, { medianNorm: trainer.medianNorm(0) });
    await evaluation.add(drawRows(world, 2000, createRandom("held out")), new Int32Array(2000).fill(1));
    const { all } = evaluation.result();
    expect(all.fractionVarianceUnexplained).toBeLessThan(0.12);
    expect(all.l0PerRow).toBeGreaterThan(2.8);
    expect(all.l0PerRow).toBeLessThan(3.3);
    await opened.close();
    await trainer.close();
  });
}
