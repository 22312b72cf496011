// Which rows an sae learns from. A few tokens (mostly the first of a sequence) carry norms 100 to 1000 times the usual:
// left in, they own the loss. Qwen-Scope filters them after Marks et al. 2024, whose rule is 10 times the median norm.

import { expectFinite } from "./architecture.ts";

export interface TokenFilterOptions {
  /** Rows with a norm above this multiple of the running median are left out; Infinity keeps them. Marks et al. 2024: 10. */
  readonly normFactor: number;
  /** Leave out position 0 of every sequence. */
  readonly skipFirstPosition: boolean;
}

export interface TokenFilterState {
  /** How often each norm was seen, by bin. */
  readonly histogram: Float64Array;
  readonly kept: number;
  readonly droppedByNorm: number;
  readonly droppedByPosition: number;
}

export interface TokenFilter {
  /** Indices of the rows to learn from. Counts the norms of the batch first, so that the first batch is judged by itself. */
  select(acts_BD: Float32Array, position_B: Int32Array): Int32Array;
  /** Median norm of every row seen so far (without position 0 where that is skipped), within 1.1 %; NaN before the first. */
  medianNorm(): number;
  /** How many rows were selected so far. */
  kept(): number;
  state(): TokenFilterState;
}

// Norms are counted on a logarithmic scale: 32 bins per octave, from 2⁻⁶⁴ to 2⁶⁴. A median of counts needs no rows kept,
// does not depend on their order, and is restored exactly.
const binsPerOctave = 32;
const lowestOctave = -64;
export const histogramBins = 128 * binsPerOctave;

export function createTokenFilter(dModel: number, options: TokenFilterOptions, state?: TokenFilterState): TokenFilter {
  const histogram = state ? state.histogram.slice() : new Float64Array(histogramBins);
  let kept = state?.kept ?? 0;
  let droppedByNorm = state?.droppedByNorm ?? 0;
  let droppedByPosition = state?.droppedByPosition ?? 0;

  const medianNorm = () => medianOf(histogram);

  return {
    medianNorm,
    select(acts_BD, position_B) {
      const rows = position_B.length;
      if (acts_BD.length !== rows * dModel) {
        throw new RangeError(`activations must be [${rows}, ${dModel}], got ${acts_BD.length} numbers`);
      }
      expectFinite("activations", acts_BD, dModel);
      const norms_B = rowNorms(acts_BD, dModel);
      const isFirst = (b: number) => options.skipFirstPosition && position_B[b] === 0;
      for (let b = 0; b < rows; b++) if (!isFirst(b)) histogram[binOf(norms_B[b]!)]! += 1;

      const limit = options.normFactor * medianNorm();
      const selected: number[] = [];
      for (let b = 0; b < rows; b++) {
        if (isFirst(b)) droppedByPosition++;
        else if (norms_B[b]! > limit) droppedByNorm++;
        else selected.push(b);
      }
      kept += selected.length;
      return Int32Array.from(selected);
    },
    kept: () => kept,
    state: () => ({ histogram: histogram.slice(), kept, droppedByNorm, droppedByPosition }),
  };
}

/** ‖x_b‖₂ of each row, in float64. */
export function rowNorms(acts_BD: Float32Array, dModel: number): Float64Array {
  const norms_B = new Float64Array(acts_BD.length / dModel);
  for (let b = 0; b < norms_B.length; b++) {
    let sum = 0;
    for (let i = b * dModel; i < (b + 1) * dModel; i++) sum += acts_BD[i]! * acts_BD[i]!;
    norms_B[b] = Math.sqrt(sum);
  }
  return norms_B;
}

function binOf(norm: number): number {
  if (norm === 0) return 0;
  const bin = Math.floor((Math.log2(norm) - lowestOctave) * binsPerOctave);
  return Math.min(Math.max(bin, 0), histogramBins - 1);
}

function medianOf(histogram: Float64Array): number {
  let total = 0;
  for (let i = 0; i < histogram.length; i++) total += histogram[i]!;
  if (total === 0) return Number.NaN;
  let below = 0;
  let bin = 0;
  while (below + histogram[bin]! < total / 2) below += histogram[bin++]!;
  return 2 ** ((bin + 0.5) / binsPerOctave + lowestOctave);
}
