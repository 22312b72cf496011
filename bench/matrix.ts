/**
 * Everything that benchmark.analyze does after the model's forward passes, for 50 benchmarks of 10,000 samples, each activating 100 of
 * 32,768 features. Sizes can be given: npm run bench -- matrix BENCHMARKS SAMPLES K WIDTH
 */
import { cpus } from "node:os";
import { createBenchmarkCollector } from "../engine/features/benchmark-features.ts";
import { reportFiles } from "../engine/features/benchmark-report.ts";
import { countSpareSamples, greedyCoreset } from "../engine/features/coreset.ts";
import { type FeatureSets, featureCounts } from "../engine/features/feature-sets.ts";
import { halfSamples } from "../engine/features/half-samples.ts";
import { analyzeSuite, type ReducedBenchmark } from "../engine/features/suite.ts";
import { createRandom, type Random } from "../engine/runtime/random.ts";

interface Settings {
  readonly benchmarks: number;
  readonly samples: number;
  readonly k: number;
  readonly width: number;
  readonly runs: number;
}

const DEFAULTS = [50, 10_000, 100, 32_768] as const;
const RUNS = 3;
const KEPT_DRAWS = 64;

interface Stages {
  /** From (feature, value) pairs per token to sets, examples and counts at smaller k; in a job it runs beside the forward passes. */
  readonly collect: number;
  /** Counts, redundancy, curves, overlap matrices with and without common features, random baseline, tree. */
  readonly seconds: number;
  /** Of all figures and matrices, by random halves. */
  readonly intervals: number;
  /** Greedy order and spare samples of every benchmark. */
  readonly coresets: number;
  /** Greedy order over all samples of the suite. */
  readonly suite_coreset: number;
  /** CSV and SVG as strings. */
  readonly report: number;
}
type Stage = keyof Stages;
const stageNames: readonly Stage[] = ["seconds", "collect", "intervals", "coresets", "suite_coreset", "report"];

interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface MatrixBench {
  readonly name: "matrix";
  readonly machine: { readonly cpu: string; readonly node: string };
  readonly settings: Settings;
  readonly ours: Readonly<Record<Stage, Spread>> & {
    /** Of the whole process at its highest, the random input included. */
    readonly peak_resident_bytes: number;
  };
  readonly peer: null;
  readonly floor: null;
  readonly ratios: Readonly<Record<string, never>>;
}

export function benchMatrix(args: readonly string[]): MatrixBench {
  const [benchmarks, samples, k, width] = DEFAULTS.map((value, i) => Number(args[i] ?? value)) as [
    number,
    number,
    number,
    number,
  ];
  const settings = { benchmarks, samples, k, width, runs: RUNS };
  const runs = Array.from({ length: RUNS }, (_, run) => oneRun(settings, run));
  const stages = Object.fromEntries(stageNames.map((name) => [name, spread(runs.map((run) => run[name]))]));
  return {
    name: "matrix",
    machine: { cpu: cpus()[0]?.model ?? "unknown", node: process.version },
    settings,
    ours: {
      ...(stages as Record<Stage, Spread>),
      peak_resident_bytes: process.resourceUsage().maxRSS * 1024,
    },
    peer: null,
    floor: null,
    ratios: {},
  };
}

function oneRun(settings: Settings, seed: number): Stages {
  const random = createRandom(seed);
  const clock = createClock();
  const reduced: ReducedBenchmark[] = [];
  const sets: FeatureSets[] = [];
  for (let b = 0; b < settings.benchmarks; b++) {
    // Making the input costs more than using it: it is made benchmark by benchmark, outside the clock.
    const indices = skewedFeatures(settings, random);
    const own = clock.time("collect", () => collected(settings, indices));
    sets.push(own);
    const counts_F = clock.time("seconds", () => featureCounts(own));
    const halves = clock.time("intervals", () => halfSamples(own, counts_F, { random, keptDraws: KEPT_DRAWS }));
    const [coreset, spareSamples] = clock.time("coresets", () => [
      greedyCoreset([own]),
      countSpareSamples(own, counts_F),
    ]);
    reduced.push({ name: `benchmark ${b}`, samples: settings.samples, counts_F, halves, coreset, spareSamples });
  }
  const common_F = new Uint8Array(settings.width).fill(1, 0, 100);
  const withoutHalves = reduced.map((one) => ({ ...one, halves: null }));
  const analysis = clock.time("seconds", () => analyzeSuite(withoutHalves, common_F));
  // Made a second time, with intervals: only what they add is theirs.
  clock.spent.intervals -= clock.last("seconds");
  clock.time("intervals", () => analyzeSuite(reduced, common_F));
  clock.time("suite_coreset", () => greedyCoreset(sets));
  const files = clock.time("report", () => reportFiles(analysis, "Random features."));
  if (files.length === 0) throw new Error("the report has no files");
  return clock.spent;
}

function createClock() {
  const spent: Record<Stage, number> = {
    seconds: 0,
    collect: 0,
    intervals: 0,
    coresets: 0,
    suite_coreset: 0,
    report: 0,
  };
  const latest: Partial<Record<Stage, number>> = {};
  return {
    spent,
    last: (stage: Stage) => latest[stage] ?? 0,
    time<T>(stage: Stage, work: () => T): T {
      const start = performance.now();
      const value = work();
      const seconds = (performance.now() - start) / 1000;
      spent[stage] += seconds;
      latest[stage] = seconds;
      return value;
    },
  };
}

function collected({ samples, k, width }: Settings, indices: Int32Array): FeatureSets {
  const collector = createBenchmarkCollector(width, k);
  const values = Float32Array.from({ length: k }, (_, i) => k - i);
  for (let s = 0; s < samples; s++) {
    collector.addToken(indices.subarray(s * k, (s + 1) * k), values);
    collector.endSample();
  }
  return collector.finish().sets;
}

/** Feature numbers as skewed as real ones (a few in every sample, a long tail), around a centre of the benchmark's own. */
function skewedFeatures({ samples, k, width }: Settings, random: Random): Int32Array {
  const centre = random.float();
  return Int32Array.from(
    { length: samples * k },
    () => Math.floor((centre + 0.6 * random.float() ** 4) * width) % width,
  );
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)]!, min: sorted[0]!, max: sorted.at(-1)! };
}
