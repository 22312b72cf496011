/** A training run in progress: what its parts share. */
import type { SaeTrainSettings } from "../../../domain/training.ts";
import type { PlannedSae } from "../../../domain/training-laws.ts";
import type { SkippedBatch, Trainer } from "../../../engine/sae/trainer.ts";
import type { CheckpointPointer } from "../../protocol.ts";
import type { TokenPlace } from "../../token-order.ts";
import type { JobContext } from "../handler.ts";
import type { Curve } from "./training-curve.ts";

export interface TrainingRun {
  readonly settings: SaeTrainSettings;
  readonly context: JobContext;
  /** In the order of the trainer's. */
  readonly saes: readonly PlannedSae[];
  readonly dModel: number;
  /** Runtime and instruction set, which the promise of equal bits depends on. */
  readonly runtime: string;
  readonly threads: number;
  trainer: Trainer;
  curve: Curve;
  /** Where the next activations are read from, and how many batches of activations were read before them. */
  place: TokenPlace;
  reads: number;
  recovery: Recovery;
  lastCheckpoint: CheckpointPointer | null;
}

/** What a run leaves out since it went back, part of every checkpoint: a resumed run leaves out the same. */
export interface Recovery {
  readonly rollbacks: number;
  readonly batches: readonly SkippedBatch[];
  /** Batches of activations, counted from 1, that are not given to the trainer. */
  readonly reads: readonly number[];
}

export const NOTHING_SKIPPED: Recovery = { rollbacks: 0, batches: [], reads: [] };
