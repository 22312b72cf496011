// All figures of a suite of benchmarks that follow from the features their samples activate.

import type { Random } from "../runtime/random.ts";
import { type Clustering, clusterBenchmarks } from "./clustering.ts";
import { type Coreset, countSpareSamples, greedyCoreset } from "./coreset.ts";
import { type CoverageCurve, coverageAuc, coverageCurve, featureRedundancy } from "./coverage.ts";
import { type FeatureSets, featureCounts } from "./feature-sets.ts";
import { type HalfSamples, halfSamples, type Interval, positiveInterval, shareInterval } from "./half-samples.ts";
import { countTogether, type OverlapMatrices, overlapMatrices, sharedFeatures } from "./overlap.ts";
import { type RandomBaseline, randomBaseline } from "./random-baseline.ts";

/** What is kept of a benchmark once its samples have been looked at: its sets may go. */
export interface ReducedBenchmark {
  readonly name: string;
  readonly samples: number;
  /** m_j */
  readonly counts_F: Uint32Array;
  readonly halves: HalfSamples | null;
  readonly coreset: Coreset;
  readonly spareSamples: number;
}

export interface Figures {
  /** |F(D)| */
  readonly features: number;
  /** R̂(D), Eq. 9; unbounded; null without features. */
  readonly redundancy: number | null;
  /** AUC(c), Eq. 8. */
  readonly coverageAuc: number | null;
}

export interface AnalyzedBenchmark extends Figures {
  readonly name: string;
  readonly samples: number;
  readonly featuresInterval: Interval | null;
  readonly redundancyInterval: Interval | null;
  readonly coverageAucInterval: Interval | null;
  /** Share of its features that no other benchmark activates; null without features. */
  readonly uniqueness: number | null;
  /** Without the features that are common in neutral text. */
  readonly specific: Figures;
  readonly curve: CoverageCurve;
  readonly coreset: Coreset;
  readonly spareSamples: number;
}

export interface IntervalMatrices {
  readonly low_DD: Float64Array;
  readonly high_DD: Float64Array;
}

export interface SuiteAnalysis {
  readonly benchmarks: readonly AnalyzedBenchmark[];
  /** Of all benchmarks together. */
  readonly features: number;
  readonly matrices: OverlapMatrices;
  readonly overlapInterval: IntervalMatrices;
  readonly overlapMinInterval: IntervalMatrices;
  readonly specific: OverlapMatrices;
  readonly clustering: Clustering;
  readonly random: RandomBaseline;
}

export function reduceBenchmark(
  name: string,
  sets: FeatureSets,
  options: { readonly random: Random; readonly keptDraws: number },
): ReducedBenchmark {
  const counts_F = featureCounts(sets);
  return {
    name,
    samples: sets.samples,
    counts_F,
    halves: halfSamples(sets, counts_F, options),
    coreset: greedyCoreset([sets]),
    spareSamples: countSpareSamples(sets, counts_F),
  };
}

/**
 * Redundancy of each benchmark and the overlaps between them (Qwen-Scope, section 4), with intervals and baselines.
 *
 * @param common_F 1 for features that the second set of figures leaves out
 * @throws RangeError without a benchmark, for different widths, or for a count above the number of samples
 */
export function analyzeSuite(reduced: readonly ReducedBenchmark[], common_F: Uint8Array): SuiteAnalysis {
  const counts = reduced.map(({ counts_F }) => counts_F);
  const specificCounts = counts.map((counts_F) => counts_F.map((count, f) => (common_F[f] ? 0 : count)));
  const matrices = overlapMatrices(counts);
  const specific = overlapMatrices(specificCounts);
  const benchmarks = reduced.map(({ name, samples, counts_F, halves, coreset, spareSamples }, i) => {
    const figures = figuresOf(counts_F, samples, matrices.features_D[i]!);
    const uniqueness = matrices.uniqueness_D[i]!;
    return {
      name,
      samples,
      ...figures,
      featuresInterval: positiveInterval(figures.features || null, halves?.features),
      redundancyInterval: positiveInterval(figures.redundancy, halves?.redundancy),
      coverageAucInterval: positiveInterval(figures.coverageAuc, halves?.coverageAuc),
      uniqueness: Number.isNaN(uniqueness) ? null : uniqueness,
      specific: figuresOf(specificCounts[i]!, samples, specific.features_D[i]!),
      curve: coverageCurve(counts_F, samples),
      coreset,
      spareSamples,
    };
  });
  return {
    benchmarks,
    features: countTogether(counts),
    matrices,
    ...overlapIntervals(reduced, matrices),
    specific,
    clustering: clusterBenchmarks(matrices.overlapMin_DD, matrices.size),
    random: randomBaseline(
      counts,
      reduced.map(({ samples }) => samples),
    ),
  };
}

function figuresOf(counts_F: Uint32Array, samples: number, features: number): Figures {
  return {
    features,
    redundancy: featureRedundancy(counts_F, samples),
    coverageAuc: coverageAuc(counts_F, samples),
  };
}

/** Of overlaps between random halves of both benchmarks; NaN where one has too few samples. */
function overlapIntervals(reduced: readonly ReducedBenchmark[], { size, overlap_DD, overlapMin_DD }: OverlapMatrices) {
  const matrix = () => ({
    low_DD: new Float64Array(size * size).fill(Number.NaN),
    high_DD: new Float64Array(size * size).fill(Number.NaN),
  });
  const out = { overlapInterval: matrix(), overlapMinInterval: matrix() };
  const put = ({ low_DD, high_DD }: IntervalMatrices, at: number, interval: Interval | null) => {
    low_DD[at] = interval?.low ?? Number.NaN;
    high_DD[at] = interval?.high ?? Number.NaN;
  };
  for (let i = 0; i < size; i++) {
    for (let j = i + 1; j < size; j++) {
      const [a, b] = [reduced[i]!.halves, reduced[j]!.halves];
      if (a === null || b === null) continue;
      const shared = Float64Array.from(a.active, (bits, draw) => sharedFeatures(bits, b.active[draw]!));
      const over = (size_R: (draw: number) => number) => shared.map((count, draw) => count / size_R(draw));
      const [forward, back] = [over((draw) => a.features[draw]!), over((draw) => b.features[draw]!)];
      const least = over((draw) => Math.min(a.features[draw]!, b.features[draw]!));
      put(out.overlapInterval, i * size + j, shareInterval(overlap_DD[i * size + j]!, forward));
      put(out.overlapInterval, j * size + i, shareInterval(overlap_DD[j * size + i]!, back));
      const interval = shareInterval(overlapMin_DD[i * size + j]!, least);
      put(out.overlapMinInterval, i * size + j, interval);
      put(out.overlapMinInterval, j * size + i, interval);
    }
  }
  return out;
}
