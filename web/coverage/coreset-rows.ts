// How many samples of the greedy order are enough, and which they are.
import type { Analysis } from "./analysis-data.ts";

export interface Order {
  readonly name: string;
  /** After the i-th sample covered[i] features are covered. */
  readonly covered: readonly number[];
  readonly features: number;
  readonly samples: number;
  /** Benchmark and row (from 1) of the i-th sample. */
  readonly sampleAt: (i: number) => { readonly benchmark: number; readonly row: number };
}

/** The suite as a whole, then each benchmark. */
export function ordersOf(analysis: Analysis): Order[] {
  const { suite, benchmarks } = analysis;
  const whole = suite.coreset;
  const each = benchmarks.map(({ name, greedy, samples }, benchmark) => ({
    name,
    covered: greedy.covered,
    features: greedy.features,
    samples,
    sampleAt: (i: number) => ({ benchmark, row: greedy.rows[i] ?? 0 }),
  }));
  if (whole === null || benchmarks.length < 2) return each;
  const all = {
    name: "the whole suite",
    covered: whole.covered,
    features: suite.features,
    samples: suite.samples,
    sampleAt: (i: number) => ({ benchmark: whole.benchmark[i] ?? 0, row: whole.row[i] ?? 0 }),
  };
  return [all, ...each];
}

/** The fewest samples of the order that cover the share; all of them where the order ends before. */
export function samplesFor({ covered, features }: Order, share: number): number {
  const wanted = share * features - 1e-9;
  let [low, high] = [0, covered.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((covered[middle] ?? 0) >= wanted) high = middle;
    else low = middle + 1;
  }
  return Math.min(covered.length, low + 1);
}

export function coresetRows(analysis: Analysis, order: Order, count: number): (string | number)[][] {
  const rows = Array.from({ length: count }, (_, i) => {
    const { benchmark, row } = order.sampleAt(i);
    const { name = "", dataset_id = "" } = analysis.benchmarks[benchmark] ?? {};
    return [name, dataset_id, row, order.covered[i] ?? 0];
  });
  return [["benchmark", "dataset_id", "row", "features_covered"], ...rows];
}
