/** The end of a job in the database: its artifacts, models and saes appear with its last state, or not at all. */
import { fieldProblem, isProblem, Problem, type ProblemDetails, toProblemDetails } from "../domain/problem.ts";
import { type FeatureValues, writeFeatureRows } from "../platform/feature-rows.ts";
import { type FeatureLabels, writeLabels } from "../platform/features.ts";
import type { JobClaim, JobOutcome, Json, Transaction } from "../platform/jobs.ts";
import type { Platform } from "../platform/platform.ts";
import { bytesOf } from "./bytes.ts";
import type { JobOutput, ProducedFeatureIndex } from "./protocol.ts";

export async function finishJob(
  platform: Platform,
  claim: JobClaim,
  state: JobOutcome["state"],
  output: JobOutput | null,
  error: ProblemDetails | null,
): Promise<void> {
  try {
    await commit(platform, claim, state, output, error);
  } catch (thrown) {
    const problem = refusalOf(thrown);
    if (!problem) throw thrown;
    await commit(platform, claim, "failed", null, toProblemDetails(problem));
  }
}

/** What the database's own laws refused: the job ends with it and leaves nothing. */
function refusalOf(thrown: unknown): Problem | null {
  if (isProblem(thrown)) return thrown;
  // Two jobs may have promised the same name; the first commit has it.
  if (!isUniqueViolation(thrown)) return null;
  return fieldProblem("NAME_TAKEN", "/name", "another job finished first and took this name");
}

async function commit(
  platform: Platform,
  claim: JobClaim,
  state: JobOutcome["state"],
  output: JobOutput | null,
  error: ProblemDetails | null,
): Promise<void> {
  const workspaceId = claim.job.workspace_id;
  for (const artifact of output?.artifacts ?? []) {
    // Pending until the commit below makes it visible; the collector removes it when that never comes.
    await platform.artifacts.create({ ...artifact, workspaceId, jobId: claim.jobId });
  }
  const features = await readFeatures(platform, workspaceId, output);
  await platform.claims.finish(claim, {
    state,
    result: state === "succeeded" ? (output?.result as Json | undefined) : undefined,
    error: (error ?? undefined) as Json | undefined,
    metrics: output?.metrics as Json | undefined,
    artifacts: output?.artifacts?.map(({ name, id }) => ({ name, artifactId: id })),
    write: output
      ? async (tx) => {
          await writeRows(tx, claim, output);
          for (const one of features) await writeFeatures(tx, claim, one);
          for (const one of output.featureLabels ?? []) await writeNewLabels(tx, claim, one);
        }
      : undefined,
  });
}

async function writeRows(tx: Transaction, claim: JobClaim, output: JobOutput): Promise<void> {
  const ours = { workspace_id: claim.job.workspace_id, job_id: claim.jobId };
  for (const model of output.models ?? []) {
    await tx.model.create({
      data: {
        ...ours,
        id: model.id,
        name: model.name,
        family: model.family,
        layers: model.layers,
        d_model: model.dModel,
        vocab_size: model.vocabSize,
        context_length: model.contextLength,
        precision: model.precision,
        quantized_artifact_id: model.quantizedArtifactId,
        digest: model.digest,
        size_bytes: model.sizeBytes,
        source: model.source as Json,
        path: model.path,
        files: model.files as unknown as Json,
        stats: model.stats as Json,
        metadata: model.metadata as Json,
      },
    });
  }
  for (const sae of output.saes ?? []) {
    // A model deleted while its sae was being made would otherwise surface as a foreign key error.
    const model = await tx.model.findFirst({ where: { id: sae.modelId, workspace_id: ours.workspace_id } });
    if (!model) throw new Problem("MODEL_NOT_FOUND", `${sae.modelId} was deleted meanwhile`);
    await tx.sae.create({
      data: {
        ...ours,
        id: sae.id,
        name: sae.name,
        release_id: sae.releaseId,
        model_id: sae.modelId,
        layer: sae.layer,
        tap: `resid_post.${sae.layer}`,
        architecture: sae.architecture,
        width: sae.width,
        d_model: sae.dModel,
        k: sae.k,
        digest: sae.digest,
        size_bytes: sae.sizeBytes,
        weights_artifact_id: sae.weightsArtifactId,
        config_artifact_id: sae.configArtifactId,
        source: sae.source as Json,
        config: sae.config as Json,
        metrics: sae.metrics as Json,
        metadata: sae.metadata as Json,
      },
    });
  }
}

interface IndexedFeatures extends ProducedFeatureIndex {
  readonly values: readonly FeatureValues[];
}

/** Before the transaction, which holds the job's row: a store may be slow. */
async function readFeatures(
  { store }: Platform,
  workspaceId: string,
  output: JobOutput | null,
): Promise<IndexedFeatures[]> {
  const read: IndexedFeatures[] = [];
  for (const index of output?.featureIndexes ?? []) {
    const text = Buffer.from(await bytesOf(await store.get(workspaceId, index.rows.digest))).toString("utf8");
    const lines = text.split("\n").filter((line) => line !== "");
    read.push({ ...index, values: lines.map((line) => JSON.parse(line) as FeatureValues) });
  }
  return read;
}

async function writeFeatures(tx: Transaction, claim: JobClaim, index: IndexedFeatures): Promise<void> {
  const sae_id = index.saeId;
  const sae = await tx.sae.findFirst({ where: { id: sae_id, workspace_id: claim.job.workspace_id } });
  if (!sae) throw new Problem("SAE_NOT_FOUND", `${sae_id} was deleted meanwhile`);
  const row = {
    ...{ sae_id, job_id: claim.jobId, dataset_id: index.datasetId, created_at: new Date() },
    ...{ tokens: BigInt(index.tokens), sequences: BigInt(index.sequences) },
    ...{ details_artifact_id: index.detailsArtifactId, summary_artifact_id: index.summaryArtifactId },
  };
  await tx.featureIndex.upsert({ where: { sae_id }, create: row, update: row });
  await writeFeatureRows(tx, sae_id, index.values);
}

/** An sae that was deleted meanwhile took its features along, and their labels have nowhere to go. */
async function writeNewLabels(tx: Transaction, claim: JobClaim, labels: FeatureLabels): Promise<void> {
  const sae = await tx.sae.findFirst({ where: { id: labels.saeId, workspace_id: claim.job.workspace_id } });
  if (!sae) throw new Problem("SAE_NOT_FOUND", `${labels.saeId} was deleted meanwhile`);
  await writeLabels(tx, labels);
}

/** Prisma's code for a broken unique constraint. */
function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "P2002";
}
