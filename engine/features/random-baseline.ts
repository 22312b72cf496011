// What overlap would be if features knew nothing of the benchmarks.

import { expectedFeatures } from "./coverage.ts";

export interface RandomBaseline {
  /** E|F(D_i)| */
  readonly features_D: Float64Array;
  /** E|F_i ∩ F_j| / E|F_i|, row-major; NaN where nothing is expected. */
  readonly overlap_DD: Float64Array;
  /** E|F_i ∩ F_j| / min(E|F_i|, E|F_j|) */
  readonly overlapMin_DD: Float64Array;
}

/**
 * Overlap expected of features that fire as often as the real ones, but on any sample: all samples of the suite shuffled between
 * the benchmarks, their sizes N_i kept. With M_f the samples that activate f in all, every benchmark is a random subset, so
 *
 *     E|F_i| = c(N_i),   E|F_i ∩ F_j| = c(N_i) + c(N_j) − c(N_i + N_j),   c(n) = Σ_f [1 − C(N − M_f, n) / C(N, n)]
 *
 * in closed form, without shuffling anything. An overlap near this one says that two benchmarks draw on the same features as often as
 * chance and their sizes would have it; one far below, that they are about different things.
 */
export function randomBaseline(counts: readonly Uint32Array[], samples: readonly number[]): RandomBaseline {
  const size = counts.length;
  const total = samples.reduce((sum, own) => sum + own, 0);
  const pooled_F = new Uint32Array(counts[0]?.length ?? 0);
  for (const counts_F of counts) for (let f = 0; f < pooled_F.length; f++) pooled_F[f]! += counts_F[f]!;
  const sizes = new Set<number>();
  for (let i = 0; i < size; i++) {
    sizes.add(samples[i]!);
    for (let j = 0; j < i; j++) sizes.add(samples[i]! + samples[j]!);
  }
  const drawn = [...sizes];
  const expected = expectedFeatures(pooled_F, total, drawn);
  const covered = new Map(drawn.map((n, i) => [n, expected[i]!]));

  const features_D = Float64Array.from(samples, (n) => covered.get(n)!);
  const overlap_DD = new Float64Array(size * size);
  const overlapMin_DD = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const [own, other] = [features_D[i]!, features_D[j]!];
      const shared = i === j ? own : own + other - covered.get(samples[i]! + samples[j]!)!;
      overlap_DD[i * size + j] = shared / own;
      overlapMin_DD[i * size + j] = shared / Math.min(own, other);
    }
  }
  return { features_D, overlap_DD, overlapMin_DD };
}
