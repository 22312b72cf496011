import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDecoderConfig } from "../../../engine/llm/config.ts";
import { ModelConfigError } from "../../../engine/llm/config-json.ts";
import { openModel } from "../../../engine/llm/model.ts";
import { encodeSafetensors, parseSafetensors } from "../../../formats/safetensors.ts";
import { fixtureFolder } from "./fixtures.ts";

const base = {
  model_type: "qwen3",
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  vocab_size: 32,
};

describe("config.json", () => {
  it("transformers 4 and 5 write the same model", () => {
    const old = parseDecoderConfig({
      ...base,
      torch_dtype: "bfloat16",
      rope_theta: 1e6,
      rope_scaling: null,
      sliding_window: null,
    });
    const next = parseDecoderConfig({
      ...base,
      dtype: "bfloat16",
      rope_parameters: { rope_type: "default", rope_theta: 1e6, partial_rotary_factor: 1 },
      layer_types: ["full_attention", "full_attention"],
    });
    expect(old).toEqual(next);
    expect(old.rope.theta).toBe(1e6);
  });

  it("keys that a file leaves out have the family's own defaults", () => {
    const { head_dim, num_key_value_heads, ...rest } = base;
    expect(parseDecoderConfig({ ...rest, num_attention_heads: 64 })).toMatchObject({
      headDim: 128,
      kvHeads: 32,
      rope: { theta: 10000 },
      tiedEmbeddings: false,
    });
    expect(parseDecoderConfig({ ...rest, model_type: "llama" })).toMatchObject({
      headDim: 2,
      kvHeads: 4,
      headNorm: false,
      inputBias: false,
    });
    expect(
      parseDecoderConfig({ ...rest, num_attention_heads: 32, hidden_size: 64, model_type: "qwen2" }),
    ).toMatchObject({ headDim: 2, inputBias: true, outputBias: false });
  });

  const refused: [string, object, RegExp][] = [
    ["another family", { model_type: "gpt2" }, /model_type "gpt2".*qwen3, qwen2, llama/],
    ["a family that descends from a known one", { model_type: "qwen3_vl" }, /"qwen3_vl".*, qwen3 is the nearest$/],
    ["a mixture of a known family", { model_type: "qwen2_moe" }, /"qwen2_moe".*, qwen2 is the nearest$/],
    ["a family of other descent", { model_type: "olmo2" }, /"olmo2".*, llama is the nearest$/],
    ["a family named like an object's property", { model_type: "constructor" }, /model_type/],
    [
      "another rope scaling of transformers 4, with the nearest",
      { rope_scaling: { type: "dynamic", factor: 4 } },
      /rope_scaling.*"dynamic".*linear.*yarn is the nearest/,
    ],
    [
      "another rope scaling of transformers 5",
      { rope_parameters: { rope_type: "longrope", rope_theta: 1 } },
      /rope_parameters.*"longrope"/,
    ],
    [
      "another rope scaling beside plain rope parameters",
      { rope_parameters: { rope_theta: 1e6 }, rope_scaling: { rope_type: "dynamic", factor: 4 } },
      /rope_scaling.*"dynamic"/,
    ],
    [
      "two different rope scalings",
      { rope_parameters: { rope_type: "linear", factor: 2 }, rope_scaling: { rope_type: "yarn", factor: 4 } },
      /different scalings/,
    ],
    ["a rope scaling without its factor", { rope_scaling: { rope_type: "linear" } }, /rope_scaling: factor is missing/],
    [
      "a rope scaling that shrinks",
      { rope_scaling: { rope_type: "linear", factor: 0.5 } },
      /factor must be at least 1/,
    ],
    [
      "rope parameters per layer type",
      { rope_parameters: { full_attention: { rope_type: "default", rope_theta: 1e6 } } },
      /rope_parameters\.full_attention: .*per layer type/,
    ],
    ["a list of rope parameters", { rope_parameters: [{ rope_theta: 1e6 }] }, /rope_parameters is not an object/],
    ["a rotation of half the head", { partial_rotary_factor: 0.5 }, /^partial_rotary_factor 0\.5/],
    [
      "a rotation of half the head in rope_parameters",
      { rope_parameters: { rope_type: "default", rope_theta: 1e6, partial_rotary_factor: 0.5 } },
      /rope_parameters\.partial_rotary_factor 0\.5/,
    ],
    [
      "a sliding window where the family has none",
      { model_type: "llama", sliding_window: 128 },
      /sliding_window.*llama/,
    ],
    [
      "a sliding layer where the family has none",
      { model_type: "llama", layer_types: ["full_attention", "sliding_attention"] },
      /layer_types.*"sliding_attention"/,
    ],
    ["a sliding layer without a window", { layer_types: ["full_attention", "sliding_attention"] }, /no sliding window/],
    ["a layer of another kind", { layer_types: ["full_attention", "chunked_attention"] }, /"chunked_attention"/],
    ["more experts for a token than there are", { model_type: "qwen3_moe", num_experts: 4 }, /num_experts_per_tok 8/],
    ["layers that are not one", { model_type: "qwen3_moe", mlp_only_layers: "1" }, /mlp_only_layers/],
    ["another activation", { hidden_act: "gelu" }, /hidden_act "gelu"/],
    ["quantised weights", { quantization_config: { quant_method: "gptq" } }, /quantization_config: .*int8 or int4/],
    ["heads that do not divide", { num_attention_heads: 5 }, /num_attention_heads 5/],
    ["a missing size", { hidden_size: undefined }, /hidden_size is missing/],
    ["a size that is no integer", { num_hidden_layers: 1.5 }, /num_hidden_layers/],
    ["an odd head", { head_dim: 5 }, /head_dim 5 is odd/],
    ["a flag that is not one", { tie_word_embeddings: "yes" }, /tie_word_embeddings/],
  ];
  it.each(refused)("%s is refused by name", (_what, change, message) => {
    expect(() => parseDecoderConfig({ ...base, ...change })).toThrow(ModelConfigError);
    expect(() => parseDecoderConfig({ ...base, ...change })).toThrow(message);
  });
});

describe("a checkpoint folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "model-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function copyWith(
    change: (name: string, shape: readonly number[]) => { name: string; shape: readonly number[] } | null,
  ): Promise<string> {
    const copy = await mkdtemp(join(folder, "copy-"));
    await cp(fixtureFolder("qwen3-tied-f32"), copy, { recursive: true });
    const file = parseSafetensors(await readFile(join(copy, "model.safetensors")));
    const tensors = [...file.tensors.values()].flatMap((entry) => {
      const changed = change(entry.name, entry.shape);
      return changed ? [{ dtype: entry.dtype, data: file.bytesOf(entry.name), ...changed }] : [];
    });
    await writeFile(join(copy, "model.safetensors"), encodeSafetensors(tensors));
    return copy;
  }

  it("a missing tensor and a tensor of another shape are named", async () => {
    const missing = await copyWith((name, shape) =>
      name === "model.layers.1.mlp.up_proj.weight" ? null : { name, shape },
    );
    await expect(openModel(missing)).rejects.toThrow(/"model.layers.1.mlp.up_proj.weight" is missing/);
    const turned = await copyWith((name, shape) => ({
      name,
      shape: name.endsWith("0.mlp.up_proj.weight") ? [...shape].reverse() : shape,
    }));
    await expect(openModel(turned)).rejects.toThrow(/is \[48, 64\], config.json says \[64, 48\]/);
  });

  it("a tensor of a type that the engine cannot take is refused when the model has it, and passed over when it has not", async () => {
    const bytes = await readFile(join(fixtureFolder("qwen3-tied-f32"), "model.safetensors"));
    const file = parseSafetensors(bytes);
    const plain = [...file.tensors.values()].map((entry) => ({ ...entry, data: file.bytesOf(entry.name) }));
    const copy = await copyWith((name, shape) => ({ name, shape }));
    const unused = { name: "unused", dtype: "F8_E4M3" as const, shape: [8], data: new Uint8Array(8) };
    await writeFile(join(copy, "model.safetensors"), encodeSafetensors([...plain, unused]));
    await (await openModel(copy, { threads: 1 })).close();
    const oneByteEach = ({ shape }: { shape: readonly number[] }) => new Uint8Array(shape.reduce((a, b) => a * b, 1));
    const needed = plain.map((entry) =>
      entry.name.endsWith("0.mlp.up_proj.weight")
        ? { ...entry, dtype: "F8_E4M3" as const, data: oneByteEach(entry) }
        : entry,
    );
    await writeFile(join(copy, "model.safetensors"), encodeSafetensors(needed));
    await expect(openModel(copy)).rejects.toThrow(/"model.layers.0.mlp.up_proj.weight" is F8_E4M3/);
  });

  it("a missing config or tokenizer is named", async () => {
    const copy = await copyWith((name, shape) => ({ name, shape }));
    await rm(join(copy, "tokenizer.json"));
    await expect(openModel(copy)).rejects.toThrow(/tokenizer.json is missing/);
    await writeFile(join(copy, "config.json"), "{");
    await expect(openModel(copy)).rejects.toThrow(/config.json is not JSON/);
    await rm(join(copy, "config.json"));
    await expect(openModel(copy)).rejects.toThrow(/config.json is missing/);
  });

  it("a hub cache, whose files are links to blobs elsewhere, opens", async () => {
    const snapshot = await mkdtemp(join(folder, "snapshot-"));
    const source = fixtureFolder("qwen3-untied-bf16-sharded");
    const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"];
    for (let i = 1; i <= 5; i++) names.push(`model-0000${i}-of-00005.safetensors`);
    for (const [i, name] of names.entries()) {
      const blobs = await mkdtemp(join(folder, "blobs-"));
      await cp(join(source, name), join(blobs, `blob${i}`));
      await symlink(join(blobs, `blob${i}`), join(snapshot, name));
    }
    const [linked, plain] = [await openModel(snapshot, { threads: 1 }), await openModel(source, { threads: 1 })];
    const input = { sequences: 1, tokens: 3, ids: Int32Array.of(5, 6, 7), logitRows: [2] };
    expect((await linked.forward(input)).logits).toEqual((await plain.forward(input)).logits);
    await linked.close();
    await plain.close();
  });
});
