import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseDecoderConfig } from "../../engine/llm/config.ts";
import { openCheckpointTensors } from "../../engine/llm/expert-tensors.ts";
import { createGenerator } from "../../engine/llm/generator.ts";
import { type LanguageModel, type ModelOptions, openModel } from "../../engine/llm/model.ts";
import { quantizedPrecisions, writeQuantizedWeights } from "../../engine/llm/quantized-weights.ts";
import { Graph } from "../../engine/onnx/graph.ts";
import { DeviceUnavailableError, openSession } from "../../engine/runtime/session.ts";
import { type FixtureName, fixtureFolder } from "../engine/llm/fixtures.ts";
import { answer, promptOf } from "../engine/llm/serving.ts";
import { missing } from "./device.ts";

const reason = await missing("cuda");
const prompt = promptOf(1, 40);
const models: LanguageModel[] = [];
afterAll(async () => {
  for (const model of models) await model.close();
});

async function opened(name: FixtureName, options: ModelOptions): Promise<LanguageModel> {
  const model = await openModel(fixtureFolder(name), { threads: 2, ...options });
  models.push(model);
  return model;
}

async function outputs(model: LanguageModel): Promise<Float32Array[]> {
  const taps = Array.from({ length: model.config.layers }, (_, layer) => layer);
  const input = { sequences: 1, tokens: prompt.length, ids: prompt, taps, logitRows: [...prompt.keys()] };
  const { taps: residuals, logits } = await model.forward(input);
  return [...residuals, logits];
}

/** √(mean Δ² / mean reference²) */
function spreadError(actual: Float32Array, expected: Float32Array): number {
  const size = (numbers: Float32Array) => Math.sqrt(numbers.reduce((sum, value) => sum + value ** 2, 0));
  return size(expected.map((value, i) => actual[i]! - value)) / size(expected);
}

describe.skipIf(reason !== null)(`on CUDA${reason === null ? "" : ` (skipped: ${reason})`}`, () => {
  const weights: [FixtureName, number][] = [
    ["qwen3-tied-f32", 2e-3],
    ["qwen3-gqa-f16", 1e-2],
    ["qwen3-untied-bf16-sharded", 5e-2],
  ];
  it.each(weights)(
    "%s gives the logits and residuals of the CPU, as close as the type of its weights is",
    async (name, bound) => {
      const expected = await outputs(await opened(name, {}));
      const actual = await outputs(await opened(name, { device: "cuda" }));
      expected.forEach((numbers, i) => {
        expect(spreadError(actual[i]!, numbers), `output ${i}`).toBeLessThan(bound);
      });
    },
  );

  it.each(quantizedPrecisions)(
    "a model in %s gives the logits of the CPU up to the rounding of rows",
    async (precision) => {
      const folder = await mkdtemp(join(tmpdir(), "cuda-"));
      const source = fixtureFolder("qwen3-tied-f32");
      const config = parseDecoderConfig(JSON.parse(await readFile(join(source, "config.json"), "utf8")));
      const quantized = join(folder, "weights");
      await writeQuantizedWeights(config, await openCheckpointTensors(source), precision, quantized);
      const expected = await outputs(await opened("qwen3-tied-f32", { quantized }));
      const actual = await outputs(await opened("qwen3-tied-f32", { quantized, device: "cuda" }));
      await rm(folder, { recursive: true });
      expect(spreadError(actual.at(-1)!, expected.at(-1)!)).toBeLessThan(0.1);
    },
  );

  it("a greedy text is generated through the cache", async () => {
    const model = await opened("qwen3-tied-f32", { device: "cuda" });
    const { sampledIds } = await answer(createGenerator(model), { promptIds: prompt });
    expect(sampledIds).toHaveLength(12);
  });
});

describe.skipIf(reason === null)("where CUDA is missing", () => {
  it("the error says what to install", async () => {
    const graph = new Graph("any");
    graph.output(graph.input("x", "float32", [1]), "y");
    const opening = openSession(graph, { device: "cuda" });
    await expect(opening).rejects.toThrow(DeviceUnavailableError);
    await expect(opening).rejects.toThrow("ONNXRUNTIME_NODE_INSTALL=cuda12");
  });
});
