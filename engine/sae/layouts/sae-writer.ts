import { type StoredFloat, type StoredTensor, writeRows } from "../../../formats/stored-tensor.ts";
import type { TensorFile } from "../../../formats/tensor-file.ts";
import { blocksOf, type FeatureBlock, type SaeReader } from "./sae-reader.ts";

export interface WriteSteps {
  /** Called after each block, with the features that are done; what it throws ends the copy. */
  readonly step?: (features: number) => Promise<void>;
  /** Bytes of one matrix that are in memory at a time; 16 MiB if absent. */
  readonly blockBytes?: number;
}

export type WrittenDType = "float32" | "float16" | "bfloat16";

export const storedAs: Readonly<Record<WrittenDType, StoredFloat>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/** Where each part of an sae goes, whatever its order there. */
export interface SaeTargets {
  readonly W_enc_FD: StoredTensor;
  readonly b_enc_F: StoredTensor;
  readonly W_dec_FD: StoredTensor;
  readonly b_dec_D: StoredTensor;
  readonly threshold_F?: StoredTensor;
}

interface CopyOptions extends WriteSteps {
  /** What the layout's own convention does to the features. */
  readonly change?: (block: FeatureBlock) => FeatureBlock;
}

/** Fills the file with the sae block by block and puts it into its place; when anything fails, no file is left. */
export async function copyFeatures(
  reader: SaeReader,
  file: TensorFile,
  targets: SaeTargets,
  { change = (block) => block, step, blockBytes }: CopyOptions = {},
): Promise<void> {
  try {
    await writeRows(targets.b_dec_D, 0, reader.b_dec_D);
    if (targets.threshold_F && reader.rule.kind === "jumprelu") {
      await writeRows(targets.threshold_F, 0, reader.rule.threshold_F);
    }
    for await (const { from, ...block } of blocksOf(reader, blockBytes)) {
      const { W_enc_ND, b_enc_N, W_dec_ND } = change(block);
      await writeRows(targets.W_enc_FD, from, W_enc_ND);
      await writeRows(targets.b_enc_F, from, b_enc_N);
      await writeRows(targets.W_dec_FD, from, W_dec_ND);
      await step?.(from + b_enc_N.length);
    }
  } catch (error) {
    await file.abandon();
    throw error;
  }
  await file.finish();
}
