// How a model reads texts that something else wrote: the surprise of every token after the prompt, and residuals on the way.

import { headAlone, logProbability, rowsPerRun } from "./cross-entropy.ts";
import { harvest } from "./harvest.ts";
import type { LanguageModel } from "./model.ts";

export interface ReadText {
  readonly ids: Int32Array;
  /** Tokens before it are the prompt, at least one. */
  readonly from: number;
}

export interface TextReading {
  /** Σ −log softmax(logits_{t−1})[token_t] over the tokens from `from` on, in nats. */
  readonly nats: number;
  /** For each of `taps`, the residuals of those same tokens, [length − from, D]. */
  readonly taps: readonly Float32Array[];
}

/**
 * One reading per text, in order. A text's numbers do not depend on its company, to the last bit.
 *
 * @throws RangeError for a text that the model cannot take, or without a prompt
 */
export async function* readTexts(
  model: LanguageModel,
  texts: readonly ReadText[],
  taps: readonly number[] = [],
  signal?: AbortSignal,
): AsyncGenerator<TextReading> {
  texts.forEach(({ from }, index) => {
    if (from < 1) throw new RangeError(`text ${index} has no prompt`);
  });
  const { dModel, layers } = model.config;
  const last = layers - 1;
  const wanted = [...new Set([...taps, last])].sort((a, b) => a - b);
  const sequences = texts.map(({ ids }) => ids);
  for await (const batch of harvest(model, sequences, { layers: wanted, ...(signal ? { signal } : {}) })) {
    const residual = batch.activations[wanted.indexOf(last)]!;
    for (let start = 0; start < batch.rows; ) {
      const { ids, from } = texts[batch.sequence[start]!]!;
      const end = start + ids.length;
      yield {
        nats: await surprise(model, residual, ids, from, start),
        taps: taps.map((layer) =>
          batch.activations[wanted.indexOf(layer)]!.subarray((start + from) * dModel, end * dModel),
        ),
      };
      start = end;
    }
  }
}

async function surprise(
  model: LanguageModel,
  residual: Float32Array,
  ids: Int32Array,
  from: number,
  start: number,
): Promise<number> {
  const { vocabulary } = model.config;
  const perRun = rowsPerRun(model);
  let nats = 0;
  for (let first = from; first < ids.length; first += perRun) {
    const targets = ids.subarray(first, first + perRun);
    // A product of one row takes another path through the kernels: a second is read along.
    const rows = Array.from(
      { length: Math.max(2, targets.length) },
      (_, r) => start + first - 1 + Math.min(r, targets.length - 1),
    );
    const logits = await headAlone(model, residual, rows);
    targets.forEach((id, r) => {
      nats -= logProbability(logits, r * vocabulary, vocabulary, id);
    });
  }
  return nats;
}
