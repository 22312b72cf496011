// What completions name, read from the database.
import type { KnownModel, Lookups } from "../../domain/generation/lookups.ts";
import type { Edit } from "../../domain/steering.ts";
import type { Model } from "../../platform/database.ts";
import { maxActivationOf } from "../../platform/features.ts";
import type { Platform } from "../../platform/platform.ts";
import { findModel, findSae, findVariant } from "../lookup.ts";
import { residualNorms } from "../wire/model.ts";

export function knownModel(row: Model): KnownModel {
  const { id, name, layers } = row;
  return { id, name, layers, dModel: row.d_model, residualNorms: residualNorms(row) };
}

export function createLookups(platform: Platform, workspaceId: string): Lookups {
  return {
    async model(idOrName) {
      const row = await findModel(platform, workspaceId, idOrName);
      return row && knownModel(row);
    },
    async variant(idOrName) {
      const row = await findVariant(platform, workspaceId, idOrName);
      return row && { id: row.id, name: row.name, modelId: row.model_id, edits: row.edits as Edit[] };
    },
    async sae(idOrName) {
      const row = await findSae(platform, workspaceId, idOrName);
      return row && { id: row.id, name: row.name, modelId: row.model_id, layer: row.layer, width: row.width };
    },
    maxActivation: (saeId, index) => maxActivationOf(platform.db, saeId, index),
  };
}
