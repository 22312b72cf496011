import { describe, expect, it } from "vitest";
import { parseCheckpoint, serializeCheckpoint } from "../../../engine/sae/checkpoint.ts";
import type { TrainingOptions } from "../../../engine/sae/config.ts";
import { createTrainer, type StepReport, type Trainer } from "../../../engine/sae/trainer.ts";
import { activationBatches, createSparseWorld } from "./synthetic.ts";

const world = createSparseWorld({ dModel: 20, features: 30 });
// Small buffers and an early death, so that AuxK, decay, refilling and the filter all happen within 24 steps.
const options = (layer: number, width = 64): TrainingOptions => ({
  layer,
  dModel: 20,
  width,
  k: 3,
  rows: 24 * 128,
  batchRows: 128,
  microBatchRows: 64,
  bufferRows: 512,
  learningRate: 3e-3,
  deadAfterRows: 300,
  auxK: 8,
  seed: 11,
});
const stream = (layers: number[]) => [...activationBatches(world, { rows: 5000, batch: 200, layers })];

async function feed(trainer: Trainer, batches: ReturnType<typeof stream>): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  for (const batch of batches) reports.push(...(await trainer.add(batch)));
  return reports;
}

/** The trainer's whole state as bytes: equal bytes are equal bits of every number. */
const bytesOf = (trainer: Trainer) => Buffer.concat([...serializeCheckpoint(trainer.snapshot())]);

async function trained(threads: number, layers: number[] = [0], batches = stream(layers)) {
  const trainer = await createTrainer({ saes: layers.map((layer) => options(layer)), threads });
  const reports = [...(await feed(trainer, batches)), ...(await trainer.finish())];
  await trainer.close();
  return { trainer, reports, bytes: bytesOf(trainer) };
}

describe("training", () => {
  it("gives the same bits with 1, 2 and 4 threads", async () => {
    const runs = await Promise.all([1, 2, 4].map((threads) => trained(threads)));
    expect(runs[0]!.reports.some((step) => step.aux > 0)).toBe(true);
    expect(runs[0]!.reports).toHaveLength(24);
    for (const run of runs) {
      expect(run.reports).toEqual(runs[0]!.reports);
      expect(run.bytes.equals(runs[0]!.bytes)).toBe(true);
    }
  });

  it("gives the same bits with 1, 2 and 4 threads at the sizes of the demonstration", async () => {
    const wide = createSparseWorld({ dModel: 160, features: 400, active: 8 });
    const batches = [...activationBatches(wide, { rows: 4096, batch: 1024 })];
    const bytes: Buffer[] = [];
    for (const threads of [1, 2, 4]) {
      const sizes = { layer: 0, dModel: 160, width: 2048, k: 32, rows: 3072, batchRows: 1024, bufferRows: 1024 };
      const trainer = await createTrainer({ saes: [{ ...sizes, microBatchRows: 512, deadAfterRows: 512 }], threads });
      const reports = await feed(trainer, batches);
      expect(reports.at(-1)!.aux).toBeGreaterThan(0);
      bytes.push(bytesOf(trainer));
      await trainer.close();
    }
    expect(bytes[1]!.equals(bytes[0]!)).toBe(true);
    expect(bytes[2]!.equals(bytes[0]!)).toBe(true);
  });

  it("depends on its seed", async () => {
    const other = await createTrainer({ saes: [{ ...options(0), seed: 12 }] });
    await feed(other, stream([0]));
    expect(other.sae(0).W_enc_FD).not.toEqual((await trained(1)).trainer.sae(0).W_enc_FD);
    await other.close();
  });

  it("resumed from a checkpoint at any point goes on bit for bit as if it had not stopped", async () => {
    const undisturbed = await trained(1);
    const batches = stream([0]);
    // Before the buffer is full, just after the first step, in the middle, and after the last step.
    for (const stop of [1, 3, 9, 24]) {
      const first = await createTrainer({ saes: [options(0)], threads: 1 });
      await feed(first, batches.slice(0, stop));
      const bytes = Buffer.concat([...serializeCheckpoint(first.snapshot(), { cursor: String(stop) })]);
      await first.close();

      const { state, about } = parseCheckpoint(bytes);
      const second = await createTrainer({ saes: [options(0)], threads: 1 }, state);
      await feed(second, batches.slice(Number(about.cursor)));
      await second.finish();
      expect(bytesOf(second).equals(undisturbed.bytes), `stopped after ${stop} batches`).toBe(true);
      await second.close();
    }
  });

  it("has a checkpoint that copies no weights and no moments", async () => {
    const trainer = await createTrainer({ saes: [options(0)], threads: 1 });
    await feed(trainer, stream([0]));
    const state = trainer.snapshot();
    const parts = new Set(Array.from(serializeCheckpoint(state), (part) => part.buffer));
    const { weights, m, v } = state.saes[0]!.learner!;
    for (const tensors of [weights, m, v])
      for (const tensor of Object.values(tensors) as Float32Array[]) expect(parts.has(tensor.buffer)).toBe(true);
    await trainer.close();
  });

  it("of several saes side by side gives each the bits that it would have alone", async () => {
    const together = await createTrainer({ saes: [options(0), options(1), options(1, 96)], threads: 2 });
    await feed(together, stream([0, 1]));
    for (const [index, option] of [options(0), options(1), options(1, 96)].entries()) {
      const alone = await createTrainer({ saes: [option], threads: 2 });
      await feed(alone, stream([0, 1]));
      expect(together.sae(index)).toEqual(alone.sae(0));
      await alone.close();
    }
    await together.close();
  });

  it("does not depend on the scale of the activations, for a power of two", async () => {
    const { trainer } = await trained(1, [0]);
    const doubled = await trained(1, [1]);
    const [one, two] = [trainer.sae(0), doubled.trainer.sae(0)];
    expect(two.W_enc_FD).toEqual(one.W_enc_FD);
    expect(two.b_dec_D).toEqual(one.b_dec_D.map((bias) => 2 * bias));
  });

  it("keeps every decoder row at length 1", async () => {
    const { W_dec_FD } = (await trained(1)).trainer.sae(0);
    for (let f = 0; f < 64; f++) {
      expect(Math.hypot(...W_dec_FD.subarray(f * 20, (f + 1) * 20))).toBeCloseTo(1, 6);
    }
  });

  it("counts its steps and stops after the last, however many rows come", async () => {
    const { trainer, reports } = await trained(1);
    expect(trainer.done).toBe(true);
    expect(trainer.progress).toEqual({ done: 24, total: 24 });
    expect(reports.map((report) => report.step)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
    expect(reports.at(-1)!.rows).toBe(24 * 128);
    expect(reports.at(-1)!.fvu).toBeLessThan(reports[0]!.fvu);
  });

  it("from fewer rows than the buffer holds still learns from them at the end", async () => {
    const trainer = await createTrainer({ saes: [options(0)] });
    expect(await feed(trainer, stream([0]).slice(0, 2))).toEqual([]);
    expect(() => trainer.sae(0)).toThrow(/has not begun/);
    const kept = 400 - 25; // position 0 of each sequence of 16 is left out
    expect(await trainer.finish()).toHaveLength(Math.floor(kept / 128));
    await trainer.close();
  });
});

describe("a trainer refuses", () => {
  it("a checkpoint made under other options, by the knob", async () => {
    const first = await createTrainer({ saes: [options(0)] });
    const state = first.snapshot();
    await expect(createTrainer({ saes: [{ ...options(0), k: 4 }] }, state)).rejects.toThrow(/with k 3, not 4/);
    await first.close();
  });

  it("a batch without its layer", async () => {
    const trainer = await createTrainer({ saes: [options(2)] });
    await expect(trainer.add(stream([0, 1])[0]!)).rejects.toThrow(/layer 2 is not in the batch, which has 0, 1/);
    await trainer.close();
  });

  it("activations that are not finite, by the row", async () => {
    const trainer = await createTrainer({ saes: [options(0)] });
    const batch = stream([0])[0]!;
    batch.activations[0]![7 * 20 + 3] = Number.NaN;
    await expect(trainer.add(batch)).rejects.toThrow(/activations of layer 0 must be finite, got NaN in row 7/);
    await trainer.close();
  });

  it("bytes that are not its checkpoint, or lack a tensor, by its name", async () => {
    const { bytes } = await trained(1);
    const header = bytes.toString("latin1", 0, 400_000);
    const renamed = Buffer.from(bytes);
    renamed.write("0.m.W_enc_FX", header.indexOf("0.m.W_enc_FD"), "latin1");
    expect(() => parseCheckpoint(renamed)).toThrow(/0\.m\.W_enc_FD" is missing/);
    const other = Buffer.from(bytes);
    other.write("training-9", header.indexOf("training-2"), "latin1");
    expect(() => parseCheckpoint(other)).toThrow(/not a training checkpoint/);
  });
});
