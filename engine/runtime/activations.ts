// Activations on their way from a language model to whoever reads them.

/** Rows of activations of some layers for the same tokens. */
export interface ActivationBatch {
  readonly layers: readonly number[];
  /** For each of `layers`: [rows, D], row-major, float32. */
  readonly activations: readonly Float32Array[];
  readonly rows: number;
  /** For each row: which sequence it comes from, at which position, and which token stands there. */
  readonly sequence: Int32Array;
  readonly position: Int32Array;
  readonly tokenId: Int32Array;
}
