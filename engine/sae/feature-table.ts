// Each feature of an sae by its numbers, and how the features are spread over firing rates.

import type { SparseAutoencoder } from "./architecture.ts";

export interface FeatureGeometry {
  /** ‖W_dec[f]‖ */
  readonly decoderNorm_F: Float64Array;
  /** cos(W_enc[f], W_dec[f]); 0 where one of them is zero. Near 1 the feature reads what it writes. */
  readonly encoderDecoderCosine_F: Float64Array;
}

/** Norms and cosines of the features' vectors, in float64. */
export function featureGeometry({ dModel, width, W_enc_FD, W_dec_FD }: SparseAutoencoder): FeatureGeometry {
  const decoderNorm_F = new Float64Array(width);
  const encoderDecoderCosine_F = new Float64Array(width);
  for (let f = 0; f < width; f++) {
    let [encoder, decoder, product] = [0, 0, 0];
    for (let i = f * dModel; i < (f + 1) * dModel; i++) {
      const [e, d] = [W_enc_FD[i]!, W_dec_FD[i]!];
      encoder += e * e;
      decoder += d * d;
      product += e * d;
    }
    decoderNorm_F[f] = Math.sqrt(decoder);
    const lengths = Math.sqrt(encoder * decoder);
    encoderDecoderCosine_F[f] = lengths === 0 ? 0 : product / lengths;
  }
  return { decoderNorm_F, encoderDecoderCosine_F };
}

export interface RateHistogram {
  /** Features that were active in no row. */
  readonly never: number;
  /** Lower edges of the bins as powers of ten: bin i holds rates in [10^edge_i, 10^(edge_i + 1/4)); the last one rate 1 as well. */
  readonly edges: readonly number[];
  readonly counts: readonly number[];
}

const BINS_PER_DECADE = 4;

/** Features by firing rate in quarters of a decade, from the lowest rate that `rows` rows can show (1/rows) to 1. */
export function rateHistogram(firingRate_F: Float64Array, rows: number): RateHistogram {
  const lowest = Math.floor(-Math.log10(rows) * BINS_PER_DECADE);
  const counts = Array.from({ length: Math.max(1, -lowest) }, () => 0);
  let never = 0;
  for (const rate of firingRate_F) {
    if (rate === 0) never++;
    // A rate of exactly a power of ten may come out a hair below it.
    else counts[Math.min(counts.length - 1, Math.floor(Math.log10(rate) * BINS_PER_DECADE + 1e-9) - lowest)]! += 1;
  }
  return { never, edges: counts.map((_, i) => (lowest + i) / BINS_PER_DECADE), counts };
}
