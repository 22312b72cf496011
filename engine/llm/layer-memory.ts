// What a layer remembers of earlier tokens: the arrays that the inference graph takes and gives back.

import type { Shape } from "../onnx/graph.ts";
import type { DecoderConfig } from "./config.ts";
import { convolvedChannels } from "./delta-net-config.ts";

export interface MemoryArray {
  readonly name: "key" | "value" | "state" | "convolution";
  /** Input `past_{name}.{layer}`: P columns, or a state of fixed size. */
  readonly past: Shape;
  /** Output `{name}.{layer}`: the columns of the T new tokens, or the state after them. */
  readonly next: Shape;
}

/** In the order in which the layer's mixer makes them. */
export function layerMemory({ layerKinds, kvHeads, headDim, deltaNet }: DecoderConfig, layer: number): MemoryArray[] {
  if (layerKinds[layer]!.mixer === "attention") {
    return [
      { name: "key", past: ["S", kvHeads, "P", headDim], next: ["S", kvHeads, "T", headDim] },
      { name: "value", past: ["S", kvHeads, "P", headDim], next: ["S", kvHeads, "T", headDim] },
    ];
  }
  const { valueHeads, keyDim, valueDim, kernel } = deltaNet!;
  const convolution = ["S", kernel - 1, convolvedChannels(deltaNet!)];
  const state = ["S", valueHeads, keyDim, valueDim];
  return [
    { name: "convolution", past: convolution, next: convolution },
    { name: "state", past: state, next: state },
  ];
}
