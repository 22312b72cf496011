import { afterAll, describe, expect, it } from "vitest";
import { gradients as differentiate } from "../../../engine/autodiff/gradient.ts";
import { Graph } from "../../../engine/onnx/graph.ts";
import { add, greaterOrEqual, mul, relu, sub, where } from "../../../engine/ops/elementwise.ts";
import { slice } from "../../../engine/ops/indexing.ts";
import { gemm, matMul } from "../../../engine/ops/matmul.ts";
import { reduceSumSquare } from "../../../engine/ops/reduce.ts";
import { topK } from "../../../engine/ops/topk.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import { openTopK } from "../../../engine/sae/architectures/topk.ts";
import { createAuxLoss } from "../../../engine/sae/aux-loss.ts";
import { createSparseWorkspace } from "../../../engine/sae/sparse-workspace.ts";
import { totalVariance } from "../../../engine/sae/variance.ts";
import type { BatchShape, SaeTensors, Selection } from "../../../engine/sae/workspace.ts";
import { normals, randomSae } from "./support.ts";

const shape: BatchShape = { dModel: 10, width: 30, k: 4, batchRows: 12, microBatchRows: 4, auxK: 3 };
const { dModel: D, width: F, k, batchRows: B } = shape;
const weights: SaeTensors = randomSae(D, F, { kind: "topk", k });
const x_BD = normals(B * D, 77);
const names = ["W_enc_FD", "b_enc_F", "W_dec_FD", "b_dec_D"] as const;
const noDead = new Int32Array(0);
const runsOn = { threads: 1 };

async function openGradients(sizes: BatchShape) {
  const parts = {
    selector: await openTopK(sizes, runsOn),
    aux: createAuxLoss(sizes, runsOn),
    prefixEnds: [sizes.width],
  };
  return createSparseWorkspace(sizes, runsOn, parts);
}

const open = await openGradients(shape);
afterAll(() => open.close());

async function computed(dead: Int32Array, auxCoefficient: number) {
  const loss = await open.compute(weights, x_BD, dead, { auxCoefficient, k });
  const copy = (name: (typeof names)[number]) => [name, Float64Array.from(open.gradients[name])];
  return { loss, gradients: Object.fromEntries(names.map(copy)) as Record<(typeof names)[number], Float64Array> };
}

/** Largest difference over the largest magnitude of the expected. */
function relativeError(actual: Float64Array, expected: ArrayLike<number>): number {
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return worst / largest;
}

/** The loss of a batch and its gradients with nothing sparse about them, in float64: dense masks, dense products, autodiff. */
async function denseOracle() {
  const graph = new Graph("oracle");
  const input = (name: string, dims: number[]) => graph.input(name, "float64", dims);
  const x = input("x", [B, D]);
  const [W_enc, b_enc] = [input("W_enc_FD", [F, D]), input("b_enc_F", [F])];
  const [W_dec, b_dec] = [input("W_dec_FD", [F, D]), input("b_dec_D", [D])];
  const pre = gemm(x, W_enc, { bias: b_enc, transposeB: true });
  const kth = slice(topK(pre, k).values, 1, k - 1, k);
  const z = where(greaterOrEqual(pre, kth), relu(pre), 0);
  const error = sub(add(matMul(z, W_dec), b_dec), x);
  const loss = mul(reduceSumSquare(error, [0, 1]), 1 / totalVariance(x_BD, D));
  graph.output(loss, "loss");
  const all = differentiate(loss, [W_enc, b_enc, W_dec, b_dec]);
  for (const [i, name] of names.entries()) graph.output(all[i]!, `d${name}`);
  const session = await openSession(graph, { threads: 1 });
  const double = (values: Float32Array, dims: number[]) => tensor("float64", Float64Array.from(values), dims);
  const found = await session.run({
    x: double(x_BD, [B, D]),
    W_enc_FD: double(weights.W_enc_FD, [F, D]),
    b_enc_F: double(weights.b_enc_F, [F]),
    W_dec_FD: double(weights.W_dec_FD, [F, D]),
    b_dec_D: double(weights.b_dec_D, [D]),
  });
  await session.close();
  return found;
}

type Params = Record<(typeof names)[number], Float64Array>;

/** x̂ − x and the pre-activations by plain loops. */
function forward(params: Params) {
  const pre = new Float64Array(B * F);
  const error = new Float64Array(B * D);
  for (let b = 0; b < B; b++) {
    for (let f = 0; f < F; f++) {
      let sum = params.b_enc_F[f]!;
      for (let d = 0; d < D; d++) sum += x_BD[b * D + d]! * params.W_enc_FD[f * D + d]!;
      pre[b * F + f] = sum;
    }
    for (let d = 0; d < D; d++) error[b * D + d] = params.b_dec_D[d]! - x_BD[b * D + d]!;
    for (const f of largest(pre, b, [...Array(F).keys()], k)) {
      for (let d = 0; d < D; d++) error[b * D + d]! += Math.max(0, pre[b * F + f]!) * params.W_dec_FD[f * D + d]!;
    }
  }
  return { pre, error };
}

function largest(pre: Float64Array, b: number, features: number[], count: number): number[] {
  return features.sort((p, q) => pre[b * F + q]! - pre[b * F + p]!).slice(0, count);
}

/** fvu + coefficient · aux by plain loops; the error that AuxK is to explain is held at `heldError`. */
function referenceLoss(params: Params, dead: number[], coefficient: number, heldError: Float64Array): number {
  const { pre, error } = forward(params);
  let squares = 0;
  for (const e of error) squares += e * e;
  let aux = 0;
  for (let b = 0; b < B && dead.length > 0; b++) {
    const chosen = largest(pre, b, [...dead], shape.auxK);
    for (let d = 0; d < D; d++) {
      let missed = heldError[b * D + d]!;
      for (const f of chosen) missed += Math.max(0, pre[b * F + f]!) * params.W_dec_FD[f * D + d]!;
      aux += missed * missed;
    }
  }
  return (squares + coefficient * aux) / totalVariance(x_BD, D);
}

describe("the sparse gradients", () => {
  it("are those that autodiff finds for the dense loss", async () => {
    const expected = await denseOracle();
    const { loss, gradients } = await computed(noDead, 0);
    expect(loss.fvu).toBeCloseTo(expected.loss!.data[0] as number, 6);
    for (const name of names) {
      const oracle = expected[`d${name}`]!.data as Float64Array;
      expect(relativeError(gradients[name], oracle), name).toBeLessThan(2e-6);
    }
  });

  for (const [title, dead] of [
    ["with fewer dead features than AuxK takes", [3, 8]],
    ["with more dead features than AuxK takes", [1, 3, 8, 11, 17, 20, 29]],
    ["with no dead feature", []],
  ] as const) {
    it(`agree with central differences of plain loops, AuxK included, ${title}`, async () => {
      const coefficient = 0.7;
      const { loss, gradients } = await computed(Int32Array.from(dead), coefficient);
      const params = Object.fromEntries(names.map((name) => [name, Float64Array.from(weights[name])])) as Params;
      const { error } = forward(params);
      const value = () => referenceLoss(params, [...dead], coefficient, error);
      expect(loss.fvu + coefficient * loss.aux).toBeCloseTo(value(), 5);
      const step = 1e-6;
      for (const name of names) {
        const numeric = params[name].map((at, i) => {
          params[name][i] = at + step;
          const above = value();
          params[name][i] = at - step;
          const below = value();
          params[name][i] = at;
          return (above - below) / (2 * step);
        });
        expect(relativeError(gradients[name], numeric), name).toBeLessThan(2e-5);
      }
    });
  }

  it("do not depend on how the batch is cut into micro-batches, but for rounding", async () => {
    const { gradients } = await computed(Int32Array.of(3, 8), 0.5);
    const whole = await openGradients({ ...shape, microBatchRows: B });
    await whole.compute(weights, x_BD, Int32Array.of(3, 8), { auxCoefficient: 0.5, k });
    for (const name of names) expect(relativeError(gradients[name], whole.gradients[name])).toBeLessThan(1e-6);
    await whole.close();
  });

  for (const dModel of [3, 10, 16, 37]) {
    it(`are those of plain loops for a feature that all rows share, at ${dModel} dimensions`, async () => {
      // Entries per feature then cover every way in which rows are summed together: eight, two and one at a time.
      const features = Int32Array.from({ length: B * 2 }, (_, i) =>
        i % 2 === 0 ? 5 : (i >> 1) % 7 === 5 ? 6 : (i >> 1) % 7,
      );
      const z = Float32Array.from(features, (_, i) => 1 + (i % 5));
      const offsets_B = Int32Array.from({ length: B + 1 }, (_, b) => 2 * b);
      const selection: Selection = { offsets_B, features, z };
      const sizes = { ...shape, dModel, k: 2 };
      const sae = randomSae(dModel, F, { kind: "topk", k: 2 }, 9);
      const rows = normals(B * dModel, 21);
      const workspace = createSparseWorkspace(sizes, runsOn, {
        selector: { select: async () => selection, close: async () => {} },
        aux: createAuxLoss(sizes, runsOn),
        prefixEnds: [F],
      });
      const { fvu } = await workspace.compute(sae, rows, noDead, { auxCoefficient: 0, k: 2 });

      const scale = 2 / totalVariance(rows, dModel);
      const [dW_enc, dW_dec] = [new Float64Array(F * dModel), new Float64Array(F * dModel)];
      let squares = 0;
      for (let b = 0; b < B; b++) {
        const error = Float64Array.from({ length: dModel }, (_, d) => sae.b_dec_D[d]! - rows[b * dModel + d]!);
        const entries = [2 * b, 2 * b + 1].map((i) => ({ from: features[i]! * dModel, z: z[i]! }));
        for (const { from, z } of entries)
          error.forEach((_, d) => {
            error[d]! += z * sae.W_dec_FD[from + d]!;
          });
        for (const e of error) squares += e * e;
        for (const { from, z } of entries) {
          const dz = error.reduce((sum, e, d) => sum + e * sae.W_dec_FD[from + d]!, 0);
          error.forEach((e, d) => {
            dW_dec[from + d]! += scale * z * e;
            dW_enc[from + d]! += scale * dz * rows[b * dModel + d]!;
          });
        }
      }
      expect(fvu).toBeCloseTo((squares * scale) / 2, 5);
      expect(relativeError(Float64Array.from(workspace.gradients.W_dec_FD), dW_dec)).toBeLessThan(2e-6);
      expect(relativeError(Float64Array.from(workspace.gradients.W_enc_FD), dW_enc)).toBeLessThan(2e-6);
      await workspace.close();
    });
  }

  it("are refused when an activation makes a pre-activation infinite, by the row", async () => {
    const spoiled = x_BD.slice();
    spoiled.fill(3e38, 5 * D, 6 * D);
    await expect(open.compute(weights, spoiled, noDead, { auxCoefficient: 0, k })).rejects.toThrow(
      /pre-activations of row 5 are not finite/,
    );
  });

  it("are refused when every row is the same, since there is no variance to explain", async () => {
    const same = Float32Array.from({ length: B * D }, (_, i) => i % D);
    await expect(open.compute(weights, same, noDead, { auxCoefficient: 0, k })).rejects.toThrow(
      /activations must differ between rows/,
    );
  });
});
