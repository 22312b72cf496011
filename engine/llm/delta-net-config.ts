// Sizes of a gated delta net.

import { type Json, ModelConfigError, size } from "./config-json.ts";

export interface DeltaNet {
  readonly keyHeads: number;
  /** A multiple of keyHeads: neighbours share a key head. */
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Positions that the convolution before the rule reads, the current one included. */
  readonly kernel: number;
}

/** @throws ModelConfigError naming the key */
export function parseDeltaNet(json: Json): DeltaNet {
  const net = {
    keyHeads: size(json, "linear_num_key_heads", 16),
    valueHeads: size(json, "linear_num_value_heads", 32),
    keyDim: size(json, "linear_key_head_dim", 128),
    valueDim: size(json, "linear_value_head_dim", 128),
    kernel: size(json, "linear_conv_kernel_dim", 4),
  };
  if (net.valueHeads % net.keyHeads !== 0) {
    throw new ModelConfigError(
      `linear_num_value_heads ${net.valueHeads} is not a multiple of linear_num_key_heads ${net.keyHeads}`,
    );
  }
  return net;
}

/** Channels that the convolution runs over: queries, keys and values of all heads. */
export function convolvedChannels({ keyHeads, keyDim, valueHeads, valueDim }: DeltaNet): number {
  return 2 * keyHeads * keyDim + valueHeads * valueDim;
}
