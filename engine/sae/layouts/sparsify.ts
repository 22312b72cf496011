// EleutherAI's sparsify directories: cfg.json and sae.safetensors, as eai-sparsify 1.x writes them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readRows, type StoredTensor } from "../../../formats/stored-tensor.ts";
import { createSafetensorsFile, openSafetensorsRows } from "../../../formats/tensor-file.ts";
import type { SparseAutoencoder } from "../architecture.ts";
import { configFile, type LayoutConfig, readLayoutConfig, sizeField, writeLayoutConfig } from "./config-file.ts";
import { foldInputBias, unfoldInputBias } from "./folding.ts";
import { asReader, type OpenedLayout, type SaeReader } from "./sae-reader.ts";
import { copyFeatures, storedAs, type WriteSteps, type WrittenDType } from "./sae-writer.ts";

const weightsFile = "sae.safetensors";

/**
 * Opens a directory in Qwen-Scope's convention. sparsify takes b_dec from the input before it encodes, which is folded into
 * b_enc (in float64, rounded once). Transcoders, skip connections and groupmax are refused. Throws RangeError naming the
 * field of cfg.json, SafetensorsError naming the tensor.
 */
export async function openSparsify(folder: string): Promise<OpenedLayout> {
  const config = await readLayoutConfig(folder);
  refuseUnsupported(config);
  const dModel = sizeField(config, "d_in");
  // 0 means "by the expansion factor".
  const width = config.num_latents ? sizeField(config, "num_latents") : dModel * sizeField(config, "expansion_factor");
  const k = sizeField(config, "k");
  const file = await openSafetensorsRows(join(folder, weightsFile));
  try {
    const W_enc_FD = file.tensor("encoder.weight", [width, dModel]);
    const b_enc_F = file.tensor("encoder.bias", [width]);
    const W_dec_FD = file.tensor("W_dec", [width, dModel]);
    const b_dec_D = await readRows(file.tensor("b_dec", [dModel]), 0, dModel);
    const reader: SaeReader = {
      ...{ dModel, width, b_dec_D, rule: { kind: "topk", k } },
      async read(from, to) {
        const read = (tensor: StoredTensor) => readRows(tensor, from, to);
        const block = { W_enc_ND: await read(W_enc_FD), b_enc_N: await read(b_enc_F), W_dec_ND: await read(W_dec_FD) };
        return foldInputBias(block, b_dec_D);
      },
      close: () => file.close(),
    };
    return { reader, origin: { modelName: null, hookName: null, layer: null } };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function refuseUnsupported(config: LayoutConfig): void {
  const activation = config.activation ?? "topk";
  if (activation !== "topk") {
    throw new RangeError(`${configFile}: activation must be "topk", got ${JSON.stringify(activation)}`);
  }
  for (const field of ["transcode", "skip_connection"]) {
    if (config[field]) throw new RangeError(`${configFile}: ${field} is not supported`);
  }
  // Files from before version 1.0 say it outright, and mean another forward pass.
  if (config.signed) throw new RangeError(`${configFile}: signed is not supported`);
}

interface WriteOptions extends WriteSteps {
  readonly dtype?: WrittenDType;
}

/**
 * Writes a directory that sparsify (`SparseCoder.load_from_disk`) and `openSparsify` load; only for the rule topk.
 *
 * W_enc, W_dec and b_dec are the same bit for bit. b_enc is stored as b_enc + W_enc·b_dec, because sparsify takes b_dec from the
 * input; read again, it is within half a unit in the last place of the larger of the two.
 */
export async function writeSparsify(
  folder: string,
  sae: SparseAutoencoder | SaeReader,
  options: WriteOptions = {},
): Promise<void> {
  const reader = asReader(sae);
  const { dModel, width, rule, b_dec_D } = reader;
  if (rule.kind !== "topk") throw new RangeError(`sparsify has no rule ${rule.kind}, only topk`);
  const dtype = storedAs[options.dtype ?? "float32"];
  await mkdir(folder, { recursive: true });
  const file = await createSafetensorsFile(join(folder, weightsFile), [
    { name: "W_dec", dtype, shape: [width, dModel] },
    { name: "b_dec", dtype, shape: [dModel] },
    { name: "encoder.bias", dtype, shape: [width] },
    { name: "encoder.weight", dtype, shape: [width, dModel] },
  ]);
  const tensor = (name: string) => file.tensors.get(name)!;
  const targets = {
    W_enc_FD: tensor("encoder.weight"),
    b_enc_F: tensor("encoder.bias"),
    W_dec_FD: tensor("W_dec"),
    b_dec_D: tensor("b_dec"),
  };
  await copyFeatures(reader, file, targets, { ...options, change: (block) => unfoldInputBias(block, b_dec_D) });
  await writeLayoutConfig(folder, {
    activation: "topk",
    expansion_factor: Math.max(1, Math.round(width / dModel)),
    normalize_decoder: true,
    num_latents: width,
    k: rule.k,
    multi_topk: false,
    skip_connection: false,
    transcode: false,
    d_in: dModel,
  });
}
