/** Every job kind that a worker can run. A new kind is a handler in its own file and one line here. */
import type { JobInput, JobKind } from "../../domain/job.ts";
import { benchmarkAnalyze } from "./benchmark-analyze.ts";
import type { JobHandler } from "./handler.ts";
import { modelImport } from "./model-import.ts";
import { saeImport } from "./sae-import.ts";
import { saeTrain } from "./sae-train.ts";

type Handlers = { readonly [Kind in JobKind]: JobHandler<JobInput<Kind>> };

const handlers = {
  "model.import": modelImport,
  "sae.import": saeImport,
  "sae.train": saeTrain,
  "benchmark.analyze": benchmarkAnalyze,
} satisfies Handlers;

/** By kind; inputs were checked against the kind's schema before the job was made. */
export const jobHandlers: Readonly<Record<string, JobHandler<never>>> = handlers;
