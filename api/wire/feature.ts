import type { Feature, FeatureDetail, FeatureDetailsLine, FeatureLabel } from "../../domain/feature.ts";
import type { FeatureIndex } from "../../platform/database.ts";
import type { FeatureRow } from "../../platform/features.ts";

/** `row` is null for a feature that is neither indexed nor labelled. */
export function wireFeature(saeId: string, index: number, row: FeatureRow | null): Feature {
  return {
    id: `${saeId}:${index}`,
    object: "feature",
    sae_id: saeId,
    index,
    firing_count: row?.firing_count ?? null,
    firing_rate: row?.firing_rate ?? null,
    mean: row?.mean ?? null,
    mean_when_active: row?.mean_when_active ?? null,
    max_activation: row?.max_activation ?? null,
    first_position_rate: row?.first_position_rate ?? null,
    decoder_norm: row?.decoder_norm ?? null,
    dense: row?.dense ?? null,
    register: row?.register ?? null,
    top_tokens: row?.top_tokens ?? [],
    label: wireLabel(row),
  };
}

function wireLabel(row: FeatureRow | null): FeatureLabel | null {
  if (row?.label == null) return null;
  return { text: row.label, source: row.label_source as FeatureLabel["source"], score: row.label_score };
}

/** `details` is null for a feature that is not indexed; `labels` are those of its neighbours, by index. */
export function wireFeatureDetail(
  feature: Feature,
  index: FeatureIndex | null,
  details: FeatureDetailsLine | null,
  labels: ReadonlyMap<number, string>,
): FeatureDetail {
  return {
    ...feature,
    tokens: index && Number(index.tokens),
    dataset_id: index?.dataset_id ?? null,
    first_position_max: details?.first_position_max ?? null,
    histogram: details?.histogram ?? null,
    examples: details?.examples ?? [],
    promoted: details?.promoted ?? [],
    suppressed: details?.suppressed ?? [],
    neighbours: (details?.neighbours ?? []).map((one) => ({ ...one, label: labels.get(one.index) ?? null })),
  };
}
