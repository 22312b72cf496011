/**
 * A job handler: `(input, context) → output`. It knows neither the queue nor the database; everything it may
 * touch comes with the context, so a test runs it with a store in a temporary folder and rows in an object.
 */
import type { Readable } from "node:stream";
import type { ByteRange, StoredBlob } from "../../platform/artifacts/store.ts";
import type { MeasuredFeatures, NewMeasuredFeatures } from "../../platform/measured-features.ts";
import type { Outbound } from "../../platform/outbound.ts";
import type { CheckpointPointer, JobOutput, Progress, StopReason } from "../protocol.ts";
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
} from "../records.ts";
import type { Residency } from "../residency.ts";

export interface JobContext {
  readonly workspaceId: string;
  readonly jobId: string;
  readonly blobs: Blobs;
  readonly catalog: Catalog;
  readonly residency: Residency;
  readonly measured: Measured;
  readonly settings: HandlerSettings;
  readonly log: Log;
  /** The only way out to other hosts. */
  readonly outbound: Outbound;
  /** The value of a secret of the workspace, for a request to this address. Neither logged nor part of any output. */
  secret(name: string, url: string | URL): Promise<string>;
  /** With the token of this secret, or the operator's. */
  hubAccess(tokenSecret: string | undefined): Promise<HubAccess>;
  /** Aborted with a StopReason; a handler notices at its next step, keeps what it has and throws `Stopped`. */
  readonly signal: AbortSignal;
  /** State left by an earlier attempt. */
  readonly checkpoint: CheckpointPointer | null;
  /** A folder for this run alone, removed when the run ends, however it ends. */
  readonly scratch: string;
  /**
   * Says that a step ended and the next is due within the deadline; lets waiting messages in. A run of the
   * engine blocks the event loop, so a handler that never awaits this can be neither canceled nor seen alive.
   */
  step(deadlineMs?: number): Promise<void>;
  progress(progress: Progress): void;
  /** An event of the job's own stream, such as the metrics of a training step. */
  event(name: string, data: unknown): void;
  /**
   * Records a checkpoint; when this resolves it is committed and an earlier one may be gone. `blobs`: contents put so far that
   * the job's end will show, however long after; nobody else knows of them yet.
   */
  saveCheckpoint(
    bytes: AsyncIterable<Uint8Array> | Uint8Array,
    step: number,
    blobs?: readonly StoredBlob[],
  ): Promise<CheckpointPointer>;
}

/** Where the hub is and who asks it. */
export interface HubAccess {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly outbound: Outbound;
}

export type JobHandler<Input> = (input: Input, context: JobContext) => Promise<JobOutput>;

export interface HandlerSettings {
  readonly device: "cpu" | "cuda" | "webgpu";
  readonly threads: number;
  /** Memory that open models and saes may take together. */
  readonly memoryBytes: number;
  /** Sequences of one model that are generated together. */
  readonly maxBatch: number;
  /** Keys and values of everything that is generated at a time, and of the prompts that are kept. */
  readonly cacheBytes: number;
  /** Folders whose contents may be named by a `directory` source. */
  readonly modelRoots: readonly string[];
  /** Where artifacts are laid out as files for the engine. */
  readonly cacheFolder: string;
}

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The artifact store as a handler sees it: blobs of its own workspace by digest. */
export interface Blobs {
  put(bytes: AsyncIterable<Uint8Array> | Readable | Uint8Array): Promise<StoredBlob>;
  get(digest: string, range?: ByteRange): Promise<AsyncIterable<Uint8Array>>;
}

/** Rows a handler may read; each throws a problem when the workspace has no such thing. */
export interface Catalog {
  model(id: string): Promise<ModelRow>;
  sae(id: string): Promise<SaeRow>;
  variant(id: string): Promise<VariantRow>;
  /** a_f of the sae's feature index; null: not indexed, or never seen active. */
  maxActivation(saeId: string, feature: number): Promise<number | null>;
  /** Of these features of an sae, those that have a label. */
  labels(saeId: string, features: readonly number[]): Promise<readonly FeatureLabel[]>;
  /** Features that the sae's index found to be always on, whatever the text; none where it is not indexed. */
  registers(saeId: string): Promise<readonly number[]>;
  /** For each of these features, in their order, whether the index has examples of it. */
  featureEvidence(saeId: string, features: readonly number[]): Promise<FeatureEvidence>;
  dataset(id: string): Promise<DatasetRow>;
  artifact(id: string): Promise<ArtifactRow>;
  /** The jobs that a fan-out waited for, in the order in which they were made. */
  children(jobId: string): Promise<readonly ChildRow[]>;
  /** Of these names, those already in use. A name may still be taken before the job ends: the commit decides. */
  taken(kind: NamedKind, names: readonly string[]): Promise<readonly string[]>;
}

/** What saes did in texts that were run before, for any job of the workspace; contents are kept as long as they are read. */
export interface Measured {
  find(keys: readonly string[]): Promise<readonly MeasuredFeatures[]>;
  keep(measured: NewMeasuredFeatures): Promise<unknown>;
}

/** Thrown by a handler that stopped because its signal said so. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly reason: StopReason;
  /** What was finished until then and shall stay visible. */
  readonly output: JobOutput | null;

  constructor(reason: StopReason, output: JobOutput | null = null) {
    super(`stopped: ${reason}`);
    this.reason = reason;
    this.output = output;
  }
}

/** A step at which a handler that has nothing to keep stops when its signal says so. @throws Stopped */
export async function stepOrStop(context: Pick<JobContext, "step" | "signal">, deadlineMs?: number): Promise<void> {
  await context.step(deadlineMs);
  if (context.signal.aborted) throw new Stopped(context.signal.reason === "preempt" ? "preempt" : "cancel");
}
