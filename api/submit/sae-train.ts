// Laws of sae.train, and its estimate.
import type { JobInput } from "../../domain/job.ts";
import { fieldProblem } from "../../domain/problem.ts";
import { namePattern } from "../../domain/schema.ts";
import type { SaeTrainSettings } from "../../domain/training.ts";
import {
  checkMemory,
  estimateSaeTrain,
  type Machine,
  referenceMachine,
  type TrainEstimate,
} from "../../domain/training-cost.ts";
import { type ModelShape, plannedSaes, resolveSaeTrain } from "../../domain/training-laws.ts";
import type { Job, Model } from "../../platform/database.ts";
import { fittingActivations } from "./activations.ts";
import { nameTaken, referredDataset, referredModel, type Submission } from "./submission.ts";

interface ResolvedTraining {
  readonly settings: SaeTrainSettings;
  readonly shape: ModelShape;
}

export async function resolveTraining(submission: Submission, input: JobInput<"sae.train">): Promise<ResolvedTraining> {
  const model = await referredModel(submission, input.model_id);
  const dataset = await referredDataset(submission, input.dataset_id);
  if (dataset.samples < 2) {
    const detail = `the dataset has ${dataset.samples} samples; training needs two, one of them held out for the metrics`;
    throw fieldProblem("DATASET_TOO_SMALL", `${submission.at}/dataset_id`, detail);
  }
  const shape = shapeOf(model);
  const named = { ...input, model_id: model.id, dataset_id: dataset.id };
  const settings = resolveSaeTrain(named, shape, submission.at);
  if (input.activations_id === undefined) return { settings, shape };
  const { layers } = settings;
  const manifest = await fittingActivations(submission, input.activations_id, { model, dataset, layers });
  const { context_tokens, holdout_fraction } = manifest;
  return { settings: { ...settings, context_tokens, holdout_fraction }, shape };
}

export async function resolveSaeTrainJob(submission: Submission, input: JobInput<"sae.train">) {
  const { settings, shape } = await resolveTraining(submission, input);
  if (settings.name !== undefined) await checkSaeNames(submission, settings.name, settings);
  await fittingEstimate(submission, { settings, shape });
  return settings;
}

export async function estimateTraining(submission: Submission, input: JobInput<"sae.train">): Promise<TrainEstimate> {
  return await fittingEstimate(submission, await resolveTraining(submission, input));
}

async function fittingEstimate(submission: Submission, { settings, shape }: ResolvedTraining): Promise<TrainEstimate> {
  const machine = await machineFor(submission);
  const estimate = estimateSaeTrain(settings, shape, machine);
  checkMemory(estimate, machine, `${submission.at}/width`);
  return estimate;
}

export async function checkSaeNames(
  submission: Submission,
  name: string,
  planned: Pick<SaeTrainSettings, "layers" | "variants">,
): Promise<void> {
  const { platform, caller, at } = submission;
  const names = plannedSaes(planned).map((sae) => `${name}${sae.suffix}`);
  const long = names.find((one) => !new RegExp(namePattern).test(one));
  if (long !== undefined) throw fieldProblem("VALIDATION_FAILED", `${at}/name`, `"${long}" would be too long a name`);
  const holder = await platform.db.sae.findFirst({
    where: { workspace_id: caller.workspaceId, name: { in: names } },
  });
  if (holder !== null) throw nameTaken(`${at}/name`, "sae", holder.name, holder.id);
  // A run of the same name that is still going would take the names first, after hours of both.
  const jobs = await platform.db.job.findMany({
    where: {
      workspace_id: caller.workspaceId,
      kind: { in: ["sae.train", "sae.import"] },
      state: { in: ["queued", "running"] },
      OR: [name, ...names].map((one) => ({ input: { path: ["name"], equals: one } })),
    },
  });
  for (const job of jobs) {
    const taken = promisedNames(job).find((one) => names.includes(one));
    if (taken !== undefined) throw nameTaken(`${at}/name`, "sae", taken, job.id);
  }
}

/** The names that an unfinished job will give to its saes. */
function promisedNames({ kind, input }: Job): string[] {
  const settings = input as unknown as SaeTrainSettings & { name: string };
  return kind === "sae.train" ? plannedSaes(settings).map((sae) => `${settings.name}${sae.suffix}`) : [settings.name];
}

export function shapeOf(model: Model): ModelShape {
  return {
    layers: model.layers,
    dModel: model.d_model,
    vocabSize: model.vocab_size,
    contextLength: model.context_length,
  };
}

/** What a worker's row may say about its machine. */
interface Capability {
  readonly memory_bytes?: number;
  readonly flops_per_second?: number;
  readonly sparse_flops_per_second?: number;
  readonly updates_per_second?: number;
}

/** The best of the batch workers that are there; nothing is refused for want of memory while none is. */
export async function machineFor(submission: Submission): Promise<Machine> {
  const rows = await submission.platform.workers.live();
  const capabilities = rows.filter((row) => row.class === "batch").map((row) => row.capability as Capability);
  const most = (name: keyof Capability) => {
    const values = capabilities.flatMap((one) => one[name] ?? []);
    return values.length === 0 ? null : Math.max(...values);
  };
  return {
    flopsPerSecond: most("flops_per_second") ?? referenceMachine.flopsPerSecond,
    sparseFlopsPerSecond: most("sparse_flops_per_second") ?? referenceMachine.sparseFlopsPerSecond,
    updatesPerSecond: most("updates_per_second") ?? referenceMachine.updatesPerSecond,
    memoryBytes: most("memory_bytes"),
  };
}
