import type { Feature, FeatureDetail, FeatureSort } from "../../domain/feature.ts";
import { answered, client } from "../api/client.ts";

export interface FeatureSearch {
  readonly query: string;
  readonly sort: FeatureSort;
  readonly cursor: string | null;
  readonly limit?: number;
}

export interface FeaturePage {
  readonly data: readonly Feature[];
  readonly next_cursor: string | null;
}

export function listFeatures(sae: string, search: FeatureSearch, signal: AbortSignal): Promise<FeaturePage> {
  const { query, sort, cursor, limit = 50 } = search;
  const words = query.trim();
  const asked = {
    limit,
    ...(words === "" ? { sort: sort === "relevance" ? ("index" as const) : sort } : { query: words, sort }),
    ...(cursor === null ? {} : { cursor }),
  };
  return answered(client.GET("/v1/saes/{id}/features", { params: { path: { id: sae }, query: asked }, signal }));
}

export function getFeature(sae: string, index: number, signal: AbortSignal): Promise<FeatureDetail> {
  return answered(client.GET("/v1/saes/{id}/features/{index}", { params: { path: { id: sae, index } }, signal }));
}

/** null removes the label. */
export function saveLabel(sae: string, index: number, label: string | null): Promise<FeatureDetail> {
  return answered(
    client.PATCH("/v1/saes/{id}/features/{index}", { params: { path: { id: sae, index } }, body: { label } }),
  );
}
