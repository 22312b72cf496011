import { describe, expect, it } from "vitest";
import { Graph } from "../../../engine/onnx/graph.ts";
import { matMulInteger } from "../../../engine/ops/quantized.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import { placeArrays, type TensorRole, zeroTensors } from "../../../engine/sae/kernels/memory.ts";
import { adamUpdate, createSaeOptimiser, normaliseRows } from "../../../engine/sae/optimiser.ts";
import type { SaeTensors } from "../../../engine/sae/workspace.ts";
import { normals } from "./support.ts";

const names = ["W_enc_FD", "b_enc_F", "W_dec_FD", "b_dec_D"] as const;
const options = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, step: 3, gradientScale: 0.5 };

function randomTensors(dModel: number, width: number, role: TensorRole, seed: number): SaeTensors {
  const tensors = zeroTensors(dModel, width, role);
  for (const [i, name] of names.entries()) {
    const values = normals(tensors[name].length, seed + i);
    tensors[name].set(role === "v" ? values.map((v) => v * v) : values);
  }
  return tensors;
}

function randomState(dModel: number, width: number) {
  const state = {
    gradients: randomTensors(dModel, width, "gradients", 1),
    weights: randomTensors(dModel, width, "weights", 11),
    m: randomTensors(dModel, width, "m", 21),
    v: randomTensors(dModel, width, "v", 31),
  };
  normaliseRows(state.weights.W_dec_FD, dModel);
  // A row of zeros stays one: nothing to normalise.
  for (const tensors of Object.values(state)) tensors.W_dec_FD.fill(0, 2 * dModel, 3 * dModel);
  return state;
}

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

describe("the optimiser's kernels", () => {
  for (const [dModel, width] of [
    [3, 7],
    [16, 5],
    [37, 9],
  ] as const) {
    it(`project, add up and update as plain loops do, at ${width} rows of ${dModel}`, () => {
      const state = randomState(dModel, width);
      const expected = structuredClone(
        Object.fromEntries(
          Object.entries(state).map(([role, tensors]) => [
            role,
            Object.fromEntries(names.map((name) => [name, Float32Array.from(tensors[name])])),
          ]),
        ),
      ) as Record<keyof typeof state, Record<(typeof names)[number], Float32Array>>;
      const { gradients, weights } = expected;
      for (let f = 0; f < width * dModel; f += dModel) {
        const row = gradients.W_dec_FD.subarray(f, f + dModel);
        const unit = weights.W_dec_FD.subarray(f, f + dModel);
        const along = row.reduce((sum, g, d) => sum + g * unit[d]!, 0);
        for (let d = 0; d < dModel; d++) row[d]! -= along * unit[d]!;
      }
      const norm = Math.sqrt(names.reduce((sum, name) => gradients[name].reduce((s, g) => s + g * g, sum), 0));
      for (const name of names) {
        const moments = { m: expected.m[name], v: expected.v[name] };
        adamUpdate(weights[name], gradients[name], moments, options);
      }
      normaliseRows(weights.W_dec_FD, dModel);

      const optimiser = createSaeOptimiser(state, 2);
      expect(optimiser.projectedNorm()).toBeCloseTo(norm, 4);
      optimiser.update(options);
      for (const name of names) {
        expect(largestDifference(state.weights[name], weights[name]), name).toBeLessThan(1e-6);
        expect(largestDifference(state.m[name], expected.m[name]), name).toBeLessThan(1e-6);
        expect(largestDifference(state.v[name], expected.v[name]), name).toBeLessThan(1e-5);
      }
      optimiser.close();
    });
  }

  it("give the same bits with 1, 2 and 5 threads", () => {
    const [first, ...others] = [1, 2, 5].map((threads) => {
      const state = randomState(33, 100);
      const optimiser = createSaeOptimiser(state, threads);
      const norm = optimiser.projectedNorm();
      optimiser.update(options);
      optimiser.close();
      return { norm, ...Object.fromEntries(names.map((name) => [name, Float32Array.from(state.weights[name])])) };
    });
    for (const other of others) expect(other).toEqual(first);
  });

  it("refuse tensors that lie elsewhere than they will look", () => {
    const state = randomState(4, 4);
    expect(() => createSaeOptimiser({ ...state, m: state.v }, 1)).toThrow(/m must be made .* got v/);
    const plain = { ...state.weights, W_enc_FD: new Float32Array(16) };
    expect(() => createSaeOptimiser({ ...state, weights: plain }, 1)).toThrow(/weights must be made .* got others/);
  });
});

it("arrays that need more than 4 GiB together are refused before any is made", () => {
  expect(() => placeArrays({ a: ["float32", 2 ** 29], b: ["float32", 2 ** 29] })).toThrow(/a \+ b must fit into 4 GiB/);
});

it("a product of bytes is exact at its largest values, less the zero point", async () => {
  const [M, K, N] = [5, 40, 3];
  const a = Uint8Array.from({ length: M * K }, (_, i) => 1 + ((i * 37) % 127));
  const b = Int8Array.from({ length: K * N }, (_, i) => (i % 2 === 0 ? 127 : -127 + (i % 11)));
  const graph = new Graph("bytes");
  const product = matMulInteger(graph.input("a", "uint8", [M, K]), graph.input("b", "int8", [K, N]), 64);
  graph.output(product, "product");
  const session = await openSession(graph, { threads: 1 });
  const found = await session.run({ a: tensor("uint8", a, [M, K]), b: tensor("int8", b, [K, N]) });
  const expected = Array.from({ length: M * N }, (_, at) => {
    const [m, n] = [Math.floor(at / N), at % N];
    let sum = 0;
    for (let i = 0; i < K; i++) sum += (a[m * K + i]! - 64) * b[i * N + n]!;
    return sum;
  });
  expect(Array.from(found.product!.data as Int32Array)).toEqual(expected);
  await session.close();
  const wrong = new Graph("wrong");
  const misfit = () => matMulInteger(wrong.input("a", "uint8", [5, 40]), wrong.input("b", "int8", [41, 3]), 64);
  expect(misfit).toThrow(/equal inner sizes/);
});
