import { describe, expect, it } from "vitest";
import { createBatchSelection } from "../../../engine/sae/architectures/batch-selection.ts";
import { openBatchTopK } from "../../../engine/sae/architectures/batch-topk.ts";
import { openJumpRelu } from "../../../engine/sae/architectures/jumprelu.ts";
import { openTopK } from "../../../engine/sae/architectures/topk.ts";
import { createAuxLoss } from "../../../engine/sae/aux-loss.ts";
import { zeroTensors } from "../../../engine/sae/kernels/memory.ts";
import { createSparseWorkspace } from "../../../engine/sae/sparse-workspace.ts";
import type { BatchShape, GradientWorkspace, StepSettings } from "../../../engine/sae/workspace.ts";
import { openSafetensors, readTensorFloat32 } from "../../../formats/safetensors.ts";
import { normals } from "./support.ts";

// Losses and gradients by torch and sae-lens: tests/fixtures/saes/losses.py says how.
const file = await openSafetensors(new URL("../../fixtures/saes/losses.safetensors", import.meta.url).pathname);
const read = (name: string) => readTensorFloat32(file, name);
const [B, D, F, K] = [12, 8, 24, 4];
const shape: BatchShape = { dModel: D, width: F, k: K, batchRows: B, microBatchRows: 4, auxK: 3 };
const x_BD = await read("x");
const weights = {
  W_enc_FD: await read("W_enc"),
  b_enc_F: await read("b_enc"),
  W_dec_FD: await read("W_dec"),
  b_dec_D: await read("b_dec"),
};
const runsOn = { threads: 1 };
const parts = () => ({ gradients: zeroTensors(D, F, "gradients"), aux: createAuxLoss(shape, runsOn) });

const architectures: Record<string, { open(): Promise<GradientWorkspace>; settings?: Partial<StepSettings> }> = {
  topk: {
    open: async () =>
      createSparseWorkspace(shape, runsOn, { ...parts(), selector: await openTopK(shape, runsOn), prefixEnds: [F] }),
  },
  batch_topk: {
    open: async () =>
      createSparseWorkspace(shape, runsOn, {
        ...parts(),
        selector: await openBatchTopK(shape, runsOn),
        prefixEnds: [F],
      }),
  },
  matryoshka: {
    open: async () =>
      createSparseWorkspace(shape, runsOn, {
        ...parts(),
        selector: await openTopK(shape, runsOn),
        prefixEnds: [4, 10, F],
      }),
  },
  jumprelu: {
    open: () => openJumpRelu(shape, 0.4, runsOn, parts()),
    settings: { threshold_F: await read("threshold"), sparsityCoefficient: 0.7 },
  },
};

function relativeError(actual: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return actual.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!)), 0) / largest;
}

describe("the loss and gradients of", () => {
  for (const [name, { open, settings }] of Object.entries(architectures)) {
    it(`${name} are those of torch and sae-lens`, async () => {
      const workspace = await open();
      const loss = await workspace.compute(weights, x_BD, new Int32Array(0), { auxCoefficient: 0, k: K, ...settings });
      const reconstruction = loss.reconstruction ?? loss.fvu;
      const total = reconstruction + (settings?.sparsityCoefficient ?? 0) * (loss.sparsity ?? 0);
      expect(total).toBeCloseTo((await read(`${name}.loss`))[0]!, 5);
      const { W_enc_FD, b_enc_F, W_dec_FD, b_dec_D } = workspace.gradients;
      const found = { W_enc: W_enc_FD, b_enc: b_enc_F, W_dec: W_dec_FD, b_dec: b_dec_D };
      for (const [tensor, gradient] of Object.entries(found)) {
        expect(relativeError(gradient, await read(`${name}.${tensor}`)), tensor).toBeLessThan(5e-6);
      }
      if (loss.dThreshold_F) {
        expect(relativeError(loss.dThreshold_F, await read(`${name}.threshold`))).toBeLessThan(5e-6);
        expect(loss.l0).toBeCloseTo((await read(`${name}.l0`))[0]!, 6);
      }
      if (file.tensors.has(`${name}.fvu`)) expect(loss.fvu).toBeCloseTo((await read(`${name}.fvu`))[0]!, 5);
      if (name === "batch_topk")
        expect(loss.batchThreshold).toBeCloseTo((await read("batch_topk.batch_threshold"))[0]!, 6);
      await workspace.close();
    });
  }
});

describe("the batch selection", () => {
  /** What sorting all of them would keep. */
  const sorted = (pre: Float32Array, count: number, width: number) =>
    [...pre.entries()]
      .filter(([, value]) => value > 0)
      .sort(([i, a], [j, b]) => b - a || i - j)
      .slice(0, count)
      .map(([i, value]) => [Math.floor(i / width), i % width, value])
      .sort(([a, f], [b, g]) => a! - b! || f! - g!);

  for (const [title, width, rows, count, round] of [
    ["of more candidates than it has room for", 400, 400, 300, 0],
    ["with many equal values", 100, 80, 2000, 2],
    ["of fewer positive values than it may keep", 16, 8, 1000, 0],
  ] as const) {
    it(`is what sorting the whole batch would give, ${title}`, () => {
      const pre = normals(rows * width, 3).map((x) => (round ? Math.round(x * round) / round : x));
      const selection = createBatchSelection(count);
      for (let pass = 0; pass < 2; pass++) {
        for (let b = 0; b < rows; b += 4) selection.add(pre.subarray(b * width, (b + 4) * width), b, width);
        const { offsets_B, features, z, batchThreshold } = selection.take(rows);
        const found: number[][] = [];
        for (let b = 0; b < rows; b++) {
          for (let i = offsets_B[b]!; i < offsets_B[b + 1]!; i++) found.push([b, features[i]!, z[i]!]);
        }
        const expected = sorted(pre, count, width);
        expect(found).toEqual(expected);
        expect(batchThreshold).toBe(Math.min(...expected.map(([, , value]) => value!)));
      }
    });
  }
});
