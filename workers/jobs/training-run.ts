/** A training run in progress: what its parts share. */
import type { SaeTrainSettings } from "../../domain/training.ts";
import type { Trainer } from "../../engine/sae/trainer.ts";
import type { WorkerModel } from "../open-models.ts";
import type { TokenPlace } from "../token-order.ts";
import type { JobContext } from "./handler.ts";
import type { Curve } from "./training-curve.ts";

export interface TrainingRun {
  readonly settings: SaeTrainSettings;
  readonly context: JobContext;
  readonly model: WorkerModel;
  readonly trainer: Trainer;
  readonly curve: Curve;
  readonly threads: number;
  place: TokenPlace;
}
