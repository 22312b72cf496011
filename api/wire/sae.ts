import type { Sae as WireSae } from "../../domain/sae.ts";
import type { Sae } from "../../platform/database.ts";
import { wireDigest } from "./artifact.ts";

export function wireSae(row: Sae): WireSae {
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
    job_id: row.job_id,
    metadata: row.metadata as WireSae["metadata"],
    created_at: row.created_at.toISOString(),
  };
}
