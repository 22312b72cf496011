// A parameter by its Hugging Face name.

import type { Value } from "../onnx/graph.ts";

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** What a random start draws it from, and whether weight decay applies to it. */
  readonly kind:
    | "matrix"
    | "router"
    | "embedding"
    | "norm"
    | "centred_norm"
    | "bias"
    | "convolution"
    | "decay"
    | "decay_bias";
}

/** The value of the graph that stands for the parameter of this name. */
export type Parameters = (name: string) => Value;
