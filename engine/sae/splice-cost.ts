// What an sae costs the language model when its reconstruction takes the place of the layer it reads.

import { type EvaluationOptions, isLeftOut } from "./metrics.ts";
import type { OpenedSae } from "./open-sae.ts";
import { rowNorms } from "./token-filter.ts";

/** Replaces the rows [B, D] of one layer's residual stream, given their positions [B]. */
export type Splice = (acts_BD: Float32Array, position_B: Int32Array) => Promise<Float32Array>;

interface Score {
  readonly crossEntropyNats: number;
  readonly divergenceNats: number;
}

/**
 * The language model's side, which this folder does not import: runs it over held-out text with the layer as it is and
 * replaced by each splice, and gives means over the same next tokens.
 */
export type ScoreSplices = (
  splices: readonly Splice[],
) => Promise<{ readonly clean: number; readonly spliced: readonly Score[] }>;

/** Mean next-token cross-entropies, and divergences from the model as it is, in nats per token with rows of the layer replaced. */
export interface SpliceCost {
  /** By x̂, and by 0. */
  readonly spliced: number;
  readonly zeroed: number;
  /** (zeroed − spliced) / (zeroed − clean): 1 when the reconstruction costs nothing, 0 when it is as bad as zeros. */
  readonly recovered: number;
  /** KL(model ‖ model with the splice): 0 when no prediction changes. */
  readonly splicedDivergence: number;
  readonly zeroedDivergence: number;
}

export interface SpliceCosts {
  /** Cross-entropy of the model, nothing replaced. */
  readonly clean: number;
  /** Every row replaced. */
  readonly all: SpliceCost;
  /** Position 0 and outliers kept as they are, in the zeroed run too: the cost where the sae was trained. */
  readonly withoutOutliers: SpliceCost;
}

/**
 * What the reconstruction costs the language model. Attention sinks make the two costs differ: later tokens look at the
 * huge rows that training left out, and a model that loses those is broken however good the sae is on all others.
 */
export async function measureSpliceCosts(
  opened: OpenedSae,
  score: ScoreSplices,
  options: EvaluationOptions,
): Promise<SpliceCosts> {
  const { dModel } = opened.sae;
  const reconstruct: Splice = (acts_BD) => opened.reconstruct(acts_BD);
  const zero: Splice = async (acts_BD) => new Float32Array(acts_BD.length);
  const keepingOutliers =
    (splice: Splice): Splice =>
    async (acts_BD, position_B) => {
      const out_BD = (await splice(acts_BD, position_B)).slice();
      const norms_B = rowNorms(acts_BD, dModel);
      for (let b = 0; b < position_B.length; b++) {
        if (!isLeftOut(position_B[b]!, norms_B[b]!, options)) continue;
        out_BD.set(acts_BD.subarray(b * dModel, (b + 1) * dModel), b * dModel);
      }
      return out_BD;
    };
  const splices = [reconstruct, zero, keepingOutliers(reconstruct), keepingOutliers(zero)];
  const { clean, spliced } = await score(splices);
  const cost = (by: Score, without: Score): SpliceCost => ({
    spliced: by.crossEntropyNats,
    zeroed: without.crossEntropyNats,
    recovered: (without.crossEntropyNats - by.crossEntropyNats) / (without.crossEntropyNats - clean),
    splicedDivergence: by.divergenceNats,
    zeroedDivergence: without.divergenceNats,
  });
  return { clean, all: cost(spliced[0]!, spliced[1]!), withoutOutliers: cost(spliced[2]!, spliced[3]!) };
}
