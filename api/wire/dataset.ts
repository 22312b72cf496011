import type { Dataset as WireDataset } from "../../domain/dataset.ts";
import type { Dataset } from "../../platform/database.ts";
import { wireDigest } from "./artifact.ts";

export function wireDataset(row: Dataset): WireDataset {
  return {
    id: row.id,
    object: "dataset",
    name: row.name,
    samples: row.samples,
    columns: row.columns as string[],
    template: row.template,
    size_bytes: Number(row.size_bytes),
    digest: wireDigest(row.digest),
    metadata: row.metadata as WireDataset["metadata"],
    created_at: row.created_at.toISOString(),
  };
}
