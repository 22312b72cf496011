// Qwen-Scope's files: layer{n}.sae.pt, one dictionary of four tensors per layer, without a configuration. What else must
// be known stands in the name of the repository or folder.

import { mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { releaseOfPath } from "../../../domain/qwen-scope-name.ts";
import { readRows, type StoredTensor, transposed } from "../../../formats/stored-tensor.ts";
import { floatTensor, openTorchArchive, type TorchArchive } from "../../../formats/torch-archive.ts";
import { createTorchArchive } from "../../../formats/torch-archive-writer.ts";
import type { SparseAutoencoder } from "../architecture.ts";
import { asReader, type OpenedLayout, type SaeReader } from "./sae-reader.ts";
import { copyFeatures, storedAs, type WriteSteps, type WrittenDType } from "./sae-writer.ts";

const tensorNames = ["W_enc", "W_dec", "b_enc", "b_dec"] as const;
const filePattern = /^layer(\d{1,4})\.sae\.pt$/;

/** The layer that a file's name says, or null when it is no file of this layout. */
export function layerOfFile(name: string): number | null {
  const match = filePattern.exec(name);
  return match ? Number(match[1]) : null;
}

export interface QwenScopeFacts {
  /** From the release's name or from whoever asks: the file itself does not say. */
  readonly k: number;
  /** From the release's name, when there is one. */
  readonly width: number | null;
}

/**
 * Opens one layer's file; W_dec is stored as [d_model, d_sae], its columns are the features' directions. Throws RangeError when
 * tensors and facts contradict each other, TorchArchiveError for what is no such file.
 */
export async function openQwenScope(path: string, { k, width: expected }: QwenScopeFacts): Promise<OpenedLayout> {
  const archive = await openTorchArchive(path);
  try {
    refuseOthers(archive);
    const W_enc_FD = floatTensor(archive, "W_enc");
    const [width, dModel] = W_enc_FD.shape as [number, number];
    expectShape("W_enc", W_enc_FD, [width, dModel]);
    if (expected !== null && width !== expected) {
      throw new RangeError(`the name says width ${expected}, W_enc has ${width} rows`);
    }
    const own = archive.plain.get("k");
    if (own !== undefined && own !== k) {
      // Only a number is printed: a pickle can nest lists so that writing one out would never end.
      throw new RangeError(`the file says k ${typeof own === "number" ? own : "as no number"}, k ${k} was expected`);
    }
    const W_dec_DF = expectShape("W_dec", floatTensor(archive, "W_dec"), [dModel, width]);
    const b_enc_F = expectShape("b_enc", floatTensor(archive, "b_enc"), [width]);
    const b_dec_D = await readRows(expectShape("b_dec", floatTensor(archive, "b_dec"), [dModel]), 0, dModel);
    const W_dec_FD = transposed(W_dec_DF);
    const reader: SaeReader = {
      ...{ dModel, width, b_dec_D, rule: { kind: "topk", k } },
      async read(from, to) {
        const read = (tensor: StoredTensor) => readRows(tensor, from, to);
        return { W_enc_ND: await read(W_enc_FD), b_enc_N: await read(b_enc_F), W_dec_ND: await read(W_dec_FD) };
      },
      close: () => archive.close(),
    };
    const layer = layerOfFile(basename(path));
    const hookName = layer === null ? null : `blocks.${layer}.hook_resid_post`;
    return { reader, origin: { modelName: releaseOfPath(dirname(path))?.backbone ?? null, hookName, layer } };
  } catch (error) {
    await archive.close();
    throw error;
  }
}

/** A further tensor (a threshold, a scale) would mean another forward pass than the four alone. */
function refuseOthers({ tensors }: TorchArchive): void {
  const other = [...tensors.keys()].find((name) => !(tensorNames as readonly string[]).includes(name));
  if (other !== undefined) {
    throw new RangeError(`tensor ${JSON.stringify(other.slice(0, 200))} is none of ${tensorNames.join(", ")}`);
  }
}

function expectShape(name: string, tensor: StoredTensor, shape: readonly number[]): StoredTensor {
  const isFull = shape.every((size) => size > 0) && shape.length === tensor.shape.length;
  if (isFull && tensor.shape.join() === shape.join()) return tensor;
  throw new RangeError(`tensor ${name} must be [${shape.join(", ")}], got [${tensor.shape.join(", ")}]`);
}

interface WriteOptions extends WriteSteps {
  readonly dtype?: WrittenDType;
}

/**
 * Writes one layer's file, which `torch.load(path, weights_only=True)` and `openQwenScope` read; only for the rule topk. In
 * float32 every number is the same bit for bit.
 */
export async function writeQwenScope(
  path: string,
  sae: SparseAutoencoder | SaeReader,
  options: WriteOptions = {},
): Promise<void> {
  const reader = asReader(sae);
  const { dModel, width, rule } = reader;
  if (rule.kind !== "topk") throw new RangeError(`Qwen-Scope's layout has no rule ${rule.kind}, only topk`);
  const dtype = storedAs[options.dtype ?? "float32"];
  await mkdir(dirname(path), { recursive: true });
  const file = await createTorchArchive(path, [
    { name: "W_enc", dtype, shape: [width, dModel] },
    { name: "W_dec", dtype, shape: [dModel, width] },
    { name: "b_enc", dtype, shape: [width] },
    { name: "b_dec", dtype, shape: [dModel] },
  ]);
  const tensor = (name: (typeof tensorNames)[number]) => file.tensors.get(name)!;
  const targets = {
    W_enc_FD: tensor("W_enc"),
    b_enc_F: tensor("b_enc"),
    W_dec_FD: transposed(tensor("W_dec")),
    b_dec_D: tensor("b_dec"),
  };
  await copyFeatures(reader, file, targets, options);
}
