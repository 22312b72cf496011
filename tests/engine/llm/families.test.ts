import { describe, expect, it } from "vitest";
import { initialParameters, writeCheckpoint } from "../../../engine/llm/checkpoint.ts";
import { type DecoderConfig, parseDecoderConfig } from "../../../engine/llm/config.ts";
import { ModelConfigError } from "../../../engine/llm/config-json.ts";
import { parameterSpecs } from "../../../engine/llm/parameters.ts";
import { openSafetensorsSet } from "../../../formats/safetensors-index.ts";
import { fixtureConfig, fixtureFolder, readJson } from "./fixtures.ts";

const text = {
  model_type: "qwen3_5_text",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  vocab_size: 64,
};
const whole = { model_type: "qwen3_5", text_config: text, vision_config: { depth: 1 } };

const mixers = ({ layerKinds }: DecoderConfig) => layerKinds.map(({ mixer }) => mixer);

describe("the hybrid family", () => {
  it("keys that a file leaves out have transformers' defaults: every fourth layer attends, a quarter of a head of 256 rotates", () => {
    const config = parseDecoderConfig(text);
    expect(config).toMatchObject({
      headDim: 256,
      kvHeads: 4,
      rope: { theta: 10000, dims: 64 },
      deltaNet: { keyHeads: 16, valueHeads: 32, keyDim: 128, valueDim: 128, kernel: 4 },
      centredNorms: true,
      outputGate: true,
    });
    expect(mixers(config)).toEqual(["delta_net", "delta_net", "delta_net", "attention"]);
  });

  it("layers are named one by one, or by their interval", () => {
    const types = ["full_attention", "linear_attention", "full_attention", "linear_attention"];
    expect(mixers(parseDecoderConfig({ ...text, layer_types: types }))).toEqual([
      "attention",
      "delta_net",
      "attention",
      "delta_net",
    ]);
    const everySecond = parseDecoderConfig({ ...text, full_attention_interval: 2 });
    expect(mixers(everySecond)).toEqual(["delta_net", "attention", "delta_net", "attention"]);
  });

  it("the decoder of a multimodal file is the one of its text_config, under its own prefix; the outer file decides what both say", () => {
    const inner = parseDecoderConfig({ ...text, eos_token_id: 7 });
    const outer = parseDecoderConfig({
      ...whole,
      text_config: { ...text, eos_token_id: 5, tie_word_embeddings: false },
      eos_token_id: 7,
      tie_word_embeddings: true,
    });
    expect(outer).toEqual({
      ...inner,
      family: "qwen3_5",
      tensorPrefix: "model.language_model",
      tiedEmbeddings: true,
    });
  });

  it("every tensor of the decoder is one of the file, and what is left over is the vision tower and the further layers", async () => {
    const name = "qwen3-5-multimodal-bf16";
    const names = new Set(parameterSpecs(fixtureConfig(name)).map((spec) => spec.name));
    const { tensors } = await openSafetensorsSet(fixtureFolder(name));
    expect([...names].filter((own) => !tensors.has(own))).toEqual([]);
    const others = [...tensors.keys()].filter((own) => !names.has(own));
    expect(others.filter((own) => !/^(model\.visual|mtp)\./.test(own))).toEqual([]);
    expect(others.length).toBeGreaterThan(10);
  });

  const refused: [string, object, RegExp][] = [
    [
      "another kind of layer",
      { layer_types: Array(4).fill("mamba") },
      /layer_types: "mamba".*full_attention.*linear_attention/,
    ],
    ["a list of another length", { layer_types: ["full_attention"] }, /layer_types names 1 layers.*is 4/],
    [
      "no layer that attends",
      { layer_types: Array(4).fill("linear_attention") },
      /layer_types:.*without a full_attention/,
    ],
    [
      "value heads that share no key heads evenly",
      { linear_num_key_heads: 3 },
      /linear_num_value_heads 32.*linear_num_key_heads 3/,
    ],
    ["attention without its gate", { attn_output_gate: false }, /attn_output_gate false.*true is/],
    [
      "a rotation of nothing",
      { partial_rotary_factor: 0 },
      /partial_rotary_factor 0 is not supported; numbers above 0/,
    ],
    ["a rotation of an odd number", { head_dim: 12, partial_rotary_factor: 0.25 }, /rotates 3 of 12/],
    ["another activation", { hidden_act: "gelu" }, /hidden_act "gelu".*silu/],
  ];
  it.each(refused)("%s is refused by name, with what is supported", (_what, change, message) => {
    for (const config of [
      { ...text, ...change },
      { ...whole, text_config: { ...text, ...change } },
    ]) {
      expect(() => parseDecoderConfig(config)).toThrow(ModelConfigError);
      expect(() => parseDecoderConfig(config)).toThrow(message);
    }
  });

  it("a multimodal file without a decoder is refused, and so is quantisation said beside it", () => {
    expect(() => parseDecoderConfig({ ...whole, text_config: undefined })).toThrow(/text_config is missing/);
    expect(() => parseDecoderConfig({ ...whole, quantization_config: { quant_method: "fp8" } })).toThrow(
      /quantization_config/,
    );
  });

  it("a decoder is not written as a multimodal file, which would lack its other parts", async () => {
    const config = parseDecoderConfig({ ...whole, text_config: readJson("qwen3-5-text-tied-f32", "config.json") });
    const parameters = initialParameters(config, 1);
    await expect(writeCheckpoint("/nowhere", config, parameters, "float32")).rejects.toThrow(/qwen3_5_text/);
  });
});
