// Jobs: asynchronous work, its states and the table of its kinds.
import { type Static, type TSchema, Type } from "typebox";
import { ActivationsHarvestInput, ActivationsHarvestResult } from "./activations.ts";
import { ArtifactLink } from "./artifact.ts";
import { BenchmarkAnalyzeInput, BenchmarkAnalyzeResult } from "./benchmark.ts";
import { FeaturesContrastInput, FeaturesContrastResult } from "./contrast.ts";
import { FeaturesIndexInput, FeaturesIndexResult } from "./feature-index.ts";
import { FeaturesLabelInput, FeaturesLabelResult } from "./feature-label.ts";
import { CreateModel, ModelImportResult } from "./model.ts";
import { Problem, ProblemDetails } from "./problem.ts";
import { SaeReleaseInput, SaeReleaseResult } from "./release.ts";
import { CreateSae, SaeImportResult } from "./sae.ts";
import { SaeExportInput, SaeExportResult } from "./sae-export.ts";
import { closed, examplesOf, Metadata, nullable, oneOf, Timestamp } from "./schema.ts";
import { SteeringSearchInput, SteeringSearchResult } from "./search.ts";
import { SteeringBatchInput, SteeringBatchResult } from "./steering-batch.ts";
import { SteeringSweepInput, SteeringSweepResult } from "./sweep.ts";
import { SaeTrainInput } from "./training.ts";

export const jobStates = ["queued", "running", "succeeded", "failed", "canceled"] as const;
export type JobState = (typeof jobStates)[number];
export const terminalJobStates: readonly JobState[] = ["succeeded", "failed", "canceled"];

export function isTerminal(state: string): boolean {
  return (terminalJobStates as readonly string[]).includes(state);
}

export const SaeTrainResult = Type.Object(
  {
    sae_ids: Type.Array(Type.String(), { description: "in the order of `layers`" }),
    release_id: Type.String(),
    report_artifact_id: Type.String({ description: "JSON: settings, metrics of every sae, the course of the run" }),
    report_page_artifact_id: Type.String({ description: "the same as a page with plots, for people" }),
  },
  { title: "SaeTrainResult" },
);
export type SaeTrainResult = Static<typeof SaeTrainResult>;

interface JobKindEntry {
  readonly title: string;
  readonly description: string;
  readonly input: TSchema;
  readonly result: TSchema;
}

/** A kind that is not built yet is absent. */
export const jobKinds = {
  "model.import": {
    title: "Import a model",
    description: "Reads a model's files, checks that it computes, measures its residual norms and registers it.",
    input: CreateModel,
    result: ModelImportResult,
  },
  "sae.import": {
    title: "Import an sae",
    description: "Reads an sae's files in a known layout, checks them against the model and registers the sae.",
    input: CreateSae,
    result: SaeImportResult,
  },
  "sae.export": {
    title: "Export saes",
    description: "Writes saes in a layout that other tools read; every file becomes an artifact.",
    input: SaeExportInput,
    result: SaeExportResult,
  },
  "activations.harvest": {
    title: "Harvest activations",
    description:
      "Runs a model over a dataset once and keeps its residual streams at some layers as safetensors shards, which any number of trainings can read.",
    input: ActivationsHarvestInput,
    result: ActivationsHarvestResult,
  },
  "sae.train": {
    title: "Train saes",
    description: "Trains one sae per layer on the activations of a model over a dataset, from one forward pass.",
    input: SaeTrainInput,
    result: SaeTrainResult,
  },
  "sae.release": {
    title: "Train a release",
    description:
      "Trains an sae for every layer of a model, in jobs of some layers each (`parent_id` names the release) that any number of workers share. Shows the progress of all as one, goes on where a lost worker stopped, and ends in one release with one report.",
    input: SaeReleaseInput,
    result: SaeReleaseResult,
  },
  "features.index": {
    title: "Index features",
    description:
      "Reads a dataset once and finds for every feature of some saes how often, how strongly and where it is active, what it promotes, and which features are like it. Lists, search and the unit max_activation live from it; labels stay when it is made anew.",
    input: FeaturesIndexInput,
    result: FeaturesIndexResult,
  },
  "features.label": {
    title: "Label features",
    description:
      "Asks a language model elsewhere (any OpenAI-compatible endpoint) what indexed features stand for, and tests each label on examples that it was not made of. Costs are capped, answers are kept, labels of people stay unless told otherwise.",
    input: FeaturesLabelInput,
    result: FeaturesLabelResult,
  },
  "features.contrast": {
    title: "Contrast texts",
    description:
      "Ranks the features of some saes by how well they tell one set of texts from others, with p-values and intervals.",
    input: FeaturesContrastInput,
    result: FeaturesContrastResult,
  },
  "steering.batch": {
    title: "Run a file of completions",
    description:
      "Runs the lines of a file or a dataset as completions, steered or not, many at a time. A line that is refused is a line of the error file with its row; the others go on. A canceled batch keeps what it has, and goes on when it is resumed.",
    input: SteeringBatchInput,
    result: SteeringBatchResult,
  },
  "steering.sweep": {
    title: "Sweep steering",
    description:
      "Steers along features or vectors at several strengths from many prompts, scores each cell for a goal and for side effects, and judges the best against controls: does it work?",
    input: SteeringSweepInput,
    result: SteeringSweepResult,
  },
  "steering.search": {
    title: "Search for steering",
    description:
      "Finds features and strengths that serve a goal: a contrast of examples shortlists, successive halving over prompts narrows down, and the best is judged on prompts that were not used to find it.",
    input: SteeringSearchInput,
    result: SteeringSearchResult,
  },
  "benchmark.analyze": {
    title: "Analyse benchmarks",
    description: "Measures how redundant each benchmark is and how much they overlap, from the features they activate.",
    input: BenchmarkAnalyzeInput,
    result: BenchmarkAnalyzeResult,
  },
} as const satisfies Record<string, JobKindEntry>;

export type JobKind = keyof typeof jobKinds;
export const jobKindNames = Object.keys(jobKinds) as JobKind[];
export type JobInput<K extends JobKind> = Static<(typeof jobKinds)[K]["input"]>;

export function jobKind(kind: string): JobKind {
  if (Object.hasOwn(jobKinds, kind)) return kind as JobKind;
  const detail = `"${kind}" is not one of ${jobKindNames.join(", ")}`;
  throw new Problem("JOB_KIND_UNKNOWN", detail, { errors: [{ pointer: "/kind", detail }] });
}

/** `input` is checked against its kind's schema after `kind` is known, so that errors point into the right schema. */
export const CreateJob = closed(
  {
    kind: Type.String({ minLength: 1, maxLength: 64, description: `one of ${jobKindNames.join(", ")}` }),
    input: Type.Record(Type.String(), Type.Unknown(), { description: "as the kind's input schema says" }),
    parent_id: Type.Optional(Type.String({ description: "a job that this one belongs to" })),
    metadata: Type.Optional(Metadata),
  },
  {
    title: "CreateJob",
    examples: [
      {
        kind: "sae.train",
        input: {
          model_id: "demo-small",
          dataset_id: "demo-text",
          layers: [2, 3],
          width: 4096,
          k: 50,
          tokens: 2_000_000,
        },
      },
    ],
  },
);
export type CreateJob = Static<typeof CreateJob>;

/** The same, with the input of every kind written out: what the OpenAPI document shows. */
export const CreateJobOfKind = Type.Union(
  jobKindNames.map((kind) =>
    closed(
      { ...CreateJob.properties, kind: Type.Literal(kind), input: jobKinds[kind].input },
      {
        title: `CreateJob.${kind}`,
        description: jobKinds[kind].description,
        examples: examplesOf(jobKinds[kind].input).map((input) => ({ kind, input })),
      },
    ),
  ),
);

export const JobProgress = Type.Object(
  {
    done: Type.Number(),
    total: nullable(Type.Number()),
    unit: Type.String({ description: "what is counted, e.g. tokens" }),
    rate: nullable(Type.Number({ description: "units per second" })),
    eta_s: nullable(Type.Number({ description: "seconds until done, at this rate" })),
  },
  { title: "JobProgress" },
);
export type JobProgress = Static<typeof JobProgress>;

export const Job = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("job"),
    kind: Type.String(),
    state: oneOf(jobStates),
    parent_id: nullable(Type.String()),
    cancel_requested_at: nullable(Timestamp),
    input: Type.Record(Type.String(), Type.Unknown()),
    progress: nullable(JobProgress),
    queue_position: nullable(Type.Integer({ description: "jobs that start before it; null unless queued" })),
    attempt: Type.Integer(),
    preemptions: Type.Integer(),
    checkpoint: nullable(Type.Object({ step: Type.Number(), size_bytes: Type.Integer(), created_at: Timestamp })),
    metrics: nullable(Type.Record(Type.String(), Type.Unknown())),
    error: nullable(ProblemDetails),
    result: nullable(
      Type.Union(
        jobKindNames.map((kind) => jobKinds[kind].result),
        { description: "as its kind says, once it has succeeded" },
      ),
    ),
    artifacts: Type.Array(ArtifactLink),
    metadata: Metadata,
    created_at: Timestamp,
    started_at: nullable(Timestamp),
    finished_at: nullable(Timestamp),
  },
  {
    title: "Job",
    examples: [
      {
        id: "job_01jd5xk0m4q8v7w2r3t5y6z8ab",
        object: "job",
        kind: "sae.train",
        state: "running",
        parent_id: null,
        cancel_requested_at: null,
        input: { model_id: "model_01jd5xk0m4q8v7w2r3t5y6z8ac", layers: [2, 3], width: 4096, k: 50, tokens: 2_000_000 },
        progress: { done: 500_000, total: 2_000_000, unit: "tokens", rate: 12_500, eta_s: 120 },
        queue_position: null,
        attempt: 1,
        preemptions: 0,
        checkpoint: { step: 120, size_bytes: 9_437_184, created_at: "2026-11-22T12:01:00.000Z" },
        metrics: { loss: 0.21 },
        error: null,
        result: null,
        artifacts: [],
        metadata: {},
        created_at: "2026-11-22T12:00:00.000Z",
        started_at: "2026-11-22T12:00:01.000Z",
        finished_at: null,
      },
    ],
  },
);
export type Job = Static<typeof Job>;

export const JobEvent = Type.Object(
  {
    id: Type.Integer({ description: "counts up within the job; the id of the server-sent event" }),
    object: Type.Literal("job.event"),
    type: Type.String({
      description:
        "queued, started, progress, metrics, checkpoint, cancel_requested, preempted, requeued, resumed, crashed, end; of sae.train also unstable, rolled_back, and evaluating (which sae of how many is being measured); of features.index also indexed (an sae is done); of features.label also label; of benchmark.analyze also benchmark_read (its prompts are counted in tokens), benchmark_started, benchmark_progress and benchmark_counted; of steering.sweep and steering.search also cell and arm, with the figures of one",
    }),
    data: Type.Record(Type.String(), Type.Unknown()),
    created_at: Timestamp,
  },
  {
    title: "JobEvent",
    examples: [
      {
        id: 7,
        object: "job.event",
        type: "checkpoint",
        data: { step: 120 },
        created_at: "2026-11-22T12:01:00.000Z",
      },
    ],
  },
);
export type JobEvent = Static<typeof JobEvent>;
