/** Every job kind that a worker can run. A new kind is a handler in its own file and one line here. */
import type { JobKind } from "../../domain/job.ts";
import { activationsHarvest } from "./activations-harvest.ts";
import { benchmarkAnalyze } from "./benchmark-analyze.ts";
import { featuresContrast } from "./features-contrast.ts";
import { featuresIndex } from "./features-index.ts";
import { featuresLabel } from "./features-label.ts";
import type { JobHandler } from "./handler.ts";
import { modelImport } from "./model-import.ts";
import { saeExport } from "./sae-export.ts";
import { saeImport } from "./sae-import.ts";
import { saeRelease } from "./sae-release.ts";
import { saeTrain } from "./sae-train.ts";
import { steeringBatch } from "./steering-batch.ts";
import { steeringSearch } from "./steering-search.ts";
import { steeringSweep } from "./steering-sweep.ts";

/** By kind. Inputs were checked against the kind's schema before the job was made, hence `never`. */
export const jobHandlers: Readonly<Record<JobKind, JobHandler<never>>> = {
  "model.import": modelImport,
  "sae.import": saeImport,
  "sae.export": saeExport,
  "activations.harvest": activationsHarvest,
  "sae.train": saeTrain,
  "sae.release": saeRelease,
  "features.index": featuresIndex,
  "features.label": featuresLabel,
  "features.contrast": featuresContrast,
  "steering.batch": steeringBatch,
  "steering.sweep": steeringSweep,
  "steering.search": steeringSearch,
  "benchmark.analyze": benchmarkAnalyze,
};
