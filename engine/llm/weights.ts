// The weights of a checkpoint folder, checked against the config before a graph is built over them.

import { realpath } from "node:fs/promises";
import { dirname, relative } from "node:path";
import type { SafetensorsDType } from "../../formats/safetensors.ts";
import type { SafetensorsSet } from "../../formats/safetensors-index.ts";
import type { DType, FileRange } from "../onnx/graph.ts";
import type { DecoderConfig } from "./config.ts";
import { ModelConfigError } from "./config-json.ts";
import { parameterSpecs } from "./parameters.ts";
import type { QuantizedWeights } from "./quantized-weights.ts";
import type { StoredWeights } from "./stored-weights.ts";

const storedTypes: Partial<Record<SafetensorsDType, DType>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

export interface CheckpointWeights extends StoredWeights {
  /** The folder that the file names are relative to: real paths, because links out of a folder are refused. */
  readonly folder: string;
  readonly parameterBytes: number;
}

/**
 * Finds every parameter of the model in the files.
 *
 * @throws ModelConfigError naming the tensor that is missing, or has another shape than the config says, or a type that is not a float.
 */
export async function checkWeights(
  config: DecoderConfig,
  set: SafetensorsSet,
  quantized: QuantizedWeights | null = null,
): Promise<CheckpointWeights> {
  const found = new Map<string, { path: string; dtype: DType; offset: number; lengthBytes: number }>();
  const paths = new Map<string, string>();
  for (const { path } of [...set.files, ...(quantized ? [quantized] : [])]) paths.set(path, await realpath(path));
  for (const { name, shape } of parameterSpecs(config)) {
    const entry = set.tensors.get(name);
    if (!entry) throw new ModelConfigError(`tensor ${JSON.stringify(name)} is missing`);
    const dtype = storedTypes[entry.dtype];
    if (!dtype)
      throw new ModelConfigError(
        `tensor ${JSON.stringify(name)} is ${entry.dtype}; float32, float16 and bfloat16 are supported`,
      );
    if (entry.shape.join() !== shape.join()) {
      throw new ModelConfigError(
        `tensor ${JSON.stringify(name)} is [${entry.shape.join(", ")}], config.json says [${shape.join(", ")}]`,
      );
    }
    found.set(name, { path: paths.get(entry.file.path)!, dtype, offset: entry.offset, lengthBytes: entry.lengthBytes });
  }
  // A hub cache links every file to a blob elsewhere, possibly each to another folder: the common parent serves all.
  const folder = commonFolder([...paths.values()]);
  const within = ({ file, ...range }: FileRange) => ({ ...range, file: relative(folder, paths.get(file)!) });
  return {
    folder,
    parameterBytes: [...found.values()].reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    stored(name) {
      const { path, dtype, offset, lengthBytes } = found.get(name)!;
      return { dtype, where: { file: relative(folder, path), offset, lengthBytes } };
    },
    blocks(name) {
      const found = quantized?.blocks(name);
      return found ? { bits: found.bits, packed: within(found.packed), scales: within(found.scales) } : null;
    },
  };
}

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (paths.some((path) => relative(folder, path).startsWith(".."))) folder = dirname(folder);
  return folder;
}
