import type { Variant as WireVariant } from "../../domain/variant.ts";
import type { Variant } from "../../platform/database.ts";

export function wireVariant(row: Variant): WireVariant {
  return {
    id: row.id,
    object: "variant",
    name: row.name,
    model_id: row.model_id,
    steering: { edits: row.edits as WireVariant["steering"]["edits"] },
    metadata: row.metadata as WireVariant["metadata"],
    created_at: row.created_at.toISOString(),
  };
}
