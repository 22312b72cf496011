// A checkpoint of Qwen3-0.6B's shape with random weights, kept in the system's folder for temporary files: speed does not ask what
// the numbers are.

import { copyFile, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDecoderConfig } from "../engine/llm/config.ts";
import { parameterSpecs } from "../engine/llm/parameters.ts";
import { float32ToBfloat16 } from "../formats/half-float.ts";
import { type NamedTensor, writeSafetensors } from "../formats/safetensors.ts";

export interface RandomCheckpoint {
  readonly layers: number;
  readonly dtype: "float32" | "bfloat16";
}

/** The folder of the checkpoint; written on the first call (2.4 GB for 28 layers in float32), found there later. */
export async function randomCheckpoint({ layers, dtype }: RandomCheckpoint): Promise<string> {
  const folder = join(tmpdir(), "qwen-scope-bench", `qwen3-0.6b-${layers}-layers-${dtype}`);
  if (await stat(folder).catch(() => null)) return folder;
  const json = qwen3Config(layers, dtype);
  const specs = parameterSpecs(parseDecoderConfig(json));
  const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const numbers = uniformNumbers(specs.reduce((most, { shape }) => Math.max(most, count(shape)), 0) + specs.length);
  const ones = new Float32Array(4096).fill(1);
  const tensors = specs.map(({ name, shape, kind }, i): NamedTensor => {
    const values = kind === "norm" ? ones.subarray(0, count(shape)) : numbers.subarray(i, i + count(shape));
    return dtype === "float32"
      ? { name, dtype: "F32", shape, data: values }
      : { name, dtype: "BF16", shape, data: float32ToBfloat16(values) };
  });
  const unfinished = `${folder}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  await writeSafetensors(join(unfinished, "model.safetensors"), tensors, { format: "pt" });
  await writeFile(join(unfinished, "config.json"), JSON.stringify(json));
  const tokenizer = new URL("../tests/fixtures/models/qwen3-tied-f32/tokenizer.json", import.meta.url);
  await copyFile(tokenizer, join(unfinished, "tokenizer.json"));
  await rename(unfinished, folder).catch(() => rm(unfinished, { recursive: true }));
  return folder;
}

function qwen3Config(layers: number, dtype: string) {
  return {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    dtype,
    vocab_size: 151_936,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: layers,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    hidden_act: "silu",
    attention_bias: false,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 40_960,
    tie_word_embeddings: true,
    use_sliding_window: false,
    // Outside the vocabulary of random answers: none ends early.
    eos_token_id: 151_935,
  };
}

/** Uniform with standard deviation 0.02, by xorshift: normal numbers would take a minute. */
function uniformNumbers(count: number): Float32Array {
  const numbers = new Float32Array(count);
  const width = (2 * 0.02 * Math.sqrt(3)) / 2 ** 32;
  let state = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    numbers[i] = state * width;
  }
  return numbers;
}
