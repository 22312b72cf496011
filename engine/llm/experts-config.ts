// A mixture of experts in place of a dense feed-forward, as config.json describes it.

import { flag, type Json, ModelConfigError, size } from "./config-json.ts";

export interface Experts {
  readonly count: number;
  /** Experts that each token is routed to. */
  readonly active: number;
  /** Width of each expert. */
  readonly width: number;
  /** Whether the probabilities of a token's experts are divided by their sum. */
  readonly normalized: boolean;
  /** Width of an expert that every token passes, beside the routed ones; null: there is none. */
  readonly sharedWidth: number | null;
}

/** What a family says of its experts. */
export interface ExpertFamily {
  readonly shared: boolean;
  /** Whether probabilities are normalised: always, or as `norm_topk_prob` says. */
  readonly normalized: true | "configured";
  /** Whether `decoder_sparse_step` and `mlp_only_layers` can make layers dense. */
  readonly someLayersDense: boolean;
  readonly defaults: { readonly count: number; readonly active: number; readonly width: number };
}

export function parseExperts(json: Json, { shared, normalized, defaults }: ExpertFamily): Experts {
  // transformers 5 also knows the count by the name that other families give it.
  const countKey =
    json.num_experts === undefined && json.num_local_experts !== undefined ? "num_local_experts" : "num_experts";
  const count = size(json, countKey, defaults.count);
  const active = size(json, "num_experts_per_tok", defaults.active);
  if (active > count) throw new ModelConfigError(`num_experts_per_tok ${active} is more than ${countKey} ${count}`);
  return {
    count,
    active,
    width: size(json, "moe_intermediate_size", defaults.width),
    normalized: normalized === true || flag(json, "norm_topk_prob", false),
    sharedWidth: shared ? size(json, "shared_expert_intermediate_size", defaults.width) : null,
  };
}

/** For each layer, whether it is a mixture: every `decoder_sparse_step`-th one that `mlp_only_layers` does not name. */
export function mixtureLayers(json: Json, { someLayersDense }: ExpertFamily, layers: number): boolean[] {
  const step = someLayersDense ? size(json, "decoder_sparse_step", 1) : 1;
  const dense = (someLayersDense ? json.mlp_only_layers : null) ?? [];
  if (!Array.isArray(dense) || !dense.every((layer) => Number.isSafeInteger(layer))) {
    throw new ModelConfigError(`mlp_only_layers must be a list of layers, got ${JSON.stringify(dense)}`);
  }
  return Array.from({ length: layers }, (_, layer) => !dense.includes(layer) && (layer + 1) % step === 0);
}
