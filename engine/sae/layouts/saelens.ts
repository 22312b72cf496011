// SAELens directories: cfg.json and sae_weights.safetensors, as versions 5 and 6 of sae-lens write them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readRows, type StoredTensor, transposed } from "../../../formats/stored-tensor.ts";
import { createSafetensorsFile, openSafetensorsRows, type TensorSpec } from "../../../formats/tensor-file.ts";
import type { ActivationRule, SparseAutoencoder } from "../architecture.ts";
import { configFile, type LayoutConfig, readLayoutConfig, sizeField, writeLayoutConfig } from "./config-file.ts";
import { foldDecoderNorms, foldInputBias } from "./folding.ts";
import { asReader, collectSae, type OpenedLayout, type SaeOrigin, type SaeReader } from "./sae-reader.ts";
import { copyFeatures, storedAs, type WriteSteps, type WrittenDType } from "./sae-writer.ts";

/** The version whose format `writeSaelens` writes; its loader takes files without a version for those of version 5. */
const writtenVersion = "6.54.12";
const weightsFile = "sae_weights.safetensors";

/** What cfg.json alone says. */
export async function readSaelensOrigin(folder: string): Promise<SaeOrigin> {
  return originOf(await readLayoutConfig(folder));
}

/** `openSaelens`, with the whole sae in memory. */
export async function readSaelens(folder: string): Promise<{ sae: SparseAutoencoder; origin: SaeOrigin }> {
  const { reader, origin } = await openSaelens(folder);
  return { sae: await collectSae(reader), origin };
}

/**
 * Opens a directory in Qwen-Scope's convention. What SAELens can do otherwise is folded in (in float64, rounded once):
 * `apply_b_dec_to_input` into b_enc, `rescale_acts_by_decoder_norm` into encoder and decoder; the result gives the same
 * activations and reconstructions. Throws RangeError naming the field of cfg.json, SafetensorsError naming the tensor.
 */
export async function openSaelens(folder: string): Promise<OpenedLayout> {
  const config = await readLayoutConfig(folder);
  const dModel = sizeField(config, "d_in");
  const width = sizeField(config, "d_sae");
  refuseUnsupported(config);
  const file = await openSafetensorsRows(join(folder, weightsFile));
  try {
    const whole = (name: string, length: number) => readRows(file.tensor(name, [length]), 0, length);
    const W_enc_FD = transposed(file.tensor("W_enc", [dModel, width]));
    const W_dec_FD = file.tensor("W_dec", [width, dModel]);
    const b_enc_F = file.tensor("b_enc", [width]);
    const b_dec_D = await whole("b_dec", dModel);
    const rule = await readRule(config, () => whole("threshold", width));
    if (file.has("scaling_factor") && (await whole("scaling_factor", width)).some((factor) => factor !== 1)) {
      throw new RangeError(`${weightsFile}: scaling_factor is not supported`);
    }
    // SAELens's own default when the field is absent.
    const readsCentred = Boolean(config.apply_b_dec_to_input ?? true);
    const reader: SaeReader = {
      ...{ dModel, width, rule, b_dec_D },
      async read(from, to) {
        const read = (tensor: StoredTensor) => readRows(tensor, from, to);
        let block = { W_enc_ND: await read(W_enc_FD), b_enc_N: await read(b_enc_F), W_dec_ND: await read(W_dec_FD) };
        if (readsCentred) block = foldInputBias(block, b_dec_D);
        return config.rescale_acts_by_decoder_norm ? foldDecoderNorms(block, from) : block;
      },
      close: () => file.close(),
    };
    return { reader, origin: originOf(config) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function refuseUnsupported(config: LayoutConfig): void {
  // Old files say false for none. The other normalisations depend on each input and cannot be folded into weights.
  const normalise = config.normalize_activations ?? "none";
  if (normalise !== "none" && normalise !== false) {
    throw new RangeError(`${configFile}: normalize_activations must be "none", got ${JSON.stringify(normalise)}`);
  }
  const reshape = config.reshape_activations ?? "none";
  if (reshape !== "none")
    throw new RangeError(`${configFile}: reshape_activations must be "none", got ${JSON.stringify(reshape)}`);
}

async function readRule(config: LayoutConfig, readThreshold: () => Promise<Float32Array>): Promise<ActivationRule> {
  const architecture = config.architecture ?? "standard";
  // Version 5 wrote a TopK sae as architecture "standard" with activation_fn "topk" (or activation_fn_str).
  const activation = config.activation_fn ?? config.activation_fn_str ?? "relu";
  if (architecture === "topk" || (architecture === "standard" && activation === "topk")) {
    const inside = (config.activation_fn_kwargs ?? {}) as LayoutConfig;
    return { kind: "topk", k: sizeField({ k: config.k ?? inside.k }, "k") };
  }
  if (architecture === "jumprelu") return { kind: "jumprelu", threshold_F: await readThreshold() };
  if (architecture === "standard" && activation === "relu") return { kind: "relu" };
  const name =
    architecture === "standard" ? `activation_fn ${JSON.stringify(activation)}` : JSON.stringify(architecture);
  throw new RangeError(`${configFile}: architecture must be topk, jumprelu or standard with relu, got ${name}`);
}

function originOf(config: LayoutConfig): SaeOrigin {
  // Version 6 keeps these in "metadata", version 5 beside the rest.
  const metadata = { ...config, ...(config.metadata as LayoutConfig | undefined) };
  const text = (value: unknown) => (typeof value === "string" ? value : null);
  const hookName = text(metadata.hook_name) ?? text(metadata.hook_point);
  const match = /^blocks\.(\d+)\.hook_resid_post$/.exec(hookName ?? "");
  return { modelName: text(metadata.model_name), hookName, layer: match ? Number(match[1]) : null };
}

interface WriteOptions extends WriteSteps {
  readonly modelName?: string;
  readonly layer?: number;
  /** float16 and bfloat16 halve the file and round the weights. */
  readonly dtype?: WrittenDType;
  /** More strings for cfg.json's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes a directory that sae-lens (`SAE.load_from_disk`) and `readSaelens` load. cfg.json comes last: with it, the sae is complete. */
export async function writeSaelens(
  folder: string,
  sae: SparseAutoencoder | SaeReader,
  options: WriteOptions = {},
): Promise<void> {
  const reader = asReader(sae);
  const { dModel, width, rule } = reader;
  const { dtype = "float32", layer, modelName, metadata = {} } = options;
  const stored = storedAs[dtype];
  const specs: TensorSpec[] = [
    { name: "W_enc", dtype: stored, shape: [dModel, width] },
    { name: "b_enc", dtype: stored, shape: [width] },
    { name: "W_dec", dtype: stored, shape: [width, dModel] },
    { name: "b_dec", dtype: stored, shape: [dModel] },
  ];
  if (rule.kind === "jumprelu") specs.push({ name: "threshold", dtype: stored, shape: [width] });

  const hooks =
    layer === undefined ? {} : { hook_name: `blocks.${layer}.hook_resid_post`, hf_hook_name: `model.layers.${layer}` };
  const config = {
    architecture: rule.kind === "relu" ? "standard" : rule.kind,
    ...(rule.kind === "topk" ? { k: rule.k, rescale_acts_by_decoder_norm: false } : {}),
    d_in: dModel,
    d_sae: width,
    dtype,
    device: "cpu",
    apply_b_dec_to_input: false,
    normalize_activations: "none",
    reshape_activations: "none",
    metadata: { ...metadata, sae_lens_version: writtenVersion, model_name: modelName ?? null, ...hooks },
  };
  await mkdir(folder, { recursive: true });
  const file = await createSafetensorsFile(join(folder, weightsFile), specs);
  const tensor = (name: string) => file.tensors.get(name)!;
  const targets = {
    W_enc_FD: transposed(tensor("W_enc")),
    b_enc_F: tensor("b_enc"),
    W_dec_FD: tensor("W_dec"),
    b_dec_D: tensor("b_dec"),
    ...(rule.kind === "jumprelu" ? { threshold_F: tensor("threshold") } : {}),
  };
  await copyFeatures(reader, file, targets, options);
  await writeLayoutConfig(folder, config);
}
