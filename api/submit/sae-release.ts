// Laws of sae.release: those of training, and how its layers are shared out.
import { newId } from "../../domain/id.ts";
import type { JobInput } from "../../domain/job.ts";
import { layerGroups, type SaeReleaseSettings } from "../../domain/release.ts";
import type { SaeTrainSettings } from "../../domain/training.ts";
import { checkMemory, estimateSaeTrain, type Machine, type TrainEstimate } from "../../domain/training-cost.ts";
import type { ModelShape } from "../../domain/training-laws.ts";
import { checkSaeNames, machineFor, resolveTraining } from "./sae-train.ts";
import { type ChildJob, referredModel, type Submission } from "./submission.ts";

/** Layers of one job while no worker is there to ask. */
const LAYERS_WITHOUT_WORKERS = 4;

interface Plan {
  readonly settings: SaeTrainSettings;
  readonly shape: ModelShape;
  readonly machine: Machine;
  readonly layersPerJob: number;
}

async function plan(submission: Submission, input: JobInput<"sae.release">): Promise<Plan> {
  const { layers_per_job, layers, ...training } = input;
  const model = await referredModel(submission, input.model_id);
  const all = layers ?? Array.from({ length: model.layers }, (_, layer) => layer);
  const { settings, shape } = await resolveTraining(submission, { ...training, layers: all });
  const machine = await machineFor(submission);
  const layersPerJob = Math.min(all.length, layers_per_job ?? (await share(submission, settings, shape, machine)));
  return { settings, shape, machine, layersPerJob };
}

/** The workers share the layers; a share that the largest of them cannot hold is halved until it can. */
async function share(
  { platform }: Submission,
  settings: SaeTrainSettings,
  shape: ModelShape,
  machine: Machine,
): Promise<number> {
  const workers = (await platform.workers.live()).filter((row) => row.class === "batch").length;
  if (workers === 0) return LAYERS_WITHOUT_WORKERS;
  let layers = Math.ceil(settings.layers.length / workers);
  while (layers > 1 && !fits({ settings, shape, machine, layersPerJob: layers })) layers = Math.ceil(layers / 2);
  return layers;
}

function estimates({ settings, shape, machine, layersPerJob }: Plan): TrainEstimate[] {
  return layerGroups(settings.layers, layersPerJob).map((layers) =>
    estimateSaeTrain({ ...settings, layers }, shape, machine),
  );
}

function fittingEstimates(planned: Plan, { at }: Submission): TrainEstimate[] {
  const all = estimates(planned);
  for (const estimate of all) checkMemory(estimate, planned.machine, `${at}/width`);
  return all;
}

function fits(planned: Plan): boolean {
  const { memoryBytes } = planned.machine;
  return memoryBytes === null || estimates(planned).every((one) => one.memory_bytes <= memoryBytes);
}

export async function resolveSaeRelease(
  submission: Submission,
  input: JobInput<"sae.release">,
): Promise<SaeReleaseSettings> {
  const planned = await plan(submission, input);
  const { settings } = planned;
  if (settings.name !== undefined) await checkSaeNames(submission, settings.name, settings);
  fittingEstimates(planned, submission);
  return { ...settings, layers_per_job: planned.layersPerJob, release_id: newId("release") };
}

/** The whole release: work and output of all its jobs, memory of the largest; the time is what one worker would take. */
export async function estimateRelease(submission: Submission, input: JobInput<"sae.release">): Promise<TrainEstimate> {
  const all = fittingEstimates(await plan(submission, input), submission);
  const sum = (of: (one: TrainEstimate) => number) => all.reduce((total, one) => total + of(one), 0);
  return {
    ...all[0]!,
    parameters: sum((one) => one.parameters),
    flops: sum((one) => one.flops),
    duration_s: sum((one) => one.duration_s),
    memory_bytes: Math.max(...all.map((one) => one.memory_bytes)),
    output_bytes: sum((one) => one.output_bytes),
  };
}

/** The jobs of a release: ordinary trainings that share its name and its id. */
export function releaseJobs(jobId: string, settings: SaeReleaseSettings): ChildJob[] {
  const { layers_per_job, ...training } = settings;
  return layerGroups(settings.layers, layers_per_job).map((layers) => ({
    kind: "sae.train",
    input: { ...training, layers, name: settings.name ?? jobId },
  }));
}
