// Residual streams of texts of any length in bounded memory.

import { KeyValueCache } from "./cache.ts";
import type { ForwardInput, PackedEdits } from "./forward.ts";
import type { LanguageModel } from "./model.ts";

/**
 * Tokens of a sequence that one forward takes. Attention holds scores for every pair of a new token and a token before it: run
 * whole, 8192 tokens of a model with 16 heads need 10 GB for them, in chunks 0.7 GB. The grid is fixed, so that a row's bits depend
 * on its own sequence alone, and a sequence within the first chunk has those of a forward over all of it.
 */
export const chunkTokens = 512;

export interface TapsInput
  extends Omit<ForwardInput, "pastLengths" | "past" | "logitRows" | "cache" | "edits" | "taps"> {
  readonly taps: readonly number[];
  /** The edits for the tokens `start … start + tokens − 1` of every sequence. */
  readonly editsFor?: (start: number, tokens: number) => PackedEdits | undefined;
  /** Looked at before every chunk. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The residual stream after each of `taps`, [S·T, D]. More than 512 tokens run as chunks that read the earlier ones from a
 * key/value cache; float32 sums then go in another order (within 1e-5 relative, tested).
 */
export async function forwardTaps(model: LanguageModel, input: TapsInput): Promise<Float32Array[]> {
  const { sequences: S, tokens: T, ids, taps, editsFor, residual, signal, ...blocks } = input;
  const { config } = model;
  const cache = T > chunkTokens ? new KeyValueCache(config, S, chunkTokens, blocks) : null;
  const whole = taps.map(() => new Float32Array(cache ? S * T * config.dModel : 0));
  for (let start = 0; start < T; start += chunkTokens) {
    signal?.throwIfAborted();
    const real = Math.min(chunkTokens, T - start);
    // A product of one row takes another path through the kernels: a last chunk of one token gets a second, which is dropped.
    const tokens = Math.max(2, real);
    const edits = editsFor?.(start, tokens);
    const result = await model.forward({
      ...blocks,
      sequences: S,
      tokens,
      ids: cut(ids, S, T, start, tokens, 1, new Int32Array(S * tokens)),
      taps,
      ...(residual
        ? { residual: cut(residual, S, T, start, tokens, config.dModel, new Float32Array(S * tokens * config.dModel)) }
        : {}),
      ...(edits ? { edits } : {}),
      ...(cache && start > 0 ? { pastLengths: cache.lengths, past: cache.view } : {}),
      cache: start + real < T,
    });
    if (!cache) return [...result.taps];
    result.taps.forEach((tap, i) => {
      for (let s = 0; s < S; s++) {
        const rows = tap.subarray(s * tokens * config.dModel, (s * tokens + real) * config.dModel);
        whole[i]!.set(rows, (s * T + start) * config.dModel);
      }
    });
    if (start + real < T) for (let s = 0; s < S; s++) cache.append(s, result, s, tokens, tokens);
  }
  return whole;
}

/** Positions `start … start + tokens − 1` of every sequence out of [S, T, width], in `out`; zeros beyond T. */
function cut<Numbers extends Int32Array | Float32Array>(
  all: Numbers,
  S: number,
  T: number,
  start: number,
  tokens: number,
  width: number,
  out: Numbers,
): Numbers {
  const end = Math.min(T, start + tokens);
  for (let s = 0; s < S; s++) out.set(all.subarray((s * T + start) * width, (s * T + end) * width), s * tokens * width);
  return out;
}
