import { afterAll, describe, expect, it } from "vitest";
import { createRandom } from "../../../engine/runtime/random.ts";
import { architectures } from "../../../engine/sae/architectures/table.ts";
import { resolveConfig } from "../../../engine/sae/config.ts";
import { createLearner, initialState } from "../../../engine/sae/learner.ts";
import { normals } from "./support.ts";

const [D, F, B] = [8, 24, 32];
const base = { layer: 0, dModel: D, width: F, k: 4, rows: B * 100, batchRows: B, warmupSteps: 0, decaySteps: 0 };
const config = resolveConfig({ ...base, learningRate: 1e-2, clipNorm: 0.05, auxCoefficient: 0, seed: 3 });
const rows_BD = normals(B * D, 6).map((x, i) => x + (i % D));
const workspace = await architectures.topk.open(config, { threads: 1 });
afterAll(() => workspace.close());
const names = ["W_enc_FD", "b_enc_F", "W_dec_FD", "b_dec_D"] as const;

const rowNorm = (matrix: ArrayLike<number>, f: number) =>
  Math.hypot(...Array.from({ length: D }, (_, d) => matrix[f * D + d]!));

describe("a learner", () => {
  it("starts tied, with unit directions, reading x minus the geometric median in units of a power of two", () => {
    const { weights, inputScale } = initialState(config, rows_BD, createRandom(1));
    expect(Math.log2(inputScale) % 1).toBe(0);
    expect(weights.W_enc_FD).toEqual(weights.W_dec_FD);
    for (let f = 0; f < F; f++) {
      expect(rowNorm(weights.W_dec_FD, f)).toBeCloseTo(1, 6);
      // The median itself has pre-activation 0 for every feature.
      let pre = weights.b_enc_F[f]!;
      for (let d = 0; d < D; d++) pre += weights.W_enc_FD[f * D + d]! * weights.b_dec_D[d]!;
      expect(pre).toBeCloseTo(0, 5);
    }
    for (let d = 0; d < D; d++) expect(Math.abs(weights.b_dec_D[d]! * inputScale - d)).toBeLessThan(0.6);
  });

  it("steps as textbook Adam does on projected, clipped gradients, and keeps directions at length 1", async () => {
    const x_BD = rows_BD.map((x) => x / 4);
    const state = initialState({ ...config, scaleInput: false }, x_BD, createRandom(1));
    const learner = createLearner(config, state, workspace);
    const moments = names.map((name) => ({
      m: new Float64Array(state.weights[name].length),
      v: new Float64Array(state.weights[name].length),
    }));
    for (let step = 1; step <= 3; step++) {
      const before = names.map((name) => Float64Array.from(state.weights[name]));
      await workspace.compute(state.weights, x_BD, new Int32Array(0), { auxCoefficient: 0, k: 4 });
      const gradients = names.map((name) => Float64Array.from(workspace.gradients[name]));
      const directions = before[2]!;
      for (let f = 0; f < F; f++) {
        let along = 0;
        for (let i = f * D; i < (f + 1) * D; i++) along += gradients[2]![i]! * directions[i]!;
        for (let i = f * D; i < (f + 1) * D; i++) gradients[2]![i]! -= along * directions[i]!;
      }
      const norm = Math.sqrt(gradients.reduce((sum, gradient) => sum + gradient.reduce((s, g) => s + g * g, 0), 0));
      expect(norm).toBeGreaterThan(0.05); // so that clipping is at work
      const expected = before.map((param, p) =>
        param.map((value, i) => {
          const g = gradients[p]![i]! * (0.05 / norm);
          const { m, v } = moments[p]!;
          m[i] = 0.9 * m[i]! + 0.1 * g;
          v[i] = 0.999 * v[i]! + 0.001 * g * g;
          return value - (1e-2 * (m[i]! / (1 - 0.9 ** step))) / (Math.sqrt(v[i]! / (1 - 0.999 ** step)) + 6.25e-10);
        }),
      );
      for (let f = 0; f < F; f++) {
        const length = rowNorm(expected[2]!, f);
        for (let i = f * D; i < (f + 1) * D; i++) expected[2]![i]! /= length;
      }

      const metrics = await learner.step(x_BD);
      expect(metrics.gradientNorm).toBeCloseTo(norm, 5);
      for (const [p, name] of names.entries()) {
        const worst = state.weights[name].reduce(
          (most, value, i) => Math.max(most, Math.abs(value - expected[p]![i]!)),
          0,
        );
        expect(worst, `${name} at step ${step}`).toBeLessThan(2e-5);
      }
    }
  });

  it("counts a feature as dead when it was silent for longer than the limit, and as alive once it fires", async () => {
    const x_BD = rows_BD.map((x) => x / 4);
    const state = initialState({ ...config, scaleInput: false }, x_BD, createRandom(1));
    state.weights.b_enc_F[5] = -1e6;
    const learner = createLearner({ ...config, deadAfterRows: 2 * B }, state, workspace);
    const dead: number[] = [];
    for (let step = 0; step < 3; step++) dead.push((await learner.step(x_BD)).dead);
    expect(dead[1]).toBe(0);
    expect(dead[2]).toBeGreaterThan(0);
    expect(state.silentRows_F[5]).toBe(3 * B);
    state.weights.b_enc_F[5] = 10;
    await learner.step(x_BD);
    expect(state.silentRows_F[5]).toBe(0);
  });

  it("refuses a step whose gradient is not finite and leaves the weights as they were", async () => {
    const state = initialState({ ...config, scaleInput: false }, rows_BD, createRandom(1));
    const learner = createLearner(config, state, workspace);
    const spoiled = rows_BD.slice();
    for (let d = 0; d < D; d++) spoiled[d] = 1e37;
    const before = state.weights.W_enc_FD.slice();
    await expect(learner.step(spoiled)).rejects.toThrow(/not finite/);
    expect(state.weights.W_enc_FD).toEqual(before);
    expect(state.m.W_enc_FD.every((m) => m === 0)).toBe(true);
  });
});
