import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { initialParameters, writeCheckpoint } from "../../../engine/llm/checkpoint.ts";
import { type DecoderConfig, parseDecoderConfig } from "../../../engine/llm/config.ts";
import { crossEntropyNats } from "../../../engine/llm/cross-entropy.ts";
import { openCheckpointTensors } from "../../../engine/llm/expert-tensors.ts";
import { openModel } from "../../../engine/llm/model.ts";
import { parameterSpecs } from "../../../engine/llm/parameters.ts";
import { createLanguageModelTrainer, nextTokenTargets } from "../../../engine/llm/trainer.ts";
import { openSafetensorsSet, readSetFloat32 } from "../../../formats/safetensors-index.ts";
import { type FixtureName, fixtureConfig, fixtureFolder, fixtureNames, readJson } from "./fixtures.ts";

interface TrainingRecord {
  ids: number[][];
  targets: number[][];
  learning_rate: number;
  losses: number[];
  norms: number[];
}

const small = parseDecoderConfig({
  model_type: "qwen3",
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  vocab_size: 30,
  eos_token_id: 1,
});
const hybrid = parseDecoderConfig({
  model_type: "qwen3_5_text",
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  full_attention_interval: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  linear_num_key_heads: 1,
  linear_num_value_heads: 2,
  linear_key_head_dim: 6,
  linear_value_head_dim: 8,
  vocab_size: 30,
  eos_token_id: 1,
});
const shape = { batch: 2, sequenceLength: 12 };
const counting = Int32Array.from({ length: 24 }, (_, i) => (i * 3) % 30);

async function fixtureParameters(name: FixtureName): Promise<Map<string, Float32Array>> {
  const set = await openCheckpointTensors(fixtureFolder(name));
  const parameters = new Map<string, Float32Array>();
  for (const { name: tensor } of parameterSpecs(fixtureConfig(name)))
    parameters.set(tensor, await readSetFloat32(set, tensor));
  return parameters;
}

async function losses(
  config: DecoderConfig,
  threads: number,
  count: number,
): Promise<{ losses: number[]; weights: Float32Array[] }> {
  const trainer = await createLanguageModelTrainer(config, {
    ...shape,
    parameters: initialParameters(config, 7),
    threads,
  });
  try {
    const list: number[] = [];
    for (let i = 0; i < count; i++)
      list.push((await trainer.step(counting, nextTokenTargets(counting, shape), 0.01)).loss);
    return { losses: list, weights: [...trainer.parameters().values()] };
  } finally {
    await trainer.close();
  }
}

describe("training a decoder", () => {
  it.each(["qwen3-gqa-f16", "qwen3-5-text-tied-f32", "qwen3-moe-bf16"] as const)(
    "steps of %s agree with PyTorch's AdamW: losses and gradient norms",
    async (name) => {
      const record = readJson<TrainingRecord>(name, "training.json");
      const trainer = await createLanguageModelTrainer(fixtureConfig(name), {
        batch: 2,
        sequenceLength: record.ids[0]!.length,
        parameters: await fixtureParameters(name),
        threads: 1,
      });
      const [ids, targets] = [Int32Array.from(record.ids.flat()), Int32Array.from(record.targets.flat())];
      for (const [i, expected] of record.losses.entries()) {
        if (i === 2) expect(await trainer.evaluate(ids, targets)).toBeCloseTo(expected, 3);
        const step = await trainer.step(ids, targets, record.learning_rate);
        expect(Math.abs(step.loss - expected) / expected, `loss of step ${i + 1}`).toBeLessThan(1e-4);
        expect(Math.abs(step.gradientNorm - record.norms[i]!) / record.norms[i]!, `norm of step ${i + 1}`).toBeLessThan(
          1e-3,
        );
      }
      expect(trainer.steps).toBe(record.losses.length);
      await trainer.close();
    },
  );

  it.each(fixtureNames)("the differentiable graph of %s has the cross-entropy of the inference graph", async (name) => {
    const config = fixtureConfig(name);
    const text = Int32Array.from({ length: 70 }, (_, i) => (i * i * 7 + 3) % config.vocabulary);
    const trained = { batch: 1, sequenceLength: text.length };
    const parameters = await fixtureParameters(name);
    const trainer = await createLanguageModelTrainer(config, { ...trained, parameters, threads: 1 });
    const model = await openModel(fixtureFolder(name), { threads: 1 });
    const [actual, expected] = [
      await trainer.evaluate(text, nextTokenTargets(text, trained)),
      await crossEntropyNats(model, [text]),
    ];
    expect(Math.abs(actual - expected) / expected).toBeLessThan(1e-5);
    await Promise.all([trainer.close(), model.close()]);
  });

  it.each([small, hybrid])("a sequence that repeats is learned ($family)", async (config) => {
    const { losses: list } = await losses(config, 1, 60);
    expect(list[0]).toBeGreaterThan(3);
    expect(list.at(-1)).toBeLessThan(0.3);
  });

  it("the same seed gives the same weights to the last bit, with one thread or two", async () => {
    const [one, again, two] = [await losses(small, 1, 5), await losses(small, 1, 5), await losses(small, 2, 5)];
    expect(again.weights).toEqual(one.weights);
    expect(two.weights).toEqual(one.weights);
  });

  it("a trainer made from a state goes on to the same bits as one that was never interrupted", async () => {
    const targets = nextTokenTargets(counting, shape);
    const options = { ...shape, threads: 1 };
    const first = await createLanguageModelTrainer(small, { ...options, parameters: initialParameters(small, 5) });
    for (let i = 0; i < 3; i++) await first.step(counting, targets, 0.01);
    const resumed = await createLanguageModelTrainer(small, {
      ...options,
      parameters: new Map(),
      state: first.state(),
    });
    expect(resumed.steps).toBe(3);
    for (const trainer of [first, resumed]) await trainer.step(counting, targets, 0.01);
    expect(resumed.state()).toEqual(first.state());
    await first.close();
    await resumed.close();
  });

  it("ids of another size are refused with both sizes", async () => {
    const trainer = await createLanguageModelTrainer(small, {
      ...shape,
      parameters: initialParameters(small, 1),
      threads: 1,
    });
    await expect(trainer.step(new Int32Array(5), new Int32Array(5), 0.01)).rejects.toThrow(/2 × 12, got 5/);
    await trainer.close();
  });

  it.each([small, hybrid])(
    "a written checkpoint reads back as the parameters, and its config as the config ($family)",
    async (config) => {
      const folder = await mkdtemp(join(tmpdir(), "checkpoint-"));
      const parameters = initialParameters(config, 3);
      await writeCheckpoint(folder, config, parameters, "float32");
      expect(parseDecoderConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")))).toEqual(config);
      const set = await openSafetensorsSet(folder);
      for (const [name, values] of parameters) expect(await readSetFloat32(set, name), name).toEqual(values);
      await rm(folder, { recursive: true });
    },
  );
});
