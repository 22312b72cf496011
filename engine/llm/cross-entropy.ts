// How well the model predicts given texts, as it is or with one layer's residual stream replaced.

import { forwardTaps } from "./chunked-forward.ts";
import { batchesOf, checkSequence, padded, withoutPadding } from "./harvest.ts";
import type { LanguageModel } from "./model.ts";

export interface SplicedLayer {
  readonly layer: number;
  /** The rows that take the place of resid_post.layer: [rows, D] in, with each row's position in its sequence; [rows, D] out. */
  readonly splice: (rows: Float32Array, position: Int32Array) => Promise<Float32Array>;
}

/** Logits that are in memory at once: with a vocabulary of 151,936 this is 110 rows. */
const logitBytes = 64 * 2 ** 20;

/**
 * Mean −log softmax(logits_t)[token_{t+1}] in nats over all next tokens of the sequences. With `replaced`, layer n's residual
 * stream is handed out after block n and the forward resumes at block n + 1 from what comes back.
 *
 * @throws RangeError for a sequence that the model cannot take, or when no sequence has two tokens
 */
export async function crossEntropyNats(
  model: LanguageModel,
  sequences: readonly Int32Array[],
  replaced: SplicedLayer | null = null,
): Promise<number> {
  let total = 0;
  let count = 0;
  sequences.forEach((ids, index) => {
    checkSequence(model, ids, index);
  });
  const scored = sequences.filter((ids) => ids.length > 1);
  for (const group of batchesOf(scored, 2048)) {
    const { ids, tokens } = padded(group);
    const residual = await finalResidual(model, group, ids, tokens, replaced);
    const { rows, targets } = nextTokens(group, tokens);
    const perRun = rowsPerRun(model);
    for (let at = 0; at < rows.length; at += perRun) {
      const picked = rows.slice(at, at + perRun);
      const logits = await headAlone(model, residual, picked);
      picked.forEach((_, r) => {
        total -= logProbability(logits, r * model.config.vocabulary, model.config.vocabulary, targets[at + r]!);
      });
    }
    count += rows.length;
  }
  if (count === 0) throw new RangeError("cross-entropy needs a sequence of at least two tokens");
  return total / count;
}

export function rowsPerRun(model: LanguageModel): number {
  return Math.max(1, Math.floor(logitBytes / (4 * model.config.vocabulary)));
}

/** Of padded sequences [S, tokens]: the rows whose next token is known, and that token. */
export function nextTokens(group: readonly Int32Array[], tokens: number): { rows: number[]; targets: number[] } {
  const rows: number[] = [];
  const targets: number[] = [];
  group.forEach((own, s) => {
    for (let t = 0; t + 1 < own.length; t++) {
      rows.push(s * tokens + t);
      targets.push(own[t + 1]!);
    }
  });
  return { rows, targets };
}

/** The logits of some rows, [R, V], by starting behind the last block. As sequences of one token: masks grow with T². */
export async function headAlone(
  { config, forward }: LanguageModel,
  residual: Float32Array,
  rows: readonly number[],
): Promise<Float32Array> {
  const { dModel, layers } = config;
  const picked = new Float32Array(rows.length * dModel);
  rows.forEach((row, r) => {
    picked.set(residual.subarray(row * dModel, (row + 1) * dModel), r * dModel);
  });
  const { logits } = await forward({
    sequences: rows.length,
    tokens: 1,
    ids: new Int32Array(rows.length),
    residual: picked,
    firstLayer: layers,
    logitRows: [...rows.keys()],
  });
  return logits;
}

/** resid_post of the last layer, [S·T, D]. */
async function finalResidual(
  model: LanguageModel,
  group: readonly Int32Array[],
  ids: Int32Array,
  tokens: number,
  replaced: SplicedLayer | null,
): Promise<Float32Array> {
  const shape = { sequences: group.length, tokens, ids };
  const last = model.config.layers - 1;
  const only = async (taps: Promise<Float32Array[]>) => (await taps)[0]!;
  if (!replaced) return only(forwardTaps(model, { ...shape, taps: [last] }));
  const { layer, splice } = replaced;
  if (!Number.isInteger(layer) || layer < 0 || layer > last)
    throw new RangeError(`layer ${layer} is not among the model's ${last + 1}`);
  const { dModel } = model.config;
  const tap = await only(forwardTaps(model, { ...shape, taps: [layer], lastLayer: layer }));
  const position = Int32Array.from(group.flatMap((own) => Array.from(own.keys())));
  const rows = await splice(withoutPadding(tap, group, tokens, dModel), position);
  const residual = withPadding(rows, group, tokens, dModel);
  if (layer === last) return residual;
  return only(forwardTaps(model, { ...shape, residual, firstLayer: layer + 1, taps: [last] }));
}

/** The inverse of withoutPadding; padding rows are zero. */
export function withPadding(
  rows: Float32Array,
  group: readonly Int32Array[],
  tokens: number,
  dModel: number,
): Float32Array {
  const expected = group.reduce((sum, ids) => sum + ids.length, 0) * dModel;
  if (rows.length !== expected) throw new RangeError(`the splice gave ${rows.length} numbers, expected ${expected}`);
  const out = new Float32Array(group.length * tokens * dModel);
  let at = 0;
  group.forEach((ids, s) => {
    out.set(rows.subarray(at, at + ids.length * dModel), s * tokens * dModel);
    at += ids.length * dModel;
  });
  return out;
}

/** log softmax(logits[start … start + size − 1])[index], in double precision. */
export function logProbability(logits: Float32Array, start: number, size: number, index: number): number {
  return logits[start + index]! - logSumExp(logits, start, size);
}

/** log Σ exp(x), in double precision, with the largest taken out first. */
export function logSumExp(logits: Float32Array, start: number, size: number): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + size; i++) if (logits[i]! > highest) highest = logits[i]!;
  let sum = 0;
  for (let i = start; i < start + size; i++) sum += Math.exp(logits[i]! - highest);
  return highest + Math.log(sum);
}
