import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../../engine/runtime/random.ts";
import { noThreshold, updateThreshold } from "../../../engine/sae/architectures/batch-topk.ts";
import { defaultPrefixes } from "../../../engine/sae/architectures/matryoshka.ts";
import { architectureNames } from "../../../engine/sae/architectures/names.ts";
import { parseCheckpoint, serializeCheckpoint } from "../../../engine/sae/checkpoint.ts";
import { kAt, resolveConfig, type TrainingOptions } from "../../../engine/sae/config.ts";
import { TrainingUnstable } from "../../../engine/sae/instability.ts";
import { readSaelens, writeSaelens } from "../../../engine/sae/layouts/saelens.ts";
import { openSae } from "../../../engine/sae/open-sae.ts";
import { createTrainer, type StepReport, type Trainer } from "../../../engine/sae/trainer.ts";
import { activationBatches, createSparseWorld, drawRows } from "./synthetic.ts";

const world = createSparseWorld({ dModel: 20, features: 30 });
// As in trainer.test.ts, with k annealed where there is a k, and bands wide enough to move thresholds in 24 steps.
const options = (architecture: (typeof architectureNames)[number], layer = 0): TrainingOptions => ({
  architecture,
  layer,
  dModel: 20,
  width: 64,
  k: 3,
  ...(architecture === "jumprelu" ? { bandwidth: 0.1, startThreshold: 0.05 } : { kStart: 8, kAnnealSteps: 10 }),
  rows: 24 * 128,
  batchRows: 128,
  microBatchRows: 64,
  bufferRows: 512,
  learningRate: 3e-3,
  deadAfterRows: 300,
  auxK: 8,
  auxCoefficient: 1 / 32,
  seed: 11,
});
const stream = () => [...activationBatches(world, { rows: 5000, batch: 200 })];

async function feed(trainer: Trainer, batches = stream()): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  for (const batch of batches) reports.push(...(await trainer.add(batch)));
  return [...reports, ...(await trainer.finish())];
}

const bytesOf = (trainer: Trainer) => Buffer.concat([...serializeCheckpoint(trainer.snapshot())]);

for (const architecture of architectureNames) {
  describe(`${architecture} in training`, () => {
    it("gives the same bits with 1 and 2 threads, and resumed from a checkpoint at any point", async () => {
      const undisturbed = await createTrainer({ saes: [options(architecture)], threads: 1 });
      const reports = await feed(undisturbed);
      expect(reports).toHaveLength(24);
      expect(reports.at(-1)!.loss).toBeLessThan(reports[0]!.loss);
      const expected = bytesOf(undisturbed);
      await undisturbed.close();

      const other = await createTrainer({ saes: [options(architecture)], threads: 2 });
      await feed(other);
      expect(bytesOf(other).equals(expected)).toBe(true);
      await other.close();

      const batches = stream();
      for (const stop of [3, 9, 17]) {
        const first = await createTrainer({ saes: [options(architecture)], threads: 1 });
        for (const batch of batches.slice(0, stop)) await first.add(batch);
        const bytes = bytesOf(first);
        await first.close();
        const { state } = parseCheckpoint(bytes);
        const second = await createTrainer({ saes: [options(architecture)], threads: 1 }, state);
        await feed(second, batches.slice(stop));
        expect(bytesOf(second).equals(expected), `stopped after ${stop} batches`).toBe(true);
        await second.close();
      }
    });

    it("ends in an sae whose rule and files give the activations it was trained to give", async () => {
      const trainer = await createTrainer({ saes: [options(architecture)], threads: 1 });
      await feed(trainer);
      const sae = trainer.sae(0);
      const isSparse = architecture === "topk" || architecture === "matryoshka_topk";
      expect(sae.rule.kind).toBe(isSparse ? "topk" : "jumprelu");
      if (sae.rule.kind === "topk") expect(sae.rule.k).toBe(3);
      if (architecture === "batch_topk")
        expect(new Set((sae.rule as { threshold_F: Float32Array }).threshold_F).size).toBe(1);

      const folder = await mkdtemp(join(tmpdir(), "qwen-scope-architecture-"));
      await writeSaelens(folder, sae);
      const read = (await readSaelens(folder)).sae;
      expect(read).toEqual(sae);
      await rm(folder, { recursive: true });

      const rows_BD = drawRows(world, 256, createRandom("unseen"));
      const [made, opened] = [await openSae(sae), await openSae(read)];
      const active = await made.encode(rows_BD);
      expect(await opened.encode(rows_BD)).toEqual(active);
      await made.close();
      await opened.close();
      await trainer.close();
    });
  });
}

describe("k", () => {
  it("falls linearly from its start to its end and stays there", () => {
    const config = resolveConfig(options("topk"));
    expect([0, 1, 5, 9, 10, 23].map((step) => kAt(config, step))).toEqual([8, 8, 6, 4, 3, 3]);
  });

  it("is what the steps have active", async () => {
    const trainer = await createTrainer({ saes: [options("batch_topk")], threads: 1 });
    const l0 = (await feed(trainer)).map((report) => report.l0);
    expect(l0[0]).toBe(8);
    expect(l0[23]).toBe(3);
    await trainer.close();
  });
});

it("the running threshold is the mean of what it was shown, the last ones weighing most", () => {
  let running = noThreshold;
  for (let i = 0; i < 5; i++) running = updateThreshold(running, 0.25, 0.9);
  expect(running.sum / running.weight).toBeCloseTo(0.25, 12);
  running = updateThreshold(running, 1, 0);
  expect(running.sum / running.weight).toBe(1);
});

it("nested dictionaries are five shares of the width, fewer where a share would be empty", () => {
  expect(defaultPrefixes(2048)).toEqual([64, 192, 448, 960, 2048]);
  expect(defaultPrefixes(4)).toEqual([1, 2, 4]);
});

describe("a batch that must not be learned from", () => {
  const spoil = (value: number) => {
    const batches = stream();
    batches[10]!.activations[0]!.fill(value, 3 * 20, 4 * 20);
    return batches;
  };

  it("is named with its sae, step and batch when a pre-activation is not finite", async () => {
    // Finite itself, and no filter leaves it out: its products are what overflows.
    const saes = [{ ...options("topk"), normFactor: Number.MAX_VALUE, scaleInput: false }];
    const trainer = await createTrainer({ saes, threads: 1 });
    const error = await feed(trainer, spoil(3e38)).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(TrainingUnstable);
    expect(error).toMatchObject({ reason: "step_not_finite", sae: 0 });
    expect(error.step).toBe(trainer.progress.done + 1);
    expect(error.batch).toBe(error.step);
    expect(trainer.sae(0).W_enc_FD.every(Number.isFinite)).toBe(true);
    await trainer.close();
  });

  it("is drawn and left out when it is to be skipped, and the run makes all its steps", async () => {
    const skip = [{ sae: 0, batch: 5 }];
    const trainer = await createTrainer({ saes: [options("topk")], threads: 1, skip });
    const reports = await feed(trainer, [...activationBatches(world, { rows: 6000, batch: 200 })]);
    expect(reports.map((report) => report.step)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
    expect(trainer.snapshot().saes[0]!.batchesSkipped).toBe(1);
    await trainer.close();
  });
});
