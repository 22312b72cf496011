import type { Sae as WireSae } from "../../domain/sae.ts";
import type { FeatureIndex, Sae } from "../../platform/database.ts";
import { wireDigest } from "./artifact.ts";

export function wireSae(row: Sae & { readonly feature_index: FeatureIndex | null }): WireSae {
  return {
    id: row.id,
    object: "sae",
    name: row.name,
    model_id: row.model_id,
    release_id: row.release_id,
    tap: row.tap,
    layer: row.layer,
    architecture: row.architecture,
    width: row.width,
    k: row.k,
    d_model: row.d_model,
    digest: wireDigest(row.digest),
    metrics: row.metrics as WireSae["metrics"],
    feature_index: row.feature_index && {
      job_id: row.feature_index.job_id,
      dataset_id: row.feature_index.dataset_id,
      tokens: Number(row.feature_index.tokens),
      summary_artifact_id: row.feature_index.summary_artifact_id,
      details_artifact_id: row.feature_index.details_artifact_id,
      created_at: row.feature_index.created_at.toISOString(),
    },
    job_id: row.job_id,
    metadata: row.metadata as WireSae["metadata"],
    created_at: row.created_at.toISOString(),
  };
}
