import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BlockBits,
  blockColumns,
  dequantizeBlocks,
  quantizeBlocks,
} from "../../../engine/llm/block-quantization.ts";
import { Graph } from "../../../engine/onnx/graph.ts";
import { matMulBlocks } from "../../../engine/ops/quantized.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession } from "../../../engine/runtime/session.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";

const bitsOf = fc.constantFrom<BlockBits>(4, 8);

function normals(count: number, seed: string): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** A product with a matrix [out, columns] of integers, opened for any number of rows. */
async function openProduct(
  weights: Float32Array,
  columns: number,
  bits: BlockBits,
  bias: Float32Array | null,
  threads = 2,
) {
  const { packed, scales, rows: out } = quantizeBlocks(weights, columns, bits);
  const blocks = Math.ceil(columns / blockColumns);
  const graph = new Graph("product");
  const matrix = {
    packed: graph.constant(packed, "uint8", [out, blocks, (blockColumns * bits) / 8]),
    scales: graph.constant(scales, "float32", [out, blocks]),
    ...{ bits, blockColumns, columns },
  };
  const x = graph.input("x", "float32", ["M", columns]);
  graph.output(matMulBlocks(x, matrix, bias ? graph.constant(bias, "float32", [out]) : null), "y");
  const session = await openSession(graph, { threads });
  return async (rows: Float32Array) => {
    const { y } = await session.run({ x: tensor("float32", rows, [rows.length / columns, columns]) });
    return y!.data as Float32Array;
  };
}

/** The same in float64 loops: rows rounded to 8-bit integers in blocks of 32 as the operator's description says. */
function product(x: Float32Array, weights: Float32Array, columns: number, bias: Float32Array | null): number[] {
  const rounded = Float64Array.from(x);
  for (let start = 0; start < x.length; start += columns) {
    for (let c = 0; c < columns; c += blockColumns) {
      const block = x.subarray(start + c, start + Math.min(columns, c + blockColumns));
      const scale = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
      block.forEach((value, i) => {
        rounded[start + c + i] = scale === 0 ? 0 : scale * Math.round(value / scale);
      });
    }
  }
  const out = weights.length / columns;
  return Array.from({ length: (x.length / columns) * out }, (_, i) => {
    const [m, o] = [Math.floor(i / out), i % out];
    let sum = bias ? bias[o]! : 0;
    for (let c = 0; c < columns; c++) sum += rounded[m * columns + c]! * weights[o * columns + c]!;
    return sum;
  });
}

describe("blocks of integers", () => {
  it("miss a weight by at most half a step, or by what cutting the largest short was worth", () => {
    const weightsOf = fc.array(fc.float({ noNaN: true, min: -8, max: 8 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(weightsOf, bitsOf, (list, bits) => {
        const weights = Float32Array.from(list);
        const back = dequantizeBlocks(quantizeBlocks(weights, weights.length, bits));
        for (let start = 0; start < weights.length; start += blockColumns) {
          const block = weights.subarray(start, start + blockColumns);
          const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          const wholeStep = largest / 2 ** (bits - 1);
          let [error, atWholeScale] = [0, 0];
          block.forEach((weight, i) => {
            error += (weight - back[start + i]!) ** 2;
            atWholeScale += wholeStep ** 2;
          });
          // With the largest weight met exactly every error is below one step: the chosen scale does not do worse.
          expect(error).toBeLessThanOrEqual(atWholeScale + 1e-9);
        }
      }),
    );
  });

  it("that are quantised again stay as they are", () => {
    fc.assert(
      fc.property(fc.string(), bitsOf, (seed, bits) => {
        const once = quantizeBlocks(normals(96, seed), 48, bits);
        const twice = quantizeBlocks(dequantizeBlocks(once), 48, bits);
        expect(dequantizeBlocks(twice)).toEqual(dequantizeBlocks(once));
      }),
      { numRuns: 50 },
    );
  });

  it("hold no infinity and no NaN", () => {
    expect(() => quantizeBlocks(new Float32Array([1, Number.NaN]), 2, 4)).toThrow("the weight NaN cannot be quantised");
    expect(() => quantizeBlocks(new Float32Array([-Infinity]), 1, 8)).toThrow("the weight -Infinity");
  });
});

describe.each<BlockBits>([4, 8])("a product with %d-bit weights", (bits) => {
  it.each([32, 48, 256])("agrees with plain loops for %d columns, with a bias and without", async (columns) => {
    const [weights, bias, x] = [normals(24 * columns, "w"), normals(24, "b"), normals(5 * columns, "x")];
    const stored = dequantizeBlocks(quantizeBlocks(weights, columns, bits));
    for (const added of [null, bias]) {
      const actual = await (await openProduct(weights, columns, bits, added))(x);
      const expected = product(x, stored, columns, added);
      const scale = Math.max(...expected.map(Math.abs));
      expected.forEach((value, i) => {
        expect(Math.abs(actual[i]! - value) / scale, `element ${i}`).toBeLessThan(2e-6);
      });
    }
  });

  it("gives a row the same bits alone, among others and with more threads", async () => {
    const columns = 1024;
    const [weights, x] = [normals(96 * columns, "w"), normals(130 * columns, "x")];
    const multiply = await openProduct(weights, columns, bits, null);
    const single = await openProduct(weights, columns, bits, null, 1);
    const all = await multiply(x);
    expect(await single(x)).toEqual(all);
    for (const rows of [1, 2, 3, 8, 33]) {
      expect(await multiply(x.slice(0, rows * columns)), `${rows} rows`).toEqual(all.slice(0, rows * 96));
    }
  });
});

it("a product names both shapes when the blocks are not those of its matrix", () => {
  const graph = new Graph("wrong");
  const x = graph.input("x", "float32", ["M", 64]);
  const packed = graph.input("packed", "uint8", [8, 2, 32]);
  const scales = graph.input("scales", "float32", [8, 2]);
  const build = () => matMulBlocks(x, { packed, scales, bits: 4, blockColumns: 32, columns: 64 });
  expect(build).toThrow("MatMulNBits: expected blocks [8, 2, 16] and scales [8, 2], got [8, 2, 32] and [8, 2]");
});
