import type { LogitCheck, PrecisionCheck, Model as WireModel } from "../../domain/model.ts";
import type { Model } from "../../platform/database.ts";
import { wireDigest } from "./artifact.ts";

/** What the import measured, as its row keeps it. */
interface ModelStats {
  readonly median_residual_norm?: readonly (number | null)[];
  readonly logit_check?: LogitCheck;
  readonly precision_check?: PrecisionCheck;
}

export function residualNorms(row: Model): readonly (number | null)[] {
  return (row.stats as ModelStats).median_residual_norm ?? [];
}

export function wireModel(row: Model): WireModel {
  const stats = row.stats as ModelStats;
  return {
    id: row.id,
    object: "model",
    created: Math.floor(row.created_at.getTime() / 1000),
    owned_by: "workspace",
    name: row.name,
    family: row.family,
    layers: row.layers,
    d_model: row.d_model,
    vocab_size: row.vocab_size,
    context_length: row.context_length,
    precision: row.precision,
    precision_check: stats.precision_check ?? null,
    digest: wireDigest(row.digest),
    logit_check: stats.logit_check ?? null,
    residual_norms: [...residualNorms(row)],
    metadata: row.metadata as WireModel["metadata"],
    created_at: row.created_at.toISOString(),
  };
}
