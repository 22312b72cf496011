// Rows of artifacts: names, types and visibility of contents. A blob lives as long as a row points to it.
import { newId } from "../../domain/id.ts";
import type { Artifact, PrismaClient } from "../../prisma/client/client.ts";
import type { Json, Transaction } from "../database.ts";
import type { ArtifactStore, StoredBlob } from "./store.ts";

export type ArtifactRow = Artifact;

export interface NewArtifact {
  /** Default: a new one. */
  readonly id?: string | undefined;
  readonly workspaceId: string;
  readonly name: string;
  readonly contentType: string;
  readonly blob: StoredBlob;
  /** Made by a job: invisible until the commit that ends the job names it. */
  readonly jobId?: string | undefined;
  readonly metadata?: Json | undefined;
  readonly expiresAt?: Date | undefined;
}

export interface Artifacts {
  create(artifact: NewArtifact, tx?: Transaction): Promise<ArtifactRow>;
  /** Visible ones only. */
  find(workspaceId: string, id: string): Promise<ArtifactRow | null>;
  /** Removes expired rows, then contents that no row and no checkpoint points to and nobody put for a while. */
  collect(options?: { unusedForMs?: number }): Promise<{ readonly removed: number }>;
}

/** The row that keeps a content alive, made before anything points to it. */
export async function recordBlob(tx: Transaction, workspaceId: string, blob: StoredBlob): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO blobs (workspace_id, digest, size_bytes) VALUES (${workspaceId}, ${blob.digest}, ${blob.sizeBytes}::bigint)
    ON CONFLICT (workspace_id, digest) DO UPDATE SET touched_at = now()`;
}

/** Of these contents, those that nothing points to any more; their rows are gone with the transaction. */
export async function dropUnused(tx: Transaction, workspaceId: string, digests: readonly string[]): Promise<string[]> {
  const dropped = await tx.$queryRaw<{ digest: string }[]>`
    DELETE FROM blobs b WHERE b.workspace_id = ${workspaceId} AND b.digest = ANY(${[...digests]})
    AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.workspace_id = b.workspace_id AND a.digest = b.digest)
    AND NOT EXISTS (SELECT 1 FROM measured_features f WHERE f.workspace_id = b.workspace_id AND f.digest = b.digest)
    AND NOT EXISTS (SELECT 1 FROM job_checkpoints c WHERE c.workspace_id = b.workspace_id
                    AND (c.digest = b.digest OR c.metadata->'blobs' @> to_jsonb(b.digest)))
    RETURNING b.digest`;
  return dropped.map(({ digest }) => digest);
}

export function createArtifacts(parts: { db: PrismaClient; store: ArtifactStore }): Artifacts {
  const { db, store } = parts;
  return {
    async create(artifact, outer) {
      const insert = async (tx: Transaction) => {
        await recordBlob(tx, artifact.workspaceId, artifact.blob);
        const visible = artifact.jobId === undefined;
        return tx.artifact.create({
          data: {
            id: artifact.id ?? newId("artifact"),
            workspace_id: artifact.workspaceId,
            name: artifact.name,
            content_type: artifact.contentType,
            digest: artifact.blob.digest,
            size_bytes: BigInt(artifact.blob.sizeBytes),
            state: visible ? "visible" : "pending",
            visible_at: visible ? new Date() : null,
            job_id: artifact.jobId ?? null,
            metadata: artifact.metadata ?? {},
            expires_at: artifact.expiresAt ?? null,
          },
        });
      };
      return outer === undefined ? db.$transaction(insert) : insert(outer);
    },

    find: (workspaceId, id) => db.artifact.findFirst({ where: { id, workspace_id: workspaceId, state: "visible" } }),

    async collect({ unusedForMs = 24 * 3_600_000 } = {}) {
      // In use by a dataset, a model or an sae: stays, whatever its expiry says.
      await db.$executeRaw`
        DELETE FROM artifacts a WHERE a.expires_at < now()
        AND NOT EXISTS (SELECT 1 FROM datasets d WHERE d.artifact_id = a.id)
        AND NOT EXISTS (SELECT 1 FROM feature_indexes f WHERE f.details_artifact_id = a.id OR f.summary_artifact_id = a.id)
        AND NOT EXISTS (SELECT 1 FROM models m WHERE m.quantized_artifact_id = a.id
                        OR m.files @> jsonb_build_array(jsonb_build_object('artifact_id', a.id)))
        AND NOT EXISTS (SELECT 1 FROM saes s WHERE s.weights_artifact_id = a.id OR s.config_artifact_id = a.id)`;
      await db.$executeRaw`
        DELETE FROM blobs b WHERE b.touched_at < now() - make_interval(secs => ${unusedForMs / 1000})
        AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.workspace_id = b.workspace_id AND a.digest = b.digest)
        AND NOT EXISTS (SELECT 1 FROM measured_features f WHERE f.workspace_id = b.workspace_id AND f.digest = b.digest)
        AND NOT EXISTS (SELECT 1 FROM job_checkpoints c WHERE c.workspace_id = b.workspace_id
                        AND (c.digest = b.digest OR c.metadata->'blobs' @> to_jsonb(b.digest)))`;
      // Contents come before their rows (a device process knows no database), so the store itself is asked for what has
      // none, and only what nobody has put for a while goes.
      let removed = 0;
      for (const { id } of await db.workspace.findMany({ select: { id: true } })) {
        for await (const { digest } of store.list(id)) {
          const known = await db.blob.count({ where: { workspace_id: id, digest } });
          const info = known > 0 ? null : await store.head(id, digest);
          if (info === null || info.modifiedAt.getTime() > Date.now() - unusedForMs) continue;
          await store.delete(id, digest);
          removed++;
        }
      }
      return { removed };
    },
  };
}
