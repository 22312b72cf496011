/** Every job kind that a worker can run. A new kind is a handler in its own file and one line here. */
import type { JobKind } from "../../domain/job.ts";
import { benchmarkAnalyze } from "./benchmarks/benchmark-analyze.ts";
import { featuresContrast } from "./features/features-contrast.ts";
import { featuresIndex } from "./features/features-index.ts";
import { featuresLabel } from "./features/features-label.ts";
import type { JobHandler } from "./handler.ts";
import { modelImport } from "./import-export/model-import.ts";
import { saeExport } from "./import-export/sae-export.ts";
import { saeImport } from "./import-export/sae-import.ts";
import { steeringBatch } from "./steering/steering-batch.ts";
import { steeringSearch } from "./steering/steering-search.ts";
import { steeringSweep } from "./steering/steering-sweep.ts";
import { activationsHarvest } from "./training/activations-harvest.ts";
import { saeRelease } from "./training/sae-release.ts";
import { saeTrain } from "./training/sae-train.ts";

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
