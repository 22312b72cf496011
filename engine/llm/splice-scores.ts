// What replacing one layer's residual stream does to the model's predictions, for several replacements from one pass.

import { forwardTaps } from "./chunked-forward.ts";
import { headAlone, logSumExp, nextTokens, rowsPerRun, type SplicedLayer, withPadding } from "./cross-entropy.ts";
import { batchesOf, checkSequence, padded, withoutPadding } from "./harvest.ts";
import type { LanguageModel } from "./model.ts";

export interface SpliceScore {
  /** Mean −log q_t[token_{t+1}] over next tokens, q the model's prediction with the layer replaced. */
  readonly crossEntropyNats: number;
  /** Mean KL(p_t ‖ q_t) = Σ_v p_t[v]·(log p_t[v] − log q_t[v]), p the prediction with nothing replaced. */
  readonly divergenceNats: number;
}

export interface SpliceScores {
  /** The cross-entropy with nothing replaced. */
  readonly clean: number;
  readonly spliced: readonly SpliceScore[];
}

/** Sequences of one pass together, in tokens. */
const BATCH_TOKENS = 2048;

/**
 * Scores of the replacements, over all next tokens of the sequences; in nats per token, summed in float64. The blocks up to the layer run
 * once for all of them, those above once for each.
 *
 * @throws RangeError for a sequence that the model cannot take, or when no sequence has two tokens
 */
export async function spliceScores(
  model: LanguageModel,
  sequences: readonly Int32Array[],
  layer: number,
  splices: readonly SplicedLayer["splice"][],
  step: () => Promise<void> = async () => {},
): Promise<SpliceScores> {
  sequences.forEach((ids, index) => {
    checkSequence(model, ids, index);
  });
  const sums = { clean: 0, crossEntropy: splices.map(() => 0), divergence: splices.map(() => 0), count: 0 };
  const scored = sequences.filter((ids) => ids.length > 1);
  for (const group of batchesOf(scored, BATCH_TOKENS)) {
    const { ids, tokens } = padded(group);
    const { clean, spliced } = await finalResiduals(model, { group, ids, tokens, layer }, splices, step);
    const { rows, targets } = nextTokens(group, tokens);
    const perRun = rowsPerRun(model);
    for (let at = 0; at < rows.length; at += perRun) {
      await step();
      const picked = rows.slice(at, at + perRun);
      const wanted = targets.slice(at, at + perRun);
      const p = await headAlone(model, clean, picked);
      const size = model.config.vocabulary;
      const logZ = wanted.map((_, r) => logSumExp(p, r * size, size));
      for (const [r, target] of wanted.entries()) sums.clean += logZ[r]! - p[r * size + target]!;
      for (const [i, residual] of spliced.entries()) {
        const q = await headAlone(model, residual, picked);
        for (const [r, target] of wanted.entries()) {
          const logZq = logSumExp(q, r * size, size);
          sums.crossEntropy[i]! += logZq - q[r * size + target]!;
          sums.divergence[i]! += divergence(p, q, r * size, size, logZ[r]!, logZq);
        }
      }
    }
    sums.count += rows.length;
  }
  if (sums.count === 0) throw new RangeError("cross-entropy needs a sequence of at least two tokens");
  return {
    clean: sums.clean / sums.count,
    spliced: splices.map((_, i) => ({
      crossEntropyNats: sums.crossEntropy[i]! / sums.count,
      divergenceNats: sums.divergence[i]! / sums.count,
    })),
  };
}

interface Group {
  readonly group: readonly Int32Array[];
  readonly ids: Int32Array;
  readonly tokens: number;
  readonly layer: number;
}

/** resid_post of the last layer, [S·T, D], with nothing replaced and with each splice. */
async function finalResiduals(
  model: LanguageModel,
  { group, ids, tokens, layer }: Group,
  splices: readonly SplicedLayer["splice"][],
  step: () => Promise<void>,
): Promise<{ clean: Float32Array; spliced: Float32Array[] }> {
  const { dModel, layers } = model.config;
  const last = layers - 1;
  if (!Number.isInteger(layer) || layer < 0 || layer > last) {
    throw new RangeError(`layer ${layer} is not among the model's ${layers}`);
  }
  const shape = { sequences: group.length, tokens, ids };
  const taps = await forwardTaps(model, { ...shape, taps: layer === last ? [last] : [layer, last] });
  const own = withoutPadding(taps[0]!, group, tokens, dModel);
  const position = Int32Array.from(group.flatMap((one) => Array.from(one.keys())));
  const spliced: Float32Array[] = [];
  for (const splice of splices) {
    await step();
    const residual = withPadding(await splice(own, position), group, tokens, dModel);
    if (layer === last) spliced.push(residual);
    else spliced.push((await forwardTaps(model, { ...shape, residual, firstLayer: layer + 1, taps: [last] }))[0]!);
  }
  return { clean: taps.at(-1)!, spliced };
}

/** KL(p ‖ q) of two rows of logits whose log Σ exp are known. */
function divergence(
  p: Float32Array,
  q: Float32Array,
  start: number,
  size: number,
  logZp: number,
  logZq: number,
): number {
  let sum = 0;
  for (let i = start; i < start + size; i++) {
    const logP = p[i]! - logZp;
    sum += Math.exp(logP) * (logP - (q[i]! - logZq));
  }
  return sum;
}
