import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpointTensors } from "../../../engine/llm/expert-tensors.ts";
import { denseExperts, expertFeedForward } from "../../../engine/llm/experts.ts";
import type { DenseWeights } from "../../../engine/llm/feed-forward.ts";
import { openModel } from "../../../engine/llm/model.ts";
import { writeQuantizedWeights } from "../../../engine/llm/quantized-weights.ts";
import { sparseExperts } from "../../../engine/llm/sparse-experts.ts";
import { Graph, type Value } from "../../../engine/onnx/graph.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { openSession, type Session } from "../../../engine/runtime/session.ts";
import { tensor } from "../../../engine/runtime/tensor.ts";
import { encodeSafetensors } from "../../../formats/safetensors.ts";
import { readSetFloat32 } from "../../../formats/safetensors-index.ts";
import { gradientError } from "../autodiff/gradient-check.ts";
import { fixtureConfig, fixtureFolder, relativeError } from "./fixtures.ts";

const plain = (weight: Value) => ({ weight, bias: null });
const dense = (gate: Value, up: Value, down: Value): DenseWeights => ({
  kind: "dense",
  gate: plain(gate),
  up: plain(up),
  down: plain(down),
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "experts-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each([
  { count: 16, active: 8, width: 24, normalized: true, dModel: 32 },
  { count: 6, active: 5, width: 12, normalized: true, dModel: 40 },
  { count: 5, active: 1, width: 16, normalized: false, dModel: 32 },
])("$active of $count experts", (sizes) => {
  const { count, width, dModel } = sizes;
  const random = createRandom(count);
  const x = Float32Array.from({ length: 40 * dModel }, () => random.normal());
  const rowsOf = (rows: readonly number[]) =>
    Float32Array.from(rows.flatMap((row) => [...x.subarray(row * dModel, (row + 1) * dModel)]));
  let session: Session;
  beforeAll(async () => {
    const graph = new Graph("mixture");
    const matrix = (out: number, into: number) =>
      graph.constant(
        Float32Array.from({ length: out * into }, () => random.normal() / Math.sqrt(into)),
        "float32",
        [out, into],
      );
    const weights = {
      kind: "experts" as const,
      router: plain(matrix(count, dModel)),
      experts: Array.from({ length: count }, () =>
        dense(matrix(width, dModel), matrix(width, dModel), matrix(dModel, width)),
      ),
      shared: {
        expert: dense(matrix(8, dModel), matrix(8, dModel), matrix(dModel, 8)),
        gate: plain(matrix(1, dModel)),
      },
    };
    const input = graph.input("x", "float32", ["N", dModel]);
    const experts = { ...sizes, sharedWidth: 8 };
    graph.output(expertFeedForward(input, weights, experts, sparseExperts), "sparse");
    graph.output(expertFeedForward(input, weights, experts, denseExperts), "dense");
    session = await openSession(graph, { threads: 2 });
  });
  afterAll(() => session.close());

  const run = async (rows: readonly number[]) => {
    const out = await session.run({ x: tensor("float32", rowsOf(rows), [rows.length, dModel]) });
    return { sparse: out.sparse!.data as Float32Array, dense: out.dense!.data as Float32Array };
  };

  it("those that are run alone give what all of them give", async () => {
    for (const rows of [[0], [1, 2], [...Array(40).keys()]]) {
      const result = await run(rows);
      expect(relativeError(result.sparse, result.dense).error, `${rows.length} tokens`).toBeLessThan(1e-6);
    }
  });

  it("a token's result has the same bits in any company", async () => {
    const row = fc.nat(39);
    await fc.assert(
      fc.asyncProperty(
        row,
        fc.array(row, { maxLength: 20 }),
        fc.array(row, { maxLength: 20 }),
        async (token, before, after) => {
          const { sparse } = await run([...before, token, ...after]);
          const own = sparse.subarray(before.length * dModel, (before.length + 1) * dModel);
          expect(own).toEqual((await run([token])).sparse);
        },
      ),
      { numRuns: 40, seed: 1 },
    );
  });
});

it.each([true, false])("gradients of a mixture agree with central differences (normalised: %s)", async (normalized) => {
  const { error, at } = await gradientError({
    title: "a mixture of experts",
    inputs: [
      { shape: [5, 4] },
      { shape: [3, 4] },
      ...Array.from({ length: 4 }, () => [{ shape: [2, 4] }, { shape: [2, 4] }, { shape: [4, 2] }]).flat(),
      { shape: [1, 4] },
    ],
    build(x, router, ...rest) {
      const experts = [0, 1, 2, 3].map((e) => dense(rest[3 * e]!, rest[3 * e + 1]!, rest[3 * e + 2]!));
      const shared = { expert: experts.pop()!, gate: plain(rest[12]!) };
      const weights = { kind: "experts" as const, router: plain(router!), experts, shared };
      return expertFeedForward(
        x!,
        weights,
        { count: 3, active: 2, width: 2, normalized, sharedWidth: 2 },
        denseExperts,
      );
    },
  });
  expect(error, at).toBeLessThan(1e-6);
});

it("experts that lie in one tensor are read as those of the layout that gives each its own", async () => {
  const [experts, width, dModel] = [3, 2, 4];
  const numbers = (count: number, from: number) => Float32Array.from({ length: count }, (_, i) => from + i);
  const gateUp = numbers(experts * 2 * width * dModel, 0);
  const down = numbers(experts * dModel * width, 1000);
  const stack = (name: string, shape: number[], data: Float32Array) => ({
    name: `model.layers.0.mlp.experts.${name}`,
    dtype: "F32" as const,
    shape,
    data,
  });
  const tensors = [
    stack("gate_up_proj", [experts, 2 * width, dModel], gateUp),
    stack("down_proj", [experts, dModel, width], down),
  ];
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
  const set = await openCheckpointTensors(folder);
  const part = (e: number, name: string) => readSetFloat32(set, `model.layers.0.mlp.experts.${e}.${name}.weight`);
  for (let e = 0; e < experts; e++) {
    const at = e * 2 * width * dModel;
    expect(await part(e, "gate_proj")).toEqual(gateUp.slice(at, at + width * dModel));
    expect(await part(e, "up_proj")).toEqual(gateUp.slice(at + width * dModel, at + 2 * width * dModel));
    expect(await part(e, "down_proj")).toEqual(down.slice(e * dModel * width, (e + 1) * dModel * width));
  }
  expect(set.tensors.get("model.layers.0.mlp.experts.2.down_proj.weight")!.shape).toEqual([dModel, width]);
});

it("experts as 8-bit integers: those without a token are passed over, the others give nearly the same logits", async () => {
  const source = fixtureFolder("qwen3-5-moe-f16");
  const quantized = join(folder, "int8.safetensors");
  const set = await openCheckpointTensors(source);
  await writeQuantizedWeights(fixtureConfig("qwen3-5-moe-f16"), set, "int8", quantized);
  const input = { sequences: 1, tokens: 2, ids: Int32Array.of(5, 60), logitRows: [0, 1] };
  const [full, small] = [await openModel(source, { threads: 1 }), await openModel(source, { threads: 1, quantized })];
  const [expected, actual] = [(await full.forward(input)).logits, (await small.forward(input)).logits];
  const { error } = relativeError(actual, expected);
  expect(error).toBeLessThan(0.2);
  expect(error).toBeGreaterThan(0);
  await Promise.all([full.close(), small.close()]);
});
