// How the inference graph is told of a checkpoint's weights.

import type { DType, FileRange } from "../onnx/graph.ts";
import type { StoredBlocks } from "./quantized-matrix.ts";

/** Where a stored parameter lies and in which type. */
export interface StoredParameter {
  readonly dtype: DType;
  readonly where: FileRange;
}

/** The type that products with weights are made in: float32, or the 16 bits that the weights are stored in, which then stay as they are. */
export type Products = "float32" | "stored";

export interface StoredWeights {
  readonly stored: (name: string) => StoredParameter;
  /** A matrix that is kept as integers instead; null: as the checkpoint has it. */
  readonly blocks: (name: string) => StoredBlocks | null;
}
