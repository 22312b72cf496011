// Which texts were run through which sae before, and where the features they activated are kept.

import type { PrismaClient } from "../prisma/client/client.ts";
import { recordBlob } from "./artifacts/artifacts.ts";
import type { StoredBlob } from "./artifacts/store.ts";
import type { Transaction } from "./database.ts";

export interface MeasuredFeatures {
  /** Names everything that decides the content. */
  readonly key: string;
  readonly blob: StoredBlob;
}

export interface NewMeasuredFeatures extends MeasuredFeatures {
  readonly saeDigest: string;
  /** Null: a text of our own. */
  readonly datasetDigest: string | null;
}

/** How long features are kept that nobody reads again. */
const UNUSED_DAYS = 30;

/** Those of the keys that are known; being asked for keeps them. */
export async function findMeasured(
  db: PrismaClient,
  workspaceId: string,
  keys: readonly string[],
): Promise<MeasuredFeatures[]> {
  const rows = await db.$queryRaw<{ key: string; digest: string; size_bytes: bigint }[]>`
    UPDATE measured_features SET used_at = now() WHERE workspace_id = ${workspaceId} AND key = ANY(${[...keys]})
    RETURNING key, digest, size_bytes`;
  return rows.map(({ key, digest, size_bytes }) => ({ key, blob: { digest, sizeBytes: Number(size_bytes) } }));
}

/** Records a stored blob. Two jobs that measured the same may both do so. */
export async function keepMeasured(
  db: PrismaClient,
  workspaceId: string,
  measured: NewMeasuredFeatures,
): Promise<void> {
  const { key, blob, saeDigest, datasetDigest } = measured;
  await db.$transaction(async (tx) => {
    await recordBlob(tx, workspaceId, blob);
    await tx.$executeRaw`
      INSERT INTO measured_features (workspace_id, key, digest, size_bytes, sae_digest, dataset_digest)
      VALUES (${workspaceId}, ${key}, ${blob.digest}, ${blob.sizeBytes}::bigint, ${saeDigest}, ${datasetDigest})
      ON CONFLICT (workspace_id, key) DO UPDATE
      SET digest = EXCLUDED.digest, size_bytes = EXCLUDED.size_bytes, used_at = now()`;
  });
}

/** Forgets what nobody read for a month, and what was measured of a dataset or by an sae that the workspace no longer has. */
export async function forgetMeasured(db: PrismaClient | Transaction): Promise<void> {
  await db.$executeRaw`
    DELETE FROM measured_features m WHERE m.used_at < now() - make_interval(days => ${UNUSED_DAYS}::int)
    OR NOT EXISTS (SELECT 1 FROM saes s WHERE s.workspace_id = m.workspace_id AND s.digest = m.sae_digest)
    OR (m.dataset_digest IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM datasets d JOIN artifacts a ON a.id = d.artifact_id
      WHERE d.workspace_id = m.workspace_id AND a.digest = m.dataset_digest))`;
}
