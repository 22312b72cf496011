// Finds the feature that stands for Chinese, as a client would: encode English and Chinese texts, rank by the contrast.

import type { ApiClient } from "./http.ts";

interface Encoded {
  readonly results: readonly { readonly features: readonly (readonly { index: number; value: number }[])[] }[];
}

export interface ContrastFeature {
  readonly index: number;
  /** Mean activation per token in the Chinese texts, and in the others. */
  readonly positive: number;
  readonly negative: number;
  /** Share of tokens on which it fires. */
  readonly positiveRate: number;
  readonly negativeRate: number;
}

/** Features by difference of mean activation over tokens (position 0 left out), largest first. */
export async function contrast(
  api: ApiClient,
  sae: string,
  positive: readonly string[],
  negative: readonly string[],
): Promise<ContrastFeature[]> {
  const [there, elsewhere] = [await means(api, sae, positive), await means(api, sae, negative)];
  const indices = new Set([...there.keys(), ...elsewhere.keys()]);
  const none = { mean: 0, rate: 0 };
  return [...indices]
    .map((index) => ({
      index,
      positive: (there.get(index) ?? none).mean,
      negative: (elsewhere.get(index) ?? none).mean,
      positiveRate: (there.get(index) ?? none).rate,
      negativeRate: (elsewhere.get(index) ?? none).rate,
    }))
    .sort((a, b) => b.positive - b.negative - (a.positive - a.negative));
}

async function means(
  api: ApiClient,
  sae: string,
  texts: readonly string[],
): Promise<Map<number, { mean: number; rate: number }>> {
  const { results } = await api.post<Encoded>(`/v1/saes/${sae}/encode`, { texts });
  const sums = new Map<number, { sum: number; count: number }>();
  let tokens = 0;
  for (const { features } of results) {
    for (const active of features.slice(1)) {
      tokens++;
      for (const { index, value } of active) {
        const entry = sums.get(index) ?? { sum: 0, count: 0 };
        sums.set(index, { sum: entry.sum + value, count: entry.count + 1 });
      }
    }
  }
  return new Map([...sums].map(([index, { sum, count }]) => [index, { mean: sum / tokens, rate: count / tokens }]));
}
