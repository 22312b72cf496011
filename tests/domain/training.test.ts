import { expect, test } from "vitest";
import { parse } from "../../domain/schema.ts";
import {
  checkMemory,
  defaultLearningRate,
  estimateSaeTrain,
  referenceMachine,
  resolveSaeTrain,
  SaeTrainInput,
} from "../../domain/training.ts";

const model = { layers: 6, dModel: 128, vocabSize: 4000, contextLength: 512 };
const given = { model_id: "m", dataset_id: "d", layers: [2, 3], width: 4096, k: 50, tokens: 2_000_000 };
const resolve = (changes: object = {}) => resolveSaeTrain(parse(SaeTrainInput, { ...given, ...changes }), model);

test("the learning rate follows the width: 2e-4 at 2^14 features", () => {
  expect(defaultLearningRate(2 ** 14)).toBeCloseTo(2e-4, 12);
  expect(defaultLearningRate(2 ** 12)).toBeCloseTo(4e-4, 12);
  expect(resolve().learning_rate).toBeCloseTo(4e-4, 12);
});

test("the resolved settings have every default written out and survive JSON", () => {
  const settings = resolve();
  expect(settings).toMatchObject({
    architecture: "topk",
    batch_tokens: 4096,
    seed: 0,
    norm_filter: 10,
    aux_weight: 1 / 32,
  });
  expect(JSON.parse(JSON.stringify(settings))).toEqual(settings);
  expect(resolveSaeTrain(settings, model)).toEqual(settings);
});

test("what was given stays as given", () => {
  expect(resolve({ learning_rate: 0.01, aux_k: 7, dead_after_tokens: 5 })).toMatchObject({
    learning_rate: 0.01,
    aux_k: 7,
    dead_after_tokens: 5,
  });
});

test("the context is never longer than the model's", () => {
  expect(resolve({ context_tokens: 8192 }).context_tokens).toBe(512);
});

test("a layer that the model does not have is named with its place in the list", () => {
  expect(() => resolve({ layers: [0, 6] })).toThrow(
    expect.objectContaining({
      code: "LAYER_OUT_OF_RANGE",
      errors: [expect.objectContaining({ pointer: "/input/layers/1" })],
    }),
  );
});

test("warm-up and decay that do not fit into the steps are refused; the default warm-up always fits", () => {
  expect(() => resolve({ tokens: 100 * 4096, warmup_steps: 90 })).toThrow(
    expect.objectContaining({
      code: "SETTINGS_CONTRADICTORY",
      errors: [expect.objectContaining({ pointer: "/input/warmup_steps" })],
    }),
  );
  expect(resolve({ tokens: 100 * 4096, warmup_steps: 80 }).warmup_steps).toBe(80);
  expect(resolve({ tokens: 100 * 4096, decay_fraction: 1 }).warmup_steps).toBe(0);
  expect(resolve({ tokens: 100 * 4096 + 4095 }).warmup_steps).toBe(5);
});

test("k above the width and less tokens than a batch are refused", () => {
  expect(() => resolve({ width: 32 })).toThrow(expect.objectContaining({ code: "K_ABOVE_WIDTH" }));
  expect(() => resolve({ tokens: 100 })).toThrow(expect.objectContaining({ code: "SETTINGS_CONTRADICTORY" }));
});

test("a norm filter below the median is refused, 0 and 1 are not", () => {
  for (const filter of [0, 1, 2.5]) expect(resolve({ norm_filter: filter }).norm_filter).toBe(filter);
  for (const filter of [1e-9, 0.99]) {
    expect(() => resolve({ norm_filter: filter })).toThrow(
      expect.objectContaining({
        code: "SETTINGS_CONTRADICTORY",
        errors: [expect.objectContaining({ pointer: "/input/norm_filter" })],
      }),
    );
  }
});

test("an estimate counts parameters exactly and grows with every size", () => {
  const base = estimateSaeTrain(resolve(), model);
  expect(base.parameters).toBe(2 * (2 * 128 * 4096 + 4096 + 128));
  expect(base.output_bytes).toBe(4 * base.parameters);
  expect(base.steps).toBe(Math.floor(2_000_000 / 4096));
  for (const change of [{ tokens: 4_000_000 }, { width: 8192 }, { layers: [2, 3, 4] }]) {
    const larger = estimateSaeTrain(resolve(change), model);
    expect(larger.flops, JSON.stringify(change)).toBeGreaterThan(base.flops);
    expect(larger.duration_s).toBeGreaterThan(base.duration_s);
  }
});

test("a run that no machine can hold is refused with both numbers", () => {
  const estimate = estimateSaeTrain(resolve(), model);
  checkMemory(estimate, referenceMachine);
  checkMemory(estimate, { flopsPerSecond: 1, memoryBytes: estimate.memory_bytes });
  expect(() => checkMemory(estimate, { flopsPerSecond: 1, memoryBytes: 1000 })).toThrow(
    expect.objectContaining({ code: "MEMORY_INSUFFICIENT", message: expect.stringContaining("1000") }),
  );
});
