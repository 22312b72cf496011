import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { blockColumns, dequantizeBlocks } from "../../../engine/llm/block-quantization.ts";
import { parseDecoderConfig } from "../../../engine/llm/config.ts";
import type { PackedEdits } from "../../../engine/llm/forward.ts";
import { createGenerator } from "../../../engine/llm/generator.ts";
import type { Linear } from "../../../engine/llm/linear.ts";
import { type LanguageModel, openModel } from "../../../engine/llm/model.ts";
import { parameterNames, parameterSpecs } from "../../../engine/llm/parameters.ts";
import {
  openQuantizedWeights,
  type QuantizedPrecision,
  quantizedPrecisions,
  writeQuantizedWeights,
} from "../../../engine/llm/quantized-weights.ts";
import { layOutEdits, type SteeringEdit } from "../../../engine/llm/steering.ts";
import type { Value } from "../../../engine/onnx/graph.ts";
import { abs, div, max, mul, round } from "../../../engine/ops/elementwise.ts";
import { pad, slice } from "../../../engine/ops/indexing.ts";
import { gemm } from "../../../engine/ops/matmul.ts";
import { reduceMax } from "../../../engine/ops/reduce.ts";
import { reshape } from "../../../engine/ops/shape.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import { encodeSafetensors, openSafetensors, readTensorBytes } from "../../../formats/safetensors.ts";
import { openSafetensorsSet, readSetFloat32 } from "../../../formats/safetensors-index.ts";
import { type FixtureName, fixtureFolder } from "./fixtures.ts";
import { answer, promptOf } from "./serving.ts";

let scratch: string;
const models: LanguageModel[] = [];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "quantized-"));
});
afterAll(async () => {
  for (const model of models) await model.close();
  await rm(scratch, { recursive: true });
});

async function opened(folder: string, quantized?: string): Promise<LanguageModel> {
  const model = await openModel(folder, { threads: 2, ...(quantized ? { quantized } : {}) });
  models.push(model);
  return model;
}

async function checkpoint(folder: string) {
  const config = parseDecoderConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
  return { config, set: await openSafetensorsSet(folder) };
}

async function quantized(name: FixtureName, precision: QuantizedPrecision): Promise<string> {
  const path = join(scratch, `${name}.${precision}.safetensors`);
  const { config, set } = await checkpoint(fixtureFolder(name));
  await writeQuantizedWeights(config, set, precision, path);
  return path;
}

/** A checkpoint in float32 of the numbers that the integers stand for; the head is a tensor of its own in it. */
async function dequantized(name: FixtureName, precision: QuantizedPrecision): Promise<string> {
  const { config, set } = await checkpoint(fixtureFolder(name));
  const stored = await openQuantizedWeights(config, await quantized(name, precision));
  const file = await openSafetensors(stored.path);
  const numbers = async (parameter: string) => {
    const blocks = stored.blocks(parameter);
    if (!blocks) return await readSetFloat32(set, parameter);
    const scales = new Float32Array((await readTensorBytes(file, `${parameter}.scales`)).buffer);
    return dequantizeBlocks({ ...blocks, packed: await readTensorBytes(file, `${parameter}.packed`), scales });
  };
  const { head, embedding } = parameterNames(config);
  const tensors = [];
  for (const { name: parameter, shape } of parameterSpecs({ ...config, tiedEmbeddings: false })) {
    const isEmbedding = parameter === embedding;
    const data = isEmbedding
      ? await readSetFloat32(set, parameter)
      : await numbers(parameter === "lm_head.weight" ? head : parameter);
    tensors.push({ name: parameter, dtype: "F32" as const, shape, data });
  }
  const folder = await mkdtemp(join(scratch, "dequantized-"));
  await cp(join(fixtureFolder(name), "tokenizer.json"), join(folder, "tokenizer.json"));
  const json = JSON.parse(await readFile(join(fixtureFolder(name), "config.json"), "utf8"));
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...json, tie_word_embeddings: false }));
  await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
  return folder;
}

/** Rows rounded to 8-bit integers in blocks of 32, as the product with integers rounds them. */
function rounded(x: Value): Value {
  const columns = x.shape[1] as number;
  const filling = (blockColumns - (columns % blockColumns)) % blockColumns;
  const blocks = reshape(pad(x, 1, 0, filling), [x.shape[0]!, (columns + filling) / blockColumns, blockColumns]);
  const scale = max(div(reduceMax(abs(blocks), [-1], { keepDims: true }), 127), 1e-30);
  const integers = round(div(blocks, scale));
  return slice(reshape(mul(integers, scale), [x.shape[0]!, columns + filling]), 1, 0, columns);
}

/** The model in float32 with the numbers that the integers stand for and rounded rows: elementary operators throughout. */
async function openOracle(name: FixtureName, precision: QuantizedPrecision): Promise<LanguageModel> {
  vi.resetModules();
  vi.doMock("../../../engine/llm/linear.ts", () => ({
    linear: (x: Value, { weight, bias }: Linear) =>
      gemm(rounded(x), weight, bias ? { transposeB: true, bias } : { transposeB: true }),
  }));
  const { openModel: openPlain } = await import("../../../engine/llm/model.ts");
  vi.doUnmock("../../../engine/llm/linear.ts");
  const model = await openPlain(await dequantized(name, precision), { threads: 2 });
  models.push(model);
  return model;
}

const prompt = promptOf(1, 40);

/** Residual streams after the layers, and the logits of every position. */
async function outputs(model: LanguageModel, edits?: PackedEdits) {
  const taps = Array.from({ length: model.config.layers }, (_, layer) => layer);
  const logitRows = [...prompt.keys()];
  const input = { sequences: 1, tokens: prompt.length, ids: prompt, taps, logitRows };
  const result = await model.forward(edits ? { ...input, edits } : input);
  return [...result.taps, result.logits];
}

/** √(mean Δ² / mean reference²). Mostly 5e-7; an integer that a last bit turned over in the rounding of a row makes it 1e-3. */
function spreadError(actual: Float32Array, expected: Float32Array): number {
  let [difference, size] = [0, 0];
  expected.forEach((value, i) => {
    difference += (actual[i]! - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
}

/** Adds twice a direction to all tokens of the prompt and projects another out of the later half. */
function edits(model: LanguageModel): SteeringEdit[] {
  const random = createRandom(3);
  const direction = () => Float32Array.from({ length: model.config.dModel }, () => random.normal());
  const on = (from: number) => ({
    prompt: Uint8Array.from(prompt, (_, t) => (t >= from ? 1 : 0)),
    generation: { from: 0, to: 100 },
    excludeSpecial: false,
  });
  return [
    { layer: 1, direction: direction(), c0: 2, c1: 0, c2: 0, selection: on(0) },
    { layer: 1, direction: direction(), c0: 0, c1: 0, c2: -1, selection: on(20) },
  ];
}

function packed(model: LanguageModel): PackedEdits {
  const own = edits(model);
  return layOutEdits(model.config, [own])!.pack(prompt.length, (_, e, t) => own[e]!.selection.prompt[t] === 1)!;
}

describe.each(["qwen3-tied-f32", "llama-f16", "qwen2-bf16", "qwen3-5-text-tied-f32"] as const)("%s", (name) => {
  it.each(quantizedPrecisions)(
    "with %s, steered or not, computes what elementary operators compute with the numbers that the integers stand for",
    async (precision) => {
      const model = await opened(fixtureFolder(name), await quantized(name, precision));
      const original = await opened(fixtureFolder(name));
      const oracle = await openOracle(name, precision);
      for (const steering of [undefined, packed(model)]) {
        const [actual, other] = [await outputs(model, steering), await outputs(original, steering)];
        (await outputs(oracle, steering)).forEach((expected, i) => {
          expect(spreadError(actual[i]!, expected), `output ${i}`).toBeLessThan(5e-3);
          expect(spreadError(other[i]!, expected), `output ${i} of the original weights`).toBeGreaterThan(0.01);
        });
      }
    },
  );
});

it.each([
  ["qwen3-gqa-f16", "int8"],
  ["qwen3-gqa-f16", "int4"],
  ["qwen3-moe-raw-f16", "int4"],
] as const)("a steered text of %s in %s is the same alone and in company, to the last bit", async (name, precision) => {
  const model = await opened(fixtureFolder(name), await quantized(name, precision));
  const request = { promptIds: prompt, maxTokens: 12, edits: edits(model), temperature: 1, seed: 4 };
  const alone = await answer(createGenerator(model), request);
  const generator = createGenerator(model);
  const others = [1, 2, 3].map((seed) => answer(generator, { promptIds: promptOf(seed, 17 * seed), seed }));
  const [together] = await Promise.all([answer(generator, request), ...others]);
  expect(together!.sampledIds).toEqual(alone.sampledIds);
  expect(together!.logprobs).toEqual(alone.logprobs);
  const unsteered = await answer(createGenerator(model), { ...request, edits: [] });
  expect(unsteered.logprobs).not.toEqual(alone.logprobs);
});

it.each(["qwen3-gqa-f16", "llama-f16", "qwen3-moe-raw-f16"] as const)(
  "%s is the same model when its 16-bit weights go into the products as they are (which the CPU makes in float32)",
  async (name) => {
    const wide = await opened(fixtureFolder(name));
    const narrow = await openModel(fixtureFolder(name), { threads: 2, products: "stored" });
    models.push(narrow);
    const expected = await outputs(wide);
    (await outputs(narrow)).forEach((numbers, i) => {
      expect(spreadError(numbers, expected[i]!), `output ${i}`).toBeLessThan(1e-6);
    });
    expect(narrow.sizeBytes).toBeLessThan(0.6 * wide.sizeBytes);
  },
);

describe("the file of integers", () => {
  it("is the same, byte for byte, whenever it is written", async () => {
    const first = await readFile(await quantized("qwen2-bf16", "int4"));
    expect(await readFile(await quantized("qwen2-bf16", "int4"))).toEqual(first);
  });

  it("of another recipe, or of another model, is refused", async () => {
    const { config } = await checkpoint(fixtureFolder("qwen2-bf16"));
    const foreign = await quantized("llama-f16", "int8");
    await expect(openQuantizedWeights(config, foreign)).rejects.toThrow("tensor model.layers.0");
    const plain = join(fixtureFolder("qwen2-bf16"), "model.safetensors");
    await expect(openQuantizedWeights(config, plain)).rejects.toThrow("quantised by the recipe undefined");
  });

  it("is not written for weights with NaN, whose tensor is named", async () => {
    const folder = await mkdtemp(join(scratch, "nan-"));
    const { config, set } = await checkpoint(fixtureFolder("qwen2-bf16"));
    const broken = "model.layers.1.mlp.up_proj.weight";
    const tensors = [];
    for (const { name, shape } of parameterSpecs(config)) {
      const data = await readSetFloat32(set, name);
      if (name === broken) data[7] = Number.NaN;
      tensors.push({ name, dtype: "F32" as const, shape, data });
    }
    await writeFile(join(folder, "model.safetensors"), encodeSafetensors(tensors));
    const writing = writeQuantizedWeights(config, await openSafetensorsSet(folder), "int8", join(folder, "out"));
    await expect(writing).rejects.toThrow(`tensor "${broken}": the weight NaN cannot be quantised`);
  });
});
