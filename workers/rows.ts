/** Database rows in the shape that handlers read. A name or an id finds a row; another workspace's never. */
import { Problem, type ProblemCode } from "../domain/problem.ts";
import type { Edit } from "../domain/steering.ts";
import { labelsOf, maxActivationOf, registersOf } from "../platform/features.ts";
import { findMeasured, keepMeasured } from "../platform/measured-features.ts";
import type { Platform } from "../platform/platform.ts";
import type { CallHandlers } from "./device-link.ts";
import {
  type ArtifactRow,
  type BlobFile,
  type ChildRow,
  type DatasetRow,
  type FeatureEvidence,
  type FilesAt,
  type ModelRow,
  type NamedKind,
  quantizedFile,
  type SaeRow,
  type VariantRow,
} from "./records.ts";

type Database = Platform["db"];

function found<T>(row: T | null, code: ProblemCode, id: string): T {
  if (row === null) throw new Problem(code, `"${id}" does not exist in this workspace`);
  return row;
}

const byIdOrName = (workspaceId: string, id: string) => ({ workspace_id: workspaceId, OR: [{ id }, { name: id }] });

async function readModel(db: Database, workspaceId: string, id: string): Promise<ModelRow> {
  const row = found(
    await db.model.findFirst({ where: byIdOrName(workspaceId, id), include: { quantized_artifact: true } }),
    "MODEL_NOT_FOUND",
    id,
  );
  const stats = row.stats as { median_residual_norm?: (number | null)[] };
  return {
    id: row.id,
    name: row.name,
    source: filesAt(row.path, row.files),
    quantized: fileOf(quantizedFile, row.quantized_artifact),
    digest: row.digest,
    sizeBytes: Number(row.size_bytes),
    layers: row.layers,
    dModel: row.d_model,
    vocab: row.vocab_size,
    context: row.context_length,
    residualNorms: stats.median_residual_norm ?? [],
  };
}

function filesAt(path: string | null, files: unknown): FilesAt {
  const listed = (files as { path: string; digest: string; size_bytes: number }[]).map((file) => ({
    path: file.path,
    digest: file.digest,
    sizeBytes: file.size_bytes,
  }));
  return path === null ? { type: "blobs", files: listed } : { type: "directory", path, files: listed };
}

function fileOf(path: string, artifact: { digest: string | null; size_bytes: bigint } | null): BlobFile | null {
  return artifact?.digest ? { path, digest: artifact.digest, sizeBytes: Number(artifact.size_bytes) } : null;
}

async function readSae(db: Database, workspaceId: string, id: string): Promise<SaeRow> {
  const row = found(
    await db.sae.findFirst({
      where: byIdOrName(workspaceId, id),
      include: { weights_artifact: true, config_artifact: true },
    }),
    "SAE_NOT_FOUND",
    id,
  );
  const extra = (row.config as { statistics_artifact_id?: string | null }).statistics_artifact_id;
  const statistics = extra ? await db.artifact.findFirst({ where: { id: extra, workspace_id: workspaceId } }) : null;
  const file = (path: string, artifact: { digest: string | null; size_bytes: bigint } | null): BlobFile[] => {
    const found = fileOf(path, artifact);
    return found ? [found] : [];
  };
  return {
    id: row.id,
    name: row.name,
    modelId: row.model_id,
    layer: row.layer,
    architecture: row.architecture,
    width: row.width,
    dModel: row.d_model,
    k: row.k,
    digest: row.digest,
    sizeBytes: Number(row.size_bytes),
    files: [
      ...file("sae_weights.safetensors", row.weights_artifact),
      ...file("cfg.json", row.config_artifact),
      ...file("feature_statistics.safetensors", statistics),
    ],
  };
}

async function readVariant(db: Database, workspaceId: string, id: string): Promise<VariantRow> {
  const row = found(await db.variant.findFirst({ where: byIdOrName(workspaceId, id) }), "VARIANT_NOT_FOUND", id);
  return { id: row.id, name: row.name, modelId: row.model_id, edits: row.edits as Edit[] };
}

async function readDataset(db: Database, workspaceId: string, id: string): Promise<DatasetRow> {
  const row = found(
    await db.dataset.findFirst({ where: byIdOrName(workspaceId, id), include: { artifact: true } }),
    "DATASET_NOT_FOUND",
    id,
  );
  const { digest } = row.artifact;
  if (digest === null) throw new Error(`${row.id}: its artifact was never completed`);
  return { id: row.id, name: row.name, samples: row.samples, digest };
}

async function readArtifact(db: Database, workspaceId: string, id: string): Promise<ArtifactRow> {
  const row = found(
    await db.artifact.findFirst({ where: { id, workspace_id: workspaceId, state: "visible" } }),
    "ARTIFACT_NOT_FOUND",
    id,
  );
  return { id, digest: row.digest ?? "", sizeBytes: Number(row.size_bytes), contentType: row.content_type };
}

async function readChildren(db: Database, workspaceId: string, parentId: string): Promise<ChildRow[]> {
  const rows = await db.job.findMany({
    where: { parent_id: parentId, workspace_id: workspaceId },
    orderBy: [{ created_at: "asc" }, { id: "asc" }],
  });
  return rows.map(({ id, kind, state, input, result }) => ({ id, kind, state, input, result }));
}

/** Of these names, those that models or saes of the workspace already have. */
async function readTaken(
  db: Database,
  workspaceId: string,
  kind: NamedKind,
  names: readonly string[],
): Promise<string[]> {
  const where = { workspace_id: workspaceId, name: { in: [...names] } };
  const rows =
    kind === "model"
      ? await db.model.findMany({ where, select: { name: true } })
      : await db.sae.findMany({ where, select: { name: true } });
  return rows.map((row) => row.name);
}

async function readEvidence(db: Database, saeId: string, features: readonly number[]): Promise<FeatureEvidence> {
  const index = await db.featureIndex.findUnique({ where: { sae_id: saeId }, include: { details_artifact: true } });
  const rows = await db.feature.findMany({ where: { sae_id: saeId, index: { in: [...features] } } });
  const known = new Map(rows.map((row) => [row.index, row]));
  return {
    digest: index?.details_artifact.digest ?? null,
    features: features.map((feature) => {
      const row = known.get(feature);
      const offset = row?.details_offset ?? null;
      return {
        index: feature,
        offset: offset === null ? null : Number(offset),
        length: row?.details_length ?? null,
        label: row?.label ?? null,
        source: row?.label_source ?? null,
      };
    }),
  };
}

/** The calls of a device that do not touch the job it runs. */
export function readOnlyCalls({ db, secrets }: Pick<Platform, "db" | "secrets">): Omit<CallHandlers, "job.checkpoint"> {
  return {
    "catalog.model": ({ workspaceId, id }) => readModel(db, workspaceId, id),
    "catalog.sae": ({ workspaceId, id }) => readSae(db, workspaceId, id),
    "catalog.variant": ({ workspaceId, id }) => readVariant(db, workspaceId, id),
    "catalog.max_activation": async ({ workspaceId, id, feature }) => {
      const sae = await db.sae.findFirst({ where: { id, workspace_id: workspaceId }, select: { id: true } });
      return sae && (await maxActivationOf(db, sae.id, feature));
    },
    "catalog.labels": async ({ workspaceId, id, features }) => {
      const sae = await readSae(db, workspaceId, id);
      return [...(await labelsOf(db, sae.id, features))].map(([feature, label]) => ({ feature, label }));
    },
    "catalog.feature_evidence": async ({ workspaceId, id, features }) => {
      const sae = await readSae(db, workspaceId, id);
      return await readEvidence(db, sae.id, features);
    },
    "catalog.registers": ({ workspaceId, id }) => registersOf(db, workspaceId, id),
    "measured.find": ({ workspaceId, keys }) => findMeasured(db, workspaceId, keys),
    "measured.keep": async ({ workspaceId, measured }) => {
      await keepMeasured(db, workspaceId, measured);
      return null;
    },
    "catalog.dataset": ({ workspaceId, id }) => readDataset(db, workspaceId, id),
    "catalog.artifact": ({ workspaceId, id }) => readArtifact(db, workspaceId, id),
    "catalog.children": ({ workspaceId, id }) => readChildren(db, workspaceId, id),
    "catalog.taken": ({ workspaceId, kind, names }) => readTaken(db, workspaceId, kind, names),
    "secret.reveal": ({ workspaceId, name, host }) => secrets.reveal(workspaceId, name, host),
  };
}
