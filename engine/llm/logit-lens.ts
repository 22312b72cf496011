// What a direction of the residual stream says about the next token.

import type { LanguageModel } from "./model.ts";

export interface LensTokens {
  /** [F, K] token ids, and their logits. */
  readonly id_FK: Int32Array;
  readonly logit_FK: Float32Array;
}

export interface LogitLens {
  /** Largest logits first. */
  readonly promoted: LensTokens;
  /** Smallest logits first. */
  readonly suppressed: LensTokens;
  readonly count: number;
}

interface LensOptions {
  readonly count: number;
  /** Called between blocks of directions, with how many are done. */
  readonly step?: (directions: number) => Promise<void>;
}

/** Logits of one block: bounds the memory. */
const BLOCK_LOGITS = 2 ** 24;

/**
 * logits(d) = W_U · norm(d), with the model's final RMS norm and its gain: the length of d does not matter. Of each direction the
 * `count` tokens with the largest and with the smallest logits; of equals the lower id first. Ids that the tokenizer does not know
 * (a vocabulary is often padded) are left out. A direction of length 0 has logits 0 everywhere and gets no tokens (id −1).
 *
 * Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; directions instead of residual streams as in Bricken et al. 2023.
 */
export async function logitLens(
  model: LanguageModel,
  directions_FD: Float32Array,
  { count, step }: LensOptions,
): Promise<LogitLens> {
  const { dModel, layers, vocabulary } = model.config;
  const width = directions_FD.length / dModel;
  if (!Number.isInteger(width))
    throw new RangeError(`directions must be rows of ${dModel}, got ${directions_FD.length}`);
  const known = Math.min(vocabulary, model.tokenizer.size);
  const kept = Math.min(count, known);
  const make = () => ({ id_FK: new Int32Array(width * kept).fill(-1), logit_FK: new Float32Array(width * kept) });
  const [promoted, suppressed] = [make(), make()];
  const blockRows = Math.max(2, Math.min(256, Math.floor(BLOCK_LOGITS / vocabulary)));
  for (let first = 0; first < width; first += blockRows) {
    const rows = Math.min(blockRows, width - first);
    // Two at least: a product of one row takes another path through the kernels.
    const tokens = Math.max(2, rows);
    const residual = new Float32Array(tokens * dModel);
    residual.set(directions_FD.subarray(first * dModel, (first + rows) * dModel));
    const { logits } = await model.forward({
      ...{ sequences: 1, tokens, ids: new Int32Array(tokens), residual },
      // Beyond the last block: none runs, and the head reads the directions.
      firstLayer: layers,
      logitRows: Array.from({ length: rows }, (_, row) => row),
    });
    for (let row = 0; row < rows; row++) {
      const own = residual.subarray(row * dModel, (row + 1) * dModel);
      if (own.every((value) => value === 0)) continue;
      const logits_V = logits.subarray(row * vocabulary, row * vocabulary + known);
      const at = (first + row) * kept;
      selectLargest(logits_V, 1, kept, promoted, at);
      selectLargest(logits_V, -1, kept, suppressed, at);
    }
    await step?.(first + rows);
  }
  return { promoted, suppressed, count: kept };
}

/** The largest of sign · logits, by insertion: nearly every logit is below the least of those kept and costs one comparison. */
function selectLargest(
  logits_V: Float32Array,
  sign: 1 | -1,
  count: number,
  { id_FK, logit_FK }: LensTokens,
  at: number,
): void {
  let filled = 0;
  let least = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits_V.length; id++) {
    const key = sign * logits_V[id]!;
    if (filled === count && key <= least) continue;
    let slot = filled < count ? filled++ : count - 1;
    while (slot > 0 && sign * logit_FK[at + slot - 1]! < key) {
      logit_FK[at + slot] = logit_FK[at + slot - 1]!;
      id_FK[at + slot] = id_FK[at + slot - 1]!;
      slot--;
    }
    logit_FK[at + slot] = logits_V[id]!;
    id_FK[at + slot] = id;
    least = sign * logit_FK[at + count - 1]!;
  }
}
