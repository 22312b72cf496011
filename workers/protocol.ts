/**
 * What a supervisor and its device process say to each other. The link is Node's IPC channel with structured
 * clones, so typed arrays travel as they are; nothing here holds a function, a class or a database row.
 */

import type { ProblemDetails } from "../domain/problem.ts";
import type { StoredBlob } from "../platform/artifacts/store.ts";
import type { Config } from "../platform/config.ts";
import type { FeatureLabels } from "../platform/features.ts";
import type { MeasuredFeatures, NewMeasuredFeatures } from "../platform/measured-features.ts";
import type {
  ArtifactRow,
  ChildRow,
  DatasetRow,
  FeatureEvidence,
  FeatureLabel,
  ModelRow,
  NamedKind,
  SaeRow,
  VariantRow,
} from "./records.ts";

/** Why running work is asked to stop before its end. */
export type StopReason = "cancel" | "preempt";

/** An error as it crosses the link: a problem is for the client to read, a bug is for us. */
export type Failure =
  | { readonly kind: "problem"; readonly problem: ProblemDetails }
  | { readonly kind: "bug"; readonly name: string; readonly message: string; readonly stack: string };

/** Everything a device is told at its start: it reads no environment of its own. */
export interface DeviceConfig {
  readonly workerId: string;
  readonly class: "interactive" | "batch";
  readonly threads: number;
  /** Open models and saes are closed, least recently used first, above this many bytes. */
  readonly residentBytes: number;
  /** Sequences of one model that are generated together. */
  readonly maxBatch: number;
  /** Keys and values of everything that is generated at a time, and of the prompts that are kept. */
  readonly cacheBytes: number;
  /** The next step after one without a deadline of its own is due within this time. */
  readonly stepDeadlineMs: number;
  /** Where artifacts are laid out as files for the engine. */
  readonly cacheFolder: string;
  readonly platform: Config;
}

export interface Capability {
  readonly kinds: readonly string[];
  readonly device: string;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly runtime: string;
  /** Of a batch worker: how fast a training goes here. */
  readonly flops_per_second?: number;
  readonly sparse_flops_per_second?: number;
  readonly updates_per_second?: number;
}

export interface JobAssignment {
  readonly jobId: string;
  readonly workspaceId: string;
  readonly kind: string;
  readonly input: unknown;
  /** The last checkpoint of an earlier attempt. */
  readonly checkpoint: CheckpointPointer | null;
}

export interface CheckpointPointer {
  /** Digest of the blob in the workspace's artifact store. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly step: number;
  /** Contents made so far that the job's end will show. */
  readonly blobs?: readonly StoredBlob[];
}

export interface RequestAssignment {
  readonly requestId: string;
  readonly workspaceId: string;
  readonly input: unknown;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  /** Units a second since this attempt began; null until it is known. */
  readonly rate: number | null;
  readonly eta_s: number | null;
}

export type ToDevice =
  | { readonly type: "start"; readonly config: DeviceConfig }
  | { readonly type: "run_job"; readonly job: JobAssignment }
  | { readonly type: "stop_job"; readonly jobId: string; readonly reason: StopReason }
  | { readonly type: "run_request"; readonly request: RequestAssignment }
  | { readonly type: "stop_request"; readonly requestId: string }
  | { readonly type: "forget_model"; readonly modelId: string }
  | { readonly type: "answer"; readonly call: number; readonly value: unknown }
  | { readonly type: "refusal"; readonly call: number; readonly failure: Failure };

export type FromDevice =
  | { readonly type: "ready"; readonly capability: Capability }
  /** The start failed for something that this machine lacks. */
  | { readonly type: "unavailable"; readonly reason: string }
  /** A step ended; the next one is due within deadlineMs, or the device counts as stuck. Null: nothing is running. */
  | { readonly type: "step"; readonly deadlineMs: number | null }
  | { readonly type: "progress"; readonly jobId: string; readonly progress: Progress }
  | { readonly type: "job_event"; readonly jobId: string; readonly event: string; readonly data: unknown }
  | { readonly type: "job_ended"; readonly jobId: string; readonly outcome: JobOutcome }
  | { readonly type: "request_events"; readonly requestId: string; readonly events: readonly unknown[] }
  | { readonly type: "request_ended"; readonly requestId: string; readonly failure: Failure | null }
  | {
      readonly type: "call";
      readonly call: number;
      readonly method: string;
      readonly params: unknown;
    };

export type JobOutcome =
  | { readonly type: "succeeded"; readonly output: JobOutput }
  /** Stopped as asked; what was finished until then stays visible. */
  | { readonly type: "stopped"; readonly reason: StopReason; readonly output: JobOutput | null }
  | { readonly type: "failed"; readonly failure: Failure; readonly output: JobOutput | null };

/** What a job leaves behind. Its rows are written by the transaction that ends the job, or not at all. */
export interface JobOutput {
  readonly result: Readonly<Record<string, unknown>>;
  readonly metrics?: Readonly<Record<string, unknown>>;
  readonly artifacts?: readonly ProducedArtifact[];
  readonly models?: readonly ProducedModel[];
  readonly saes?: readonly ProducedSae[];
  readonly featureIndexes?: readonly ProducedFeatureIndex[];
  readonly featureLabels?: readonly FeatureLabels[];
}

/** A blob already in the store that becomes an artifact of the workspace. */
export interface ProducedArtifact {
  /** From newId("artifact"), so that results can name it before it is written. */
  readonly id: string;
  /** File name shown to people, unique within the job. */
  readonly name: string;
  readonly contentType: string;
  readonly blob: StoredBlob;
}

export interface ProducedModel {
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly layers: number;
  readonly dModel: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly precision: string;
  /** Among the artifacts of the same output: the weights as integers. */
  readonly quantizedArtifactId: string | null;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly source: unknown;
  readonly path: string | null;
  readonly files: readonly { path: string; digest: string; size_bytes: number; artifact_id?: string }[];
  readonly stats: unknown;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ProducedSae {
  readonly id: string;
  readonly name: string;
  readonly releaseId: string;
  readonly modelId: string;
  readonly layer: number;
  readonly architecture: string;
  readonly width: number;
  readonly dModel: number;
  readonly k: number | null;
  readonly digest: string;
  readonly sizeBytes: number;
  /** Among the artifacts of the same output. */
  readonly weightsArtifactId: string;
  readonly configArtifactId: string;
  readonly source: unknown;
  readonly config: unknown;
  readonly metrics: Readonly<Record<string, number | null>>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ProducedFeatureIndex {
  readonly saeId: string;
  readonly datasetId: string;
  /** Without those at position 0. */
  readonly tokens: number;
  readonly sequences: number;
  /** A line of FeatureValues for each feature: too many for a message. */
  readonly rows: StoredBlob;
  /** Among the artifacts of the same output. */
  readonly detailsArtifactId: string;
  readonly summaryArtifactId: string;
}

interface Named {
  readonly workspaceId: string;
  readonly id: string;
}

/** Calls a device makes of its supervisor: reads of rows, and the fenced commit of a checkpoint. */
export interface SupervisorCalls {
  "catalog.model": { params: Named; value: ModelRow };
  "catalog.sae": { params: Named; value: SaeRow };
  "catalog.variant": { params: Named; value: VariantRow };
  "catalog.max_activation": { params: Named & { readonly feature: number }; value: number | null };
  "catalog.dataset": { params: Named; value: DatasetRow };
  "catalog.artifact": { params: Named; value: ArtifactRow };
  "catalog.children": { params: Named; value: ChildRow[] };
  "catalog.taken": { params: { workspaceId: string; kind: NamedKind; names: readonly string[] }; value: string[] };
  "catalog.labels": { params: Named & { readonly features: readonly number[] }; value: FeatureLabel[] };
  "catalog.feature_evidence": { params: Named & { readonly features: readonly number[] }; value: FeatureEvidence };
  "catalog.registers": { params: Named; value: number[] };
  "measured.find": { params: { workspaceId: string; keys: readonly string[] }; value: MeasuredFeatures[] };
  "measured.keep": { params: { workspaceId: string; measured: NewMeasuredFeatures }; value: null };
  "secret.reveal": { params: { workspaceId: string; name: string; host: string }; value: string };
  "job.checkpoint": { params: { jobId: string; checkpoint: CheckpointPointer }; value: null };
}
