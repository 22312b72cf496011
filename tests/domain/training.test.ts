import { expect, test } from "vitest";
import { parse } from "../../domain/schema.ts";
import { SaeTrainInput } from "../../domain/training.ts";
import { checkMemory, crossEntropyTokens, estimateSaeTrain, referenceMachine } from "../../domain/training-cost.ts";
import { defaultLearningRate, plannedSaes, resolveSaeTrain } from "../../domain/training-laws.ts";

const model = { layers: 6, dModel: 128, vocabSize: 4000, contextLength: 512 };
const given = { model_id: "m", dataset_id: "d", layers: [2, 3], width: 4096, k: 50, tokens: 2_000_000 };
const refusal = (pointer: string) =>
  expect.objectContaining({ code: "SETTINGS_CONTRADICTORY", errors: [expect.objectContaining({ pointer })] });
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

test("the width is given, or an expansion of the model's own, but one of them", () => {
  expect(resolve({ width: undefined, expansion: 16 })).toMatchObject({
    width: 2048,
    variants: [{ width: 2048, k: 50 }],
  });
  expect(() => resolve({ expansion: 16 })).toThrow(refusal("/input/expansion"));
  expect(() => resolve({ width: undefined })).toThrow(expect.objectContaining({ code: "VALIDATION_FAILED" }));
  expect(() => resolve({ width: undefined, expansion: 0.001 })).toThrow(refusal("/input/expansion"));
});

test("several widths and k in one job have defaults of their own, and names that tell them apart", () => {
  const variants = [
    { width: 2048, k: 32 },
    { expansion: 32, k: 50, learning_rate: 1e-3 },
  ];
  const settings = resolve({ width: undefined, k: undefined, variants });
  expect(settings.variants).toMatchObject([
    { width: 2048, k: 32, learning_rate: defaultLearningRate(2048) },
    { width: 4096, k: 50, learning_rate: 1e-3 },
  ]);
  expect(resolveSaeTrain(settings, model)).toEqual(settings);
  expect(plannedSaes(settings).map((sae) => sae.suffix)).toEqual([
    "-layer2-w2048-k32",
    "-layer2-w4096-k50",
    "-layer3-w2048-k32",
    "-layer3-w4096-k50",
  ]);
  expect(plannedSaes(resolve()).map((sae) => sae.suffix)).toEqual(["-layer2", "-layer3"]);
  expect(() => resolve({ variants })).toThrow(refusal("/input/width"));
  for (const ofEach of [
    { learning_rate: 1e-2 },
    { k_start: 64, k_anneal_steps: 9 },
    { aux_k: 5 },
    { prefixes: [2048] },
  ]) {
    const beside = { width: undefined, k: undefined, variants, ...ofEach };
    expect(() => resolve(beside)).toThrow(refusal(`/input/${Object.keys(ofEach)[0]}`));
  }
  const twice = [variants[0], { width: 2048, k: 32, learning_rate: 1e-2 }];
  expect(() => resolve({ width: undefined, k: undefined, variants: twice })).toThrow(refusal("/input/variants/1"));
});

test("each architecture has settings of its own, and refuses those of another", () => {
  const jumpRelu = resolve({ architecture: "jumprelu" });
  expect(jumpRelu).toMatchObject({ adam_beta1: 0, aux_weight: 0, bandwidth: 0.001, sparsity_warmup_steps: 49 });
  expect(resolve({ architecture: "batch_topk", threshold_beta: 0.5 }).threshold_beta).toBe(0.5);
  expect(resolve()).not.toHaveProperty("bandwidth");
  for (const settings of [jumpRelu, resolve({ architecture: "matryoshka_topk", prefixes: [64, 4096] })]) {
    expect(resolveSaeTrain(settings, model)).toEqual(settings);
    expect(JSON.parse(JSON.stringify(settings))).toEqual(settings);
  }
  for (const [change, pointer] of [
    [{ bandwidth: 0.1 }, "/input/bandwidth"],
    [{ architecture: "jumprelu", threshold_beta: 0.9 }, "/input/threshold_beta"],
    [{ prefixes: [64, 4096] }, "/input/prefixes"],
    [{ architecture: "matryoshka_topk", prefixes: [64, 1000] }, "/input/prefixes"],
    [{ architecture: "matryoshka_topk", prefixes: [64, 64, 4096] }, "/input/prefixes"],
    [{ architecture: "jumprelu", k_start: 100, k_anneal_steps: 10 }, "/input/k_start"],
    [{ k_start: 20, k_anneal_steps: 10 }, "/input/k_start"],
    [{ k_start: 100 }, "/input/k_anneal_steps"],
    [{ k_start: 100, k_anneal_steps: 489 }, "/input/k_anneal_steps"],
    [{ spike_factor: 0.5 }, "/input/spike_factor"],
  ] as const) {
    expect(() => resolve(change), JSON.stringify(change)).toThrow(refusal(pointer));
  }
});

test("every optional setting of training says its unit and where its default comes from", () => {
  const plain = ["name", "model_id", "dataset_id", "activations_id", "layers", "architecture", "variants"];
  for (const [name, schema] of Object.entries(SaeTrainInput.properties)) {
    if (plain.includes(name)) continue;
    const said = schema as { description?: string; default?: unknown; "x-unit"?: string; "x-source"?: string };
    expect(said, name).toMatchObject({ description: expect.any(String), "x-unit": expect.any(String) });
    expect(said["x-source"], name).toEqual(expect.any(String));
    const hasDefault = said.default !== undefined || /if absent|this or/.test(said.description!);
    expect(hasDefault || ["k", "tokens"].includes(name), name).toBe(true);
  }
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

test("an estimate counts the held-out tokens that are scored: an eighth of those measured, 512 at least", () => {
  const seconds = (evaluation_tokens: number) => estimateSaeTrain(resolve({ evaluation_tokens }), model).duration_s;
  expect([64, 4096, 16_384, 10_000_000].map(crossEntropyTokens)).toEqual([512, 512, 2048, 16_384]);
  expect(seconds(131_072) - seconds(16_384)).toBeGreaterThan(2 * (seconds(16_384) - seconds(4096)));
});

test("a run that no machine can hold is refused with both numbers", () => {
  const estimate = estimateSaeTrain(resolve(), model);
  checkMemory(estimate, referenceMachine);
  checkMemory(estimate, { ...referenceMachine, memoryBytes: estimate.memory_bytes });
  expect(() => checkMemory(estimate, { ...referenceMachine, memoryBytes: 1000 })).toThrow(
    expect.objectContaining({ code: "MEMORY_INSUFFICIENT", message: expect.stringContaining("1000") }),
  );
});
