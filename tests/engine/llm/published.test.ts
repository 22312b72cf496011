import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseDecoderConfig } from "../../../engine/llm/config.ts";
import { formatDecoderConfig } from "../../../engine/llm/config-format.ts";
import { families } from "../../../engine/llm/families.ts";
import { parameterCount } from "../../../engine/llm/parameters.ts";
import { inverseFrequencies, parseRope, rotationGain } from "../../../engine/llm/rope.ts";
import { relativeError } from "./fixtures.ts";

interface Published {
  name: string;
  /** Weights, an untied head counted and a tied one not; null: of the decoder only the name says how many. */
  parameters: number | null;
  config: Record<string, unknown>;
}

interface ScalingRecord {
  title: string;
  context: number;
  rope: Record<string, unknown>;
  frequencies: number[];
  factor: number;
}

const read = <T>(file: string): T =>
  JSON.parse(readFileSync(new URL(`../../fixtures/models/${file}`, import.meta.url), "utf8")) as T;
const published = read<Published[]>("published.json");
const configOf = (name: string) => parseDecoderConfig(published.find((one) => one.name === name)!.config);

describe("configs as they are published", () => {
  it.each(published)("$name has as many parameters as it is said to have", ({ name, parameters, config }) => {
    const count = parameterCount(parseDecoderConfig(config));
    if (parameters !== null) return expect(count).toBe(parameters);
    const billions = Number(/-(\d+)B/.exec(name)![1]);
    expect(Math.abs(count / 1e9 - billions) / billions).toBeLessThan(0.07);
  });

  it("windows are those of the first Mistral alone: the others name them and do not use them", () => {
    const windowed = published.filter(({ config }) =>
      parseDecoderConfig(config).layerKinds.some(({ window }) => window !== null),
    );
    expect(windowed.map(({ name }) => name)).toEqual(["Mistral-7B-v0.1"]);
    expect(configOf("Mistral-7B-v0.1").layerKinds[31]).toEqual({
      mixer: "attention",
      window: 4096,
      feedForward: "dense",
    });
  });

  it("mixtures of experts are those of the two MoE families, with a shared expert in the later one", () => {
    expect(configOf("Qwen3-30B-A3B").experts).toEqual({
      count: 128,
      active: 8,
      width: 768,
      normalized: true,
      sharedWidth: null,
    });
    expect(configOf("Qwen3.5-35B-A3B").experts).toEqual({
      count: 256,
      active: 8,
      width: 512,
      normalized: true,
      sharedWidth: 512,
    });
    expect(configOf("Qwen3-32B").experts).toBeNull();
  });

  it("what is written is what was read, unless it is one part of a multimodal checkpoint", () => {
    for (const { config } of published) {
      const parsed = parseDecoderConfig(config);
      if (families[parsed.family].textConfig !== null) continue;
      expect(parseDecoderConfig(formatDecoderConfig(parsed, "bfloat16"))).toEqual(parsed);
    }
  });
});

it("windows follow max_window_layers, or layer_types where the config has them", () => {
  const base = { ...published.find(({ name }) => name === "Qwen2.5-7B")!.config, num_hidden_layers: 4 };
  const windows = (change: object) =>
    parseDecoderConfig({ ...base, use_sliding_window: true, sliding_window: 4096, ...change }).layerKinds.map(
      ({ window }) => window,
    );
  expect(windows({ max_window_layers: 3 })).toEqual([null, null, null, 4096]);
  expect(windows({ max_window_layers: 4 })).toEqual([null, null, null, null]);
  const types = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"];
  expect(windows({ layer_types: types })).toEqual([4096, null, 4096, null]);
  // As long as the context: no window at all.
  expect(windows({ max_window_layers: 0, sliding_window: 131072 })).toEqual([null, null, null, null]);
});

it.each(read<ScalingRecord[]>("rope-scalings.json"))(
  "rotary positions of $title have the frequencies and the gain of transformers",
  ({ context, rope, frequencies, factor }) => {
    const parsed = parseRope({ rope_parameters: rope }, 128, 1, context);
    expect(parsed).toEqual(
      parseRope({ rope_theta: rope.rope_theta, rope_scaling: { ...rope, type: rope.rope_type } }, 128, 1, context),
    );
    const actual = inverseFrequencies(parsed);
    // Theirs blend in float32, which costs some last digits where the two frequencies differ most.
    for (const [i, f] of frequencies.entries()) {
      expect(Math.abs(actual[i]! - f) / f, `frequency ${i}`).toBeLessThan(2e-6);
    }
    expect(relativeError([rotationGain(parsed)], [factor]).error).toBeLessThan(1e-12);
  },
);
