// The seam between a learner and an architecture: loss and gradients of one batch. What is inside (graphs, kernels, selection)
// is each architecture's own; what comes after (clipping, Adam, decoder norms, dead features) is the learner's.

import type { SessionOptions } from "../runtime/session.ts";

/** One array per parameter: the parameters themselves, their gradients, or a moment of the optimiser. */
export interface SaeTensors {
  readonly W_enc_FD: Float32Array;
  readonly b_enc_F: Float32Array;
  readonly W_dec_FD: Float32Array;
  readonly b_dec_D: Float32Array;
}

/** Where the graphs run, and on how many threads (0: one per core). */
export type RunsOn = Pick<SessionOptions, "device" | "threads">;

export interface BatchShape {
  readonly dModel: number;
  readonly width: number;
  /** The most features per row that a step may ask for: k itself, or where its annealing starts. */
  readonly k: number;
  readonly batchRows: number;
  readonly microBatchRows: number;
  readonly auxK: number;
}

/** What changes from step to step besides the weights. */
export interface StepSettings {
  readonly auxCoefficient: number;
  /** Features per row now: below or at the shape's k. */
  readonly k: number;
  /** JumpReLU: where each feature begins. */
  readonly threshold_F?: Float32Array;
  /** JumpReLU: weight of the sparsity loss now. */
  readonly sparsityCoefficient?: number;
}

export interface BatchLoss {
  /** Σ_b ‖x̂_b − x_b‖² / Σ_b ‖x_b − x̄‖² over the batch: the fraction of its variance left unexplained. */
  readonly fvu: number;
  /** What of the loss is reconstruction where that is not fvu alone: Matryoshka's sum over its prefixes. */
  readonly reconstruction?: number;
  /** The same fraction for AuxK: what the dead features leave of the error, over the variance of the batch. 0 when skipped. */
  readonly aux: number;
  /** JumpReLU: the sparsity loss before its weight. */
  readonly sparsity?: number;
  /** Mean number of active features per row. */
  readonly l0: number;
  /** 1 for each feature that was active in some row. */
  readonly fired_F: Uint8Array;
  /** BatchTopK: the smallest activation kept. */
  readonly batchThreshold?: number;
  /** JumpReLU: the gradient by the thresholds. */
  readonly dThreshold_F?: Float32Array;
}

/** Holds the memory of a step (sessions, gradients, the batch's errors); several saes of equal shape share one in turn. */
export interface GradientWorkspace {
  readonly gradients: SaeTensors;
  /**
   * Gradients of the architecture's loss at `weights`, left in `gradients`. `dead` lists the features that AuxK revives.
   * x_BD must be finite; throws RangeError when a pre-activation is not.
   */
  compute(weights: SaeTensors, x_BD: Float32Array, dead: Int32Array, settings: StepSettings): Promise<BatchLoss>;
  close(): Promise<void>;
}

/** The active features of a batch: row b has entries `offsets_B[b] … offsets_B[b+1] − 1`, every z > 0, in any order within a row. */
export interface Selection {
  readonly offsets_B: Int32Array;
  readonly features: Int32Array;
  readonly z: Float32Array;
  readonly batchThreshold?: number;
}

/** Which features of a batch are active: what a sparse architecture may decide for itself. */
export interface Selector {
  select(weights: SaeTensors, x_BD: Float32Array, k: number): Promise<Selection>;
  close(): Promise<void>;
}
