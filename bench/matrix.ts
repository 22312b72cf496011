/**
 * Redundancy figures, coverage curves and overlap matrices of 50 benchmarks of 10,000 samples, each activating 100 of 32,768
 * features: the part of benchmark.analyze that is not the model's forward pass.
 */
import { cpus } from "node:os";
import { analyzeBenchmarks, type CountedBenchmark, reportFiles } from "../engine/features/benchmark-report.ts";
import { createFeatureCounter } from "../engine/features/feature-sets.ts";
import { createRandom } from "../engine/runtime/random.ts";

const SETTINGS = { benchmarks: 50, samples: 10_000, k: 100, width: 32_768, runs: 3 } as const;

export interface MatrixBench {
  readonly name: "matrix";
  readonly machine: { readonly cpu: string; readonly node: string };
  readonly settings: typeof SETTINGS;
  readonly ours: {
    /** Counting, figures, curves and matrices. */
    readonly seconds: Spread;
    /** The same with JSON, CSV and SVG written to strings. */
    readonly seconds_with_report: Spread;
    /** Of the whole process at its highest, the random input included. */
    readonly peak_resident_bytes: number;
  };
  readonly peer: null;
  readonly floor: null;
  readonly ratios: Readonly<Record<string, never>>;
}

interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function benchMatrix(): MatrixBench {
  const analysis: number[] = [];
  const withReport: number[] = [];
  for (let run = 0; run < SETTINGS.runs; run++) {
    const { seconds, secondsWithReport } = oneRun(run);
    analysis.push(seconds);
    withReport.push(secondsWithReport);
  }
  return {
    name: "matrix",
    machine: { cpu: cpus()[0]?.model ?? "unknown", node: process.version },
    settings: SETTINGS,
    ours: {
      seconds: spread(analysis),
      seconds_with_report: spread(withReport),
      peak_resident_bytes: process.resourceUsage().maxRSS * 1024,
    },
    peer: null,
    floor: null,
    ratios: {},
  };
}

function oneRun(seed: number): { seconds: number; secondsWithReport: number } {
  const random = createRandom(seed);
  const { benchmarks, samples, k, width } = SETTINGS;
  const counted: CountedBenchmark[] = [];
  const values = new Float32Array(k).fill(1);
  // Making the input costs more than using it: it is made benchmark by benchmark, outside the clock.
  const indices = new Int32Array(samples * k);
  let elapsed = 0;
  for (let b = 0; b < benchmarks; b++) {
    fillSkewed(indices, random.float(), () => random.float());
    const start = performance.now();
    const counter = createFeatureCounter(width);
    for (let i = 0; i < samples; i++) counter.add(indices.subarray(i * k, (i + 1) * k), values);
    counted.push({ name: `benchmark ${b}`, samples, counts_F: counter.counts_F });
    elapsed += performance.now() - start;
  }
  const start = performance.now();
  const analyzed = analyzeBenchmarks(counted);
  const middle = performance.now();
  const files = reportFiles(analyzed, "Random features.", {});
  const end = performance.now();
  if (files.length === 0) throw new Error("the report has no files");
  const seconds = (elapsed + middle - start) / 1000;
  return { seconds, secondsWithReport: seconds + (end - middle) / 1000 };
}

/** Feature numbers as skewed as real ones (a few in every sample, a long tail), around a centre of the benchmark's own. */
function fillSkewed(indices: Int32Array, centre: number, float: () => number): void {
  const { width } = SETTINGS;
  for (let i = 0; i < indices.length; i++) indices[i] = Math.floor((centre + 0.6 * float() ** 4) * width) % width;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)]!, min: sorted[0]!, max: sorted.at(-1)! };
}
