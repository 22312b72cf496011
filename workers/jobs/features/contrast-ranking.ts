/** The part of a contrast that belongs to one sae: what its features did in each sample, and how they rank. */

import type { ContrastedFeature, FeaturesContrastSettings } from "../../../domain/contrast.ts";
import { contrastValues, type WeightedSamples, weigh } from "../../../engine/features/contrast.ts";
import { bootstrapIntervals, permutationTest } from "../../../engine/features/contrast-inference.ts";
import { createRepetition } from "../../../engine/features/repetition.ts";
import { createSampleActivations, type SampleActivations } from "../../../engine/features/sample-activations.ts";
import type { ActivationBatch } from "../../../engine/runtime/activations.ts";
import { createRandom } from "../../../engine/runtime/random.ts";
import type { OpenedSae } from "../../../engine/sae/open-sae.ts";
import type { SaeRow } from "../../records.ts";

/** A feature that fires on more of the tokens than this, on either side, says nothing about what the text is. */
const REGISTER_RATE = 0.5;

export interface RankedFeature {
  readonly saeId: string;
  readonly feature: string;
  readonly layer: number;
  readonly index: number;
  readonly value: number;
  /** From the value that says nothing: 0, or ½ for an AUC. */
  readonly distance: number;
  readonly positiveRate: number;
  readonly negativeRate: number | null;
  readonly positiveMean: number;
  readonly negativeMean: number | null;
  readonly isRegister: boolean;
}

export interface ContrastedSae {
  readonly row: SaeRow;
  /** Adds the kept tokens of whole sequences, in order. */
  add(batch: ActivationBatch, kept: readonly Uint8Array[]): Promise<void>;
  tokensOf(groups: Uint8Array): { positive: number; negative: number };
  samples(): { data: SampleActivations; weighted: WeightedSamples };
  describe(
    chosen: readonly RankedFeature[],
    groups: Uint8Array,
    settings: FeaturesContrastSettings,
  ): ContrastedFeature[];
}

export function collectContrast(
  row: SaeRow,
  opened: OpenedSae,
  statistic: FeaturesContrastSettings["statistic"],
): ContrastedSae {
  const builder = createSampleActivations(row.width);
  const repetition = statistic === "repetition" ? createRepetition(row.width) : null;
  let collected: { data: SampleActivations; weighted: WeightedSamples } | null = null;

  function samples() {
    if (collected) return collected;
    const data = builder.finish();
    collected = { data, weighted: repetition ? repetition.finish() : weigh(data, statistic as never) };
    return collected;
  }

  return {
    row,
    async add(batch, kept) {
      const acts = batch.activations[batch.layers.indexOf(row.layer)]!;
      const sparse = await opened.encode(acts);
      for (let b = 0; b < batch.rows; b++) {
        const sequence = batch.sequence[b]!;
        if (kept[sequence]![batch.position[b]!]) {
          const [from, to] = [sparse.offsets[b]!, sparse.offsets[b + 1]!];
          const [features, values] = [sparse.features.subarray(from, to), sparse.values.subarray(from, to)];
          builder.addToken(features, values);
          repetition?.addToken(batch.tokenId[b]!, features, values);
        }
        if (batch.sequence[b + 1] === sequence) continue;
        builder.endSample();
        repetition?.endSample();
      }
    },
    tokensOf(groups) {
      const { tokens_S } = samples().data;
      let positive = 0;
      let negative = 0;
      for (let s = 0; s < groups.length; s++) {
        if (groups[s] === 0) positive += tokens_S[s]!;
        else negative += tokens_S[s]!;
      }
      return { positive, negative };
    },
    samples,
    describe(chosen, groups, settings) {
      const own = chosen.filter((one) => one.saeId === row.id);
      if (own.length === 0) return [];
      const { weighted } = samples();
      const { labels, count } = labelsFor(groups, settings);
      const random = createRandom(settings.seed).fork(row.id);
      const isPaired = settings.statistic === "repetition";
      const test =
        settings.shuffles > 0 && !isPaired
          ? permutationTest(weighted, labels, count, { shuffles: settings.shuffles, random: random.fork("labels") })
          : null;
      const numbers = own.map((one) => one.index);
      const intervals =
        settings.draws > 0
          ? bootstrapIntervals(weighted, labels, count, numbers, {
              draws: settings.draws,
              random: random.fork("draws"),
            })
          : null;
      return own.map((one, i) => ({
        feature: one.feature,
        layer: one.layer,
        value: one.value,
        positive_rate: one.positiveRate,
        negative_rate: one.negativeRate,
        positive_mean: one.positiveMean,
        negative_mean: one.negativeMean,
        interval: intervals ? { ...intervals[i]! } : null,
        p_value: test ? test.p_F[one.index]! : null,
        p_adjusted: test ? test.adjusted_F[one.index]! : null,
      }));
    },
  };
}

/** An AUC compares with the negatives as one set; the differences of means let several sets count alike. */
function labelsFor(groups: Uint8Array, { statistic, negative }: FeaturesContrastSettings) {
  if (statistic !== "auc") return { labels: groups, count: 1 + negative.length };
  return { labels: groups.map((group) => Math.min(group, 1)), count: 2 };
}

/** Every feature that fired in some sample. */
export function rankContrast(
  sae: ContrastedSae,
  groups: Uint8Array,
  settings: FeaturesContrastSettings,
): RankedFeature[] {
  const { data, weighted } = sae.samples();
  const { labels, count } = labelsFor(groups, settings);
  const value_F = contrastValues(weighted, labels, count);
  const sides = sideMeans(data, groups);
  const tokens = data.tokens_S.reduce((sum, one) => sum + one, 0);
  const { row } = sae;
  const ranked: RankedFeature[] = [];
  for (let index = 0; index < row.width; index++) {
    if (data.firedTokens_F[index] === 0) continue;
    ranked.push({
      saeId: row.id,
      feature: `${row.id}:${index}`,
      layer: row.layer,
      index,
      value: settings.statistic === "auc" ? Math.min(1, Math.max(0, value_F[index]!)) : value_F[index]!,
      distance: value_F[index]! - (weighted.ranked ? 0.5 : 0),
      positiveRate: sides.rate(0, index)!,
      negativeRate: sides.rate(1, index),
      positiveMean: sides.mean(0, index)!,
      negativeMean: sides.mean(1, index),
      isRegister: data.firedTokens_F[index]! > REGISTER_RATE * tokens && sides.firesEverywhere(index),
    });
  }
  return ranked;
}

/** Rates and means of the positive samples and of all others together. */
function sideMeans(data: SampleActivations, groups: Uint8Array) {
  const make = () => ({
    fired_F: new Float64Array(data.width),
    sum_F: new Float64Array(data.width),
    tokens: 0,
    samples: 0,
  });
  const sides = [make(), make()] as const;
  for (let s = 0; s < data.samples; s++) {
    const side = sides[groups[s] === 0 ? 0 : 1];
    side.samples += 1;
    side.tokens += data.tokens_S[s]!;
    for (let z = data.offsets_S1[s]!; z < data.offsets_S1[s + 1]!; z++) {
      side.fired_F[data.features_Z[z]!]! += 1;
      side.sum_F[data.features_Z[z]!]! += data.sums_Z[z]!;
    }
  }
  const rate = (side: 0 | 1, f: number) =>
    sides[side].samples > 0 ? sides[side].fired_F[f]! / sides[side].samples : null;
  return {
    rate,
    mean: (side: 0 | 1, f: number) => (sides[side].tokens > 0 ? sides[side].sum_F[f]! / sides[side].tokens : null),
    firesEverywhere: (f: number) => ([0, 1] as const).every((side) => (rate(side, f) ?? 1) > REGISTER_RATE),
  };
}
