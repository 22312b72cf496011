// SAELens directories: cfg.json and sae_weights.safetensors, as versions 5 and 6 of sae-lens write them.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { float32ToBfloat16, float32ToFloat16 } from "../../../formats/half-float.ts";
import {
  type NamedTensor,
  openSafetensors,
  readTensorFloat32,
  writeSafetensors,
} from "../../../formats/safetensors.ts";
import { type ActivationRule, checkSae, type SparseAutoencoder } from "../architecture.ts";
import { foldDecoderNorms, foldInputBias, transpose } from "./folding.ts";

/** The version whose format `writeSaelens` writes; its loader takes files without a version for those of version 5. */
const writtenVersion = "6.54.12";
const configFile = "cfg.json";
const weightsFile = "sae_weights.safetensors";

/** What the directory says about where the sae belongs. */
export interface SaelensOrigin {
  readonly modelName: string | null;
  readonly hookName: string | null;
  /** n when the hook is the residual stream after layer n, else null. */
  readonly layer: number | null;
}

type Config = Readonly<Record<string, unknown>>;

/**
 * Reads a directory into Qwen-Scope's convention. What SAELens can do otherwise is folded in (in float64, rounded once):
 * `apply_b_dec_to_input` into b_enc, `rescale_acts_by_decoder_norm` into encoder and decoder; the result gives the same
 * activations and reconstructions. Throws RangeError naming the field of cfg.json, SafetensorsError naming the tensor.
 */
export async function readSaelens(folder: string): Promise<{ sae: SparseAutoencoder; origin: SaelensOrigin }> {
  const config = parseConfig(await readFile(join(folder, configFile), "utf8"));
  const dModel = sizeField(config, "d_in");
  const width = sizeField(config, "d_sae");
  refuseUnsupported(config);

  const file = await openSafetensors(join(folder, weightsFile));
  const read = async (name: string, shape: readonly number[]) => {
    const found = file.tensors.get(name)?.shape;
    if (found && found.join() !== shape.join()) {
      throw new RangeError(`${weightsFile}: tensor ${name} must be [${shape.join(", ")}], got [${found.join(", ")}]`);
    }
    return readTensorFloat32(file, name);
  };
  const W_enc_DF = await read("W_enc", [dModel, width]);
  const W_dec_FD = await read("W_dec", [width, dModel]);
  const b_enc_F = await read("b_enc", [width]);
  const b_dec_D = await read("b_dec", [dModel]);
  const rule = await readRule(config, () => read("threshold", [width]));
  if (file.tensors.has("scaling_factor")) {
    const factors = await read("scaling_factor", [width]);
    if (factors.some((factor) => factor !== 1)) throw new RangeError(`${weightsFile}: scaling_factor is not supported`);
  }

  let sae: SparseAutoencoder = {
    dModel,
    width,
    rule,
    W_enc_FD: transpose(W_enc_DF, dModel, width),
    b_enc_F,
    W_dec_FD,
    b_dec_D,
  };
  // SAELens's own default when the field is absent.
  if (config.apply_b_dec_to_input ?? true) sae = foldInputBias(sae);
  if (config.rescale_acts_by_decoder_norm) sae = foldDecoderNorms(sae);
  return { sae: checkSae(sae), origin: originOf(config) };
}

function parseConfig(text: string): Config {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new RangeError(`${configFile} is not JSON: ${(error as Error).message}`);
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new RangeError(`${configFile} must be an object`);
  }
  return config as Config;
}

function sizeField(config: Config, name: string): number {
  const value = config[name];
  if (typeof value === "number" && Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`${configFile}: ${name} must be a positive integer, got ${JSON.stringify(value)}`);
}

function refuseUnsupported(config: Config): void {
  // Old files say false for none. The other normalisations depend on each input and cannot be folded into weights.
  const normalise = config.normalize_activations ?? "none";
  if (normalise !== "none" && normalise !== false) {
    throw new RangeError(`${configFile}: normalize_activations must be "none", got ${JSON.stringify(normalise)}`);
  }
  const reshape = config.reshape_activations ?? "none";
  if (reshape !== "none")
    throw new RangeError(`${configFile}: reshape_activations must be "none", got ${JSON.stringify(reshape)}`);
}

async function readRule(config: Config, readThreshold: () => Promise<Float32Array>): Promise<ActivationRule> {
  const architecture = config.architecture ?? "standard";
  // Version 5 wrote a TopK sae as architecture "standard" with activation_fn "topk" (or activation_fn_str).
  const activation = config.activation_fn ?? config.activation_fn_str ?? "relu";
  if (architecture === "topk" || (architecture === "standard" && activation === "topk")) {
    const inside = (config.activation_fn_kwargs ?? {}) as Config;
    return { kind: "topk", k: sizeField({ k: config.k ?? inside.k }, "k") };
  }
  if (architecture === "jumprelu") return { kind: "jumprelu", threshold_F: await readThreshold() };
  if (architecture === "standard" && activation === "relu") return { kind: "relu" };
  const name =
    architecture === "standard" ? `activation_fn ${JSON.stringify(activation)}` : JSON.stringify(architecture);
  throw new RangeError(`${configFile}: architecture must be topk, jumprelu or standard with relu, got ${name}`);
}

function originOf(config: Config): SaelensOrigin {
  // Version 6 keeps these in "metadata", version 5 beside the rest.
  const metadata = { ...config, ...(config.metadata as Config | undefined) };
  const text = (value: unknown) => (typeof value === "string" ? value : null);
  const hookName = text(metadata.hook_name) ?? text(metadata.hook_point);
  const match = /^blocks\.(\d+)\.hook_resid_post$/.exec(hookName ?? "");
  return { modelName: text(metadata.model_name), hookName, layer: match ? Number(match[1]) : null };
}

interface WriteOptions {
  readonly modelName?: string;
  readonly layer?: number;
  /** float16 and bfloat16 halve the file and round the weights. */
  readonly dtype?: "float32" | "float16" | "bfloat16";
  /** More strings for cfg.json's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes a directory that sae-lens (`SAE.load_from_disk`) and `readSaelens` load. cfg.json comes last: with it, the sae is complete. */
export async function writeSaelens(folder: string, sae: SparseAutoencoder, options: WriteOptions = {}): Promise<void> {
  const { dModel, width, rule } = checkSae(sae);
  const { dtype = "float32", layer, modelName, metadata = {} } = options;
  const entry = (name: string, values: Float32Array, shape: readonly number[]): NamedTensor => {
    if (dtype === "float16") return { name, dtype: "F16", shape, data: float32ToFloat16(values) };
    if (dtype === "bfloat16") return { name, dtype: "BF16", shape, data: float32ToBfloat16(values) };
    return { name, dtype: "F32", shape, data: values };
  };
  const tensors = [
    entry("W_enc", transpose(sae.W_enc_FD, width, dModel), [dModel, width]),
    entry("b_enc", sae.b_enc_F, [width]),
    entry("W_dec", sae.W_dec_FD, [width, dModel]),
    entry("b_dec", sae.b_dec_D, [dModel]),
  ];
  if (rule.kind === "jumprelu") tensors.push(entry("threshold", rule.threshold_F, [width]));

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
  await writeSafetensors(join(folder, weightsFile), tensors);
  const partial = join(folder, `${configFile}.partial`);
  await writeFile(partial, `${JSON.stringify(config, null, 2)}\n`);
  await rename(partial, join(folder, configFile));
}
