// A model as files: a random start from a seed, and a folder that every library of the Hugging Face family opens.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { float32ToBfloat16, float32ToFloat16 } from "../../formats/half-float.ts";
import { type NamedTensor, writeSafetensors } from "../../formats/safetensors.ts";
import { createRandom } from "../runtime/random.ts";
import type { DecoderConfig } from "./config.ts";
import { formatDecoderConfig } from "./config-format.ts";
import { parameterSpecs } from "./parameters.ts";

export type ParameterValues = ReadonlyMap<string, Float32Array>;

/**
 * A random start: matrices and embeddings from N(0, 0.02²), projections back into the residual stream from
 * N(0, 0.02²/(2·layers)) so that its variance does not grow with depth (Radford et al. 2019, section 2.3), norms 1, biases 0;
 * in a delta net the decay rate from U(0.01, 16) (given as its logarithm) with bias 1, and the convolution from U(±1/√kernel).
 */
export function initialParameters(config: DecoderConfig, seed: number): Map<string, Float32Array> {
  const root = createRandom(seed);
  const values = new Map<string, Float32Array>();
  for (const { name, shape, kind } of parameterSpecs(config)) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (kind === "norm" || kind === "decay_bias") data.fill(1);
    if (kind === "decay" || kind === "convolution") {
      const random = root.fork(name);
      const bound = 1 / Math.sqrt(shape.at(-1)!);
      const draw = {
        decay: () => Math.log(0.01 + 15.99 * random.float()),
        convolution: () => bound * (2 * random.float() - 1),
      };
      for (let i = 0; i < data.length; i++) data[i] = draw[kind]();
    }
    if (kind === "matrix" || kind === "router" || kind === "embedding") {
      const intoResidual =
        name.endsWith("o_proj.weight") || name.endsWith("out_proj.weight") || name.endsWith("down_proj.weight");
      const deviation = intoResidual ? 0.02 / Math.sqrt(2 * config.layers) : 0.02;
      const random = root.fork(name);
      for (let i = 0; i < data.length; i++) data[i] = deviation * random.normal();
    }
    values.set(name, data);
  }
  return values;
}

/** Writes config.json, generation_config.json and model.safetensors into `folder`; the tokenizer's files are the caller's. */
export async function writeCheckpoint(
  folder: string,
  config: DecoderConfig,
  parameters: ParameterValues,
  dtype: "float32" | "float16" | "bfloat16",
): Promise<void> {
  const json = formatDecoderConfig(config, dtype);
  await mkdir(folder, { recursive: true });
  const tensors = parameterSpecs(config).map(({ name, shape }): NamedTensor => {
    const values = parameters.get(name);
    if (!values) throw new RangeError(`parameter ${name} is missing`);
    if (dtype === "float32") return { name, dtype: "F32", shape, data: values };
    if (dtype === "float16") return { name, dtype: "F16", shape, data: float32ToFloat16(values) };
    return { name, dtype: "BF16", shape, data: float32ToBfloat16(values) };
  });
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
  await writeFile(join(folder, "config.json"), `${JSON.stringify(json, null, 2)}\n`);
  const generation = { bos_token_id: json.bos_token_id, eos_token_id: json.eos_token_id };
  await writeFile(join(folder, "generation_config.json"), `${JSON.stringify(generation, null, 2)}\n`);
}
