// An sae on its way from one file to another, some features at a time: a layer of 2048 × 32768 has half a gigabyte, and
// whoever copies it needs no more of it than a block.

import { type ActivationRule, checkRule, checkSae, expectFinite, type SparseAutoencoder } from "../architecture.ts";

/** N features of an sae, in the convention of `SparseAutoencoder`. */
export interface FeatureBlock {
  readonly W_enc_ND: Float32Array;
  readonly b_enc_N: Float32Array;
  readonly W_dec_ND: Float32Array;
}

export interface SaeReader {
  readonly dModel: number;
  readonly width: number;
  readonly rule: ActivationRule;
  readonly b_dec_D: Float32Array;
  /** Features `from` to `to`. */
  read(from: number, to: number): Promise<FeatureBlock>;
  close(): Promise<void>;
}

/** Where files of other makers say that an sae belongs. */
export interface SaeOrigin {
  readonly modelName: string | null;
  readonly hookName: string | null;
  /** n when the hook is the residual stream after layer n, else null. */
  readonly layer: number | null;
}

export interface OpenedLayout {
  readonly reader: SaeReader;
  readonly origin: SaeOrigin;
}

/** Bytes of one matrix of a block: sixteen megabytes are read in long stretches, and hide the cost of each call. */
const BLOCK_BYTES = 16 * 2 ** 20;

/** The sae in blocks, all of it checked as by `checkSae`. Throws RangeError naming tensor and feature. */
export async function* blocksOf(
  reader: SaeReader,
  blockBytes = BLOCK_BYTES,
): AsyncGenerator<FeatureBlock & { readonly from: number }> {
  const { dModel, width } = reader;
  checkRule(reader.rule, width);
  expectFinite("b_dec", reader.b_dec_D, dModel);
  const features = Math.max(1, Math.floor(blockBytes / (4 * dModel)));
  for (let from = 0; from < width; from += features) {
    const block = await reader.read(from, Math.min(width, from + features));
    expectFinite("W_enc", block.W_enc_ND, dModel, from);
    expectFinite("b_enc", block.b_enc_N, 1, from);
    expectFinite("W_dec", block.W_dec_ND, dModel, from);
    yield { ...block, from };
  }
}

export function isReader(sae: SparseAutoencoder | SaeReader): sae is SaeReader {
  return "read" in sae;
}

/** An sae in memory as a reader: its blocks are views. */
export function asReader(sae: SparseAutoencoder | SaeReader): SaeReader {
  if (isReader(sae)) return sae;
  const { dModel, width, rule, b_dec_D } = checkSae(sae);
  return {
    dModel,
    width,
    rule,
    b_dec_D,
    async read(from, to) {
      return {
        W_enc_ND: sae.W_enc_FD.subarray(from * dModel, to * dModel),
        b_enc_N: sae.b_enc_F.subarray(from, to),
        W_dec_ND: sae.W_dec_FD.subarray(from * dModel, to * dModel),
      };
    },
    close: async () => {},
  };
}

/** The whole sae in memory; closes the reader. */
export async function collectSae(reader: SaeReader): Promise<SparseAutoencoder> {
  try {
    const { dModel, width, rule, b_dec_D } = reader;
    const sae = {
      ...{ dModel, width, rule, b_dec_D },
      W_enc_FD: new Float32Array(width * dModel),
      b_enc_F: new Float32Array(width),
      W_dec_FD: new Float32Array(width * dModel),
    };
    for await (const { from, W_enc_ND, b_enc_N, W_dec_ND } of blocksOf(reader)) {
      sae.W_enc_FD.set(W_enc_ND, from * dModel);
      sae.b_enc_F.set(b_enc_N, from);
      sae.W_dec_FD.set(W_dec_ND, from * dModel);
    }
    return checkSae(sae);
  } finally {
    await reader.close();
  }
}
